"""Classes that all isolates share, made immutable as builtin types are.

An isolate must not see another's changes. Making every face anew for every isolate would cost more than most
handlers do, so the faces are shared and refuse changes: `Response.extra = 1` raises as `str.extra = 1` does.
An author's subclass has the same metaclass and is as changeable as any class.
"""

from typing import Any, NoReturn, TypeVar

_Class = TypeVar("_Class", bound=type)


class Sealed(type):
    """The metaclass of the faces; only classes marked by `sealed` refuse changes."""

    def __setattr__(cls, name: str, value: Any) -> None:
        if "__sealed__" in cls.__dict__:
            _refuse(cls, "set", name)
        super().__setattr__(name, value)

    def __delattr__(cls, name: str) -> None:
        if "__sealed__" in cls.__dict__:
            _refuse(cls, "delete", name)
        super().__delattr__(name)


def sealed(cls: _Class) -> _Class:
    """Make a class of the runtime's own immutable; a class decorator."""
    type.__setattr__(cls, "__sealed__", True)
    return cls


def _refuse(cls: type, act: str, name: str) -> NoReturn:
    raise TypeError(
        f"cannot {act} {name!r} attribute of immutable type '{cls.__module__}.{cls.__qualname__}': "
        "all workers share it; make a subclass instead"
    )


class Later:
    """An attribute of Cloudflare's API that Atoll does not have yet: absent, with a text that says so."""

    __slots__ = ("_name",)

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, instance: object, owner: type) -> NoReturn:
        raise AttributeError(f"workers.{owner.__name__}.{self._name} is not part of Atoll yet")
