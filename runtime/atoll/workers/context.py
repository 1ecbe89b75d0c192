"""`ctx`, `env` and `wait_until`: the running invocation in an author's hands."""

from collections.abc import Awaitable
from inspect import isawaitable
from typing import Any

from atoll import current
from atoll.ports import Invoked
from atoll.workers.sealed import Sealed, sealed


@sealed
class Context(metaclass=Sealed):
    """The `ctx` of one invocation."""

    __module__ = "workers"
    __slots__ = ("_invoked", "passes_through")

    def __init__(self, invoked: Invoked) -> None:
        self._invoked = invoked
        self.passes_through = False
        """Whether the author asked that the origin answers when the handler fails; without an origin nothing does."""

    def wait_until(self, awaitable: Awaitable[Any]) -> None:
        """Keep the invocation open for this awaitable after the response, for `limits.wait_until_s` at most."""
        _keep(self._invoked, awaitable)

    def waitUntil(self, awaitable: Awaitable[Any]) -> None:
        """See `wait_until`."""
        _keep(self._invoked, awaitable)

    def passThroughOnException(self) -> None:
        """Let the origin answer when the handler fails, where there is one."""
        self.passes_through = True

    @property
    def props(self) -> dict[str, Any]:
        """What the caller of a service binding gave along; empty for an event from outside."""
        return {}

    @property
    def exports(self) -> None:
        """Loopback bindings to the worker's own entrypoints; Atoll has none yet."""
        return None

    def __repr__(self) -> str:
        return f"<Context of invocation {self._invoked.id}>"


def wait_until(awaitable: Awaitable[Any]) -> None:
    """`ctx.wait_until` of the running invocation."""
    _keep(current.running("wait_until"), awaitable)


def _keep(invoked: Invoked, awaitable: Awaitable[Any]) -> None:
    if not isawaitable(awaitable):
        raise TypeError(f"wait_until needs an awaitable (a coroutine, task or future), not {type(awaitable).__name__}")
    invoked.wait_until(awaitable)


@sealed
class RunningEnv(metaclass=Sealed):
    """`workers.env`: the env of whichever invocation runs; it may be imported at top level and used in a handler."""

    __module__ = "workers"
    __slots__ = ()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(current.running(f"env.{name}").env, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(current.running(f"env.{name}").env, name, value)

    def __delattr__(self, name: str) -> None:
        delattr(current.running(f"env.{name}").env, name)

    def __dir__(self) -> list[str]:
        return dir(current.running("dir(env)").env)

    def __repr__(self) -> str:
        found = current.invocation.get()
        return "<env of no invocation>" if found is None else repr(found.env)
