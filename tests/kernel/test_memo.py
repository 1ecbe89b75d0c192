"""Compiling generated source once changes nothing that can be seen."""

import collections
import dataclasses
from collections.abc import Iterator

import pytest

from atoll.kernel import memo


@pytest.fixture(autouse=True)
def _memo() -> Iterator[None]:
    memo.install()
    yield
    memo.uninstall()


def test_classes_with_equal_text_do_not_share() -> None:
    """Two dataclasses whose generated text is equal have methods and defaults of their own."""

    def make(default: object) -> type:
        @dataclasses.dataclass
        class Item:
            name: str
            kind: object = default

        return Item

    one, two = make("a"), make(["b"][0])
    assert one("x").kind == "a"  # type: ignore[call-arg, attr-defined]
    assert two("x").kind == "b"  # type: ignore[call-arg, attr-defined]
    assert one.__init__ is not two.__init__  # type: ignore[misc]
    assert one("x") != two("x")  # type: ignore[call-arg]


def test_named_tuples_are_what_they_were() -> None:
    """A namedtuple made twice gives equal behaviour and distinct types."""
    one, two = (collections.namedtuple("P", "x y", defaults=[n]) for n in (1, 2))
    assert one(0) == (0, 1)
    assert two(0) == (0, 2)


def test_uninstall_leaves_no_trace() -> None:
    """Both modules use the builtins again."""
    memo.uninstall()
    assert not hasattr(dataclasses, "exec")
    assert not hasattr(collections, "eval")
