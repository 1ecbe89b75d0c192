"""Every seam of the runtime on one page: what rooms may expect of each other.

A protocol's docstring is its promise; a test suite under `tests/conformance/` holds each over all that
implement it.
"""

from asyncio import Task
from collections.abc import Awaitable, Mapping
from types import ModuleType
from typing import Any, Literal, Protocol

from atoll.events import Delivery, FetchEvent
from atoll.http.message import Request, Response
from atoll.limits import Budget
from atoll.outcome import Outcome


class Fetcher(Protocol):
    """Everything that answers a request: network, guard, cache, service, handler."""

    async def fetch(self, request: Request) -> Response:
        """Answer one request.

        The response's head is there when this returns; its body may still be coming, and whoever gets the
        response reads or closes it. Raises `AbortError` and its subclasses for what failed on the way, and
        nothing of another library's. When cancelled, nothing stays open.
        """
        ...


class Dispatch(Protocol):
    """Deliver one event to a worker."""

    async def __call__(self, worker: str, event: FetchEvent) -> Delivery:
        """Run the worker's handler in an isolate of its own.

        What the handler did, failures included, is in the Delivery, never raised. Cancelling this call cancels
        the invocation.
        """
        ...


class Closable(Protocol):
    """Something an invocation opened; closed at its end if not before. `close` is idempotent and never raises."""

    def close(self) -> None: ...


class Invoked(Protocol):
    """The running invocation, as the rooms around the kernel see it (through `current`)."""

    id: str
    worker: str
    budget: Budget
    fetcher: Fetcher
    env: Any

    def wait_until(self, awaitable: Awaitable[Any]) -> None:
        """Keep the invocation open for this awaitable after the response, for `limits.wait_until_s` at most."""
        ...

    def hold(self, resource: Closable) -> None:
        """Close this resource when the invocation ends."""
        ...

    def release(self, resource: Closable) -> None:
        """Forget a resource that has been closed already."""
        ...

    def begin_wait(self) -> Task[Any]:
        """The running task is going to wait for a subrequest: it is cancelled when the deadline's reserve begins.

        `FetchTimeout` when it has begun. Whoever began a wait ends it, whatever came of it.
        """
        ...

    def was_cut(self, task: Task[Any]) -> bool:
        """After a cancellation, before `end_wait`: whether it was the deadline's alone, and so the task may go on."""
        ...

    def end_wait(self, task: Task[Any]) -> None:
        """The wait is over."""
        ...

    def timed(self, name: str, started_s: float, head_s: float) -> None:
        """Note one subrequest for Server-Timing: a short name, when it left and when its head came (monotonic)."""
        ...


class Faces(Protocol):
    """The authors' API: how the kernel puts a worker's own objects on either side of a handler."""

    def modules(self) -> dict[str, ModuleType]:
        """Fresh modules for one isolate by name (`workers`, ...); no isolate sees another's changes to them."""
        ...

    def check(self, module: ModuleType, file: str) -> None:
        """Raise `ScriptError` or TypeError when the module's handlers cannot be used; done once at load."""
        ...

    async def fetch(self, module: ModuleType, file: str, request: Request, env: Any, ctx: Any) -> Response:
        """Call the module's default fetch handler with the authors' objects; everything in here is the author's time.

        Raises whatever the author's code raises, and `HandlerMissing` when there is no such handler.
        """
        ...

    def context(self, invoked: Invoked) -> Any:
        """The `ctx` object of one invocation."""
        ...


class Env(Protocol):
    """Builds the `env` of one invocation from a worker's bindings."""

    def __call__(self) -> Any: ...


class Clock(Protocol):
    """Monotonic seconds; virtual in tests, so that none sleeps."""

    def __call__(self) -> float: ...


class Observer:
    """What can be watched. Every method does nothing, so that the core never imports a log or a metric.

    Calls are made on the event loop and must not block or raise.
    """

    def began(self, invocation: Invoked) -> None:
        """An invocation was opened."""

    def printed(self, invocation: Invoked, stream: Literal["stdout", "stderr", "log"], level: str, text: str) -> None:
        """Author code printed a line or logged a record."""

    def ended(self, invocation: Invoked, outcome: Outcome, facts: Mapping[str, Any]) -> None:
        """An invocation was closed; `facts`: method, path, status, wall_ms, cpu_ms, subrequests, subrequests_max."""

    def refused(self, request_id: str, worker: str, outcome: Outcome, facts: Mapping[str, Any]) -> None:
        """An event got no invocation: its worker does not load, or load was shed; `facts` as in `ended`."""

    def failed(self, invocation: Invoked | None, error: BaseException, where: str) -> None:
        """Something went wrong that an operator should read about; `where` is a fixed past-tense event."""

    def warned(self, event: str, **facts: Any) -> None:
        """Something is odd but nothing is broken; `event` is a fixed past-tense event."""
