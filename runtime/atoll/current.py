"""Which invocation is running: the only ContextVar of the runtime.

It is set once, by the owning task of an invocation, in a context of its own; tasks that author code starts
inherit it. Whatever outlives an invocation runs in an empty context, where `running` finds nothing.
"""

from contextvars import ContextVar

from atoll.errors import NoInvocation
from atoll.ports import Invoked

invocation: ContextVar[Invoked | None] = ContextVar("atoll_invocation", default=None)


def running(what: str) -> Invoked:
    """The invocation that runs here; `NoInvocation` names `what` needed one and how to mend it."""
    found = invocation.get()
    if found is None:
        raise NoInvocation(
            f"{what} needs a running invocation: it cannot be used at module top level or from a thread or "
            "callback that no invocation started. Call it from inside a handler."
        )
    return found
