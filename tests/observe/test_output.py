"""What authors print and log reaches the observer with the invocation that said it, whole and bounded."""

import asyncio
import logging
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal

import pytest

from atoll import current
from atoll.limits import Budget, Limits
from atoll.observe.output import LINE_CHARACTERS_MAX, capture
from atoll.outcome import Outcome
from atoll.ports import Invoked, Observer
from support.invoked import PlainInvoked, no_answer


class Heard(Observer):
    """Keeps what it hears, in order."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str, str, str]] = []
        self.order: list[str] = []
        self.warnings: list[dict[str, Any]] = []

    def began(self, invocation: Invoked) -> None:
        self.order.append("began")

    def printed(self, invocation: Invoked, stream: Literal["stdout", "stderr", "log"], level: str, text: str) -> None:
        self.lines.append((invocation.id, stream, level, text))
        self.order.append(text)

    def ended(self, invocation: Invoked, outcome: Outcome, facts: Mapping[str, Any]) -> None:
        self.order.append("ended")

    def warned(self, event: str, **facts: Any) -> None:
        self.warnings.append({"event": event, **facts})

    @property
    def texts(self) -> list[str]:
        return [text for _, _, _, text in self.lines]


@pytest.fixture
def heard() -> Heard:
    return Heard()


def invocation(name: str = "one", log_kb: int = 256) -> PlainInvoked:
    invoked = PlainInvoked(no_answer)
    invoked.id = name
    invoked.budget = Budget(Limits(log_kb=log_kb))
    return invoked


@contextmanager
def inside(observer: Observer, invoked: PlainInvoked) -> Iterator[None]:
    observer.began(invoked)
    token = current.invocation.set(invoked)
    try:
        yield
    finally:
        current.invocation.reset(token)
        observer.ended(invoked, Outcome.OK, {})


def test_prints_go_to_the_observer_by_line(heard: Heard) -> None:
    """Each line is one event, with its stream; nothing reaches the real stream."""
    with capture(heard) as observer, inside(observer, invocation()):
        print("a", "b")
        print("c\nd")
        print("e", file=sys.stderr)
    assert heard.lines == [
        ("one", "stdout", "info", "a b"),
        ("one", "stdout", "info", "c"),
        ("one", "stdout", "info", "d"),
        ("one", "stderr", "warning", "e"),
    ]


def test_outside_of_an_invocation_print_is_print(heard: Heard, capsys: pytest.CaptureFixture[str]) -> None:
    """The runtime's and a module's own top-level output goes where it always went."""
    with capture(heard):
        print("plain")
    assert heard.lines == []
    assert capsys.readouterr().out == "plain\n"


def test_an_unfinished_line_comes_before_the_end(heard: Heard) -> None:
    """What was printed without a line's end is told when the invocation ends, before the end itself."""
    with capture(heard) as observer, inside(observer, invocation()):
        print("half", end="", flush=True)
        assert heard.texts == []
    assert heard.order == ["began", "half", "ended"]


async def test_unfinished_lines_of_two_invocations_do_not_mix(heard: Heard) -> None:
    """Pieces that alternate are put together by invocation."""

    async def handler(observer: Observer, name: str) -> None:
        with inside(observer, invocation(name)):
            for piece in "abc":
                print(f"{name}{piece}", end=" ")
                await asyncio.sleep(0)
            print()

    with capture(heard) as observer:
        await asyncio.gather(handler(observer, "x"), handler(observer, "y"))
    assert [(name, text) for name, _, _, text in heard.lines] == [("x", "xa xb xc "), ("y", "ya yb yc ")]


def test_a_line_without_an_end_is_bounded(heard: Heard) -> None:
    """What is kept of an unfinished line never grows beyond LINE_CHARACTERS_MAX."""
    with capture(heard) as observer, inside(observer, invocation(log_kb=1024)):
        print("x" * (2 * LINE_CHARACTERS_MAX + 1), end="")
    assert [len(text) for text in heard.texts] == [LINE_CHARACTERS_MAX, LINE_CHARACTERS_MAX, 1]


def test_output_over_log_kb_is_cut_with_one_line(heard: Heard) -> None:
    """At limits.log_kb one warning stands where the rest would have been, print and logging together."""
    with capture(heard) as observer, inside(observer, invocation(log_kb=1)):
        for _ in range(100):
            print("x" * 99)
            logging.info("y")
        print("z", end="")
    *lines, last = heard.texts
    assert sum(len(line) + 1 for line in lines) <= 1024
    assert "log_kb" in last
    assert "1 KiB" in last
    assert len(lines) < 20


def test_log_kb_counts_bytes_and_not_characters(heard: Heard) -> None:
    """Three bytes a character are three bytes."""
    with capture(heard) as observer, inside(observer, invocation(log_kb=1)):
        print("€" * 400)
    assert "log_kb" in heard.texts[0]


def test_logging_goes_to_the_observer_with_its_level(heard: Heard) -> None:
    """Records of any logger arrive, with name and level; debug is off until the author turns it on."""
    with capture(heard) as observer, inside(observer, invocation()):
        logging.getLogger("shop").error("sold %s", "out")
        logging.debug("not told")
        try:
            raise ValueError("boom")
        except ValueError:
            logging.exception("failed")
    assert heard.lines[0] == ("one", "log", "error", "shop: sold out")
    assert len(heard.lines) == 2
    assert heard.texts[1].startswith("root: failed\nTraceback")


def test_libraries_warnings_outside_of_invocations_go_to_the_runtimes_log(heard: Heard) -> None:
    """A warning of a library that no request caused is an event of the gateway."""
    with capture(heard):
        logging.getLogger("asyncio").warning("slow")
    assert heard.warnings == [{"event": "library_logged", "logger": "asyncio", "text": "asyncio: slow"}]


def test_a_record_that_cannot_be_formatted_does_not_break_the_handler(
    heard: Heard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`logging.info("%d", "x")` is a mistake that is told, not an exception."""
    # The test runner's own handlers do raise it.
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    with capture(heard) as observer, inside(observer, invocation()):
        logging.info("%d", "x")
        print("on")
    assert "on" in heard.texts
    assert any("Logging error" in text for text in heard.texts)


def test_a_thread_that_outlives_its_invocation_leaves_nothing_behind(heard: Heard) -> None:
    """Late output is passed on by the line and nothing of it is kept."""
    late = invocation("late")
    with capture(heard) as observer:
        with inside(observer, late):
            pass
        token = current.invocation.set(late)
        print("late")
        print("never finished", end="")
        current.invocation.reset(token)
        assert observer._open == {}  # type: ignore[attr-defined]
    assert "late" in heard.texts


def test_closing_the_stream_closes_it_for_nobody(heard: Heard) -> None:
    """An author's `sys.stdout.close()` does not silence the other requests."""
    with capture(heard) as observer, inside(observer, invocation()):
        sys.stdout.close()
        print("still here")
    assert heard.texts == ["still here"]


def test_everything_is_put_back(heard: Heard) -> None:
    """After the context the streams and the root logger are as they were."""
    before = sys.stdout, sys.stderr, logging.getLogger().level, list(logging.getLogger().handlers)
    with capture(heard):
        assert sys.stdout is not before[0]
    assert (sys.stdout, sys.stderr, logging.getLogger().level, list(logging.getLogger().handlers)) == before


def test_bytes_are_refused_as_a_stream_refuses_them(heard: Heard) -> None:
    """`sys.stdout.write(b"")` is the same TypeError as ever."""
    with capture(heard) as observer, inside(observer, invocation()), pytest.raises(TypeError, match="must be str"):
        sys.stdout.write(b"x")  # type: ignore[arg-type]
