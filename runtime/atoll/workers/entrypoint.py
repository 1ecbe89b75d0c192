"""Entrypoints: the class that authors subclass, and how a module's handler is found."""

from collections.abc import Callable
from pathlib import PurePath
from types import ModuleType
from typing import Any, Final

from atoll.errors import HandlerMissing


class Entrypoint:
    """What every isolate's WorkerEntrypoint is made from. It has no metaclass, so that it goes with any other class."""

    ctx: Any
    env: Any

    def __new__(cls, ctx: Any = None, env: Any = None, *others: Any, **named: Any) -> "Entrypoint":
        # Here and not in __init__, for an author's __init__ may leave out super().__init__().
        self = super().__new__(cls)
        self.ctx = ctx
        self.env = env
        return self

    def __init__(self, ctx: Any, env: Any) -> None:
        self.ctx = ctx
        self.env = env


def new_worker_entrypoint() -> type[Entrypoint]:
    """The WorkerEntrypoint of one isolate: attributes that its author sets on it are seen by no other."""
    return type("WorkerEntrypoint", (Entrypoint,), {"__module__": "workers", "__doc__": _DOC})


_DOC: Final = "The base of a worker's entrypoint classes; `self.env` and `self.ctx` are those of the invocation."


def fetch_handler(module: ModuleType, file: str, env: Any, ctx: Any) -> tuple[Callable[..., Any], str]:
    """The module's handler of fetch events and what to call it in an error; `HandlerMissing` when there is none."""
    default = default_of(module)
    if default is not None:
        found = getattr(default(ctx, env), "fetch", None)
        if found is None:
            raise HandlerMissing(
                f'Python entrypoint "{PurePath(file).name}" does not export a handler named "fetch": '
                "its class Default has no such method"
            )
        return found, "Default.fetch"
    found = getattr(module, "on_fetch", None)
    if found is None:
        raise HandlerMissing(f'Python entrypoint "{PurePath(file).name}" does not export a handler named "on_fetch"')
    return found, "on_fetch"


def default_of(module: ModuleType) -> type[Entrypoint] | None:
    """The module's default entrypoint class; None when it has none or does not export it."""
    found = getattr(module, "Default", None)
    if not isinstance(found, type) or not issubclass(found, Entrypoint):
        return None
    exported = getattr(module, "__all__", None)
    return found if exported is None or "Default" in exported else None
