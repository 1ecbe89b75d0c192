"""An invocation: one event in one isolate under one budget, until its last wait_until.

One owning task opens it, runs the handler, waits until the body is closed, drains and closes; nothing enters in
one task and exits in another. What the author started (tasks, bodies) is known here and ended here.

Invariants: the delivery is set exactly once. `verdict`, once set, is the outcome, whatever the author's code does
afterwards. After `stopped` no author code of this invocation runs again. After `closed` nothing of it is held.
"""

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable, Coroutine
from contextvars import Context
from typing import Any, Final, Protocol

from atoll import current
from atoll.errors import (
    AtollError,
    BadRequest,
    BodyBroken,
    Canceled,
    CpuExceeded,
    FetchTimeout,
    HandlerFailed,
    HoldExceeded,
    WallExceeded,
)
from atoll.events import Delivery, FetchEvent
from atoll.http.body import Body, Source
from atoll.http.message import Response
from atoll.kernel.channel import Channel
from atoll.kernel.isolate import Isolate
from atoll.kernel.loader import Script
from atoll.kernel.meter import Meter
from atoll.kernel.verdict import brief, verdict_on
from atoll.limits import Budget
from atoll.outcome import Outcome
from atoll.ports import Closable, Faces, Fetcher, Observer
from atoll.suspension import Suspension
from atoll.trace import authors_trace

GRACE_S: Final = 1.0
"""How long cancelled author code may go on cleaning up before it is never stepped again."""


class AuthorSource(Source, Protocol):
    """A body source whose reading runs author code, so that it is pulled under the meter."""

    author_code: bool

    async def aclose(self) -> None: ...


class Invocation:
    """See the module. Made by `kernel/dispatch.py`; the methods in the middle are the seam `ports.Invoked`."""

    __slots__ = (
        "_background",
        "_body",
        "_cancelled",
        "_channel",
        "_cpu_from_s",
        "_cut",
        "_deadline",
        "_faces",
        "_finished",
        "_grace",
        "_held",
        "_loop",
        "_meter",
        "_observer",
        "_on_closed",
        "_owner",
        "_resting",
        "_source",
        "_started_s",
        "_status",
        "_subrequests",
        "_suspension",
        "_timings",
        "_wall_from_s",
        "_wall_ms",
        "budget",
        "closed",
        "delivered",
        "env",
        "event",
        "fetcher",
        "id",
        "isolate",
        "kept",
        "mark",
        "script",
        "stopped",
        "tasks",
        "verdict",
        "worker",
    )

    def __init__(
        self,
        id_: str,
        script: Script,
        event: FetchEvent,
        env: Any,
        *,
        fetcher: Fetcher,
        faces: Faces,
        meter: Meter,
        observer: Observer,
        suspension: Suspension,
        on_closed: Callable[["Invocation"], None],
        mark: int = 0,
    ) -> None:
        self.id = id_
        self.mark = mark
        self.script = script
        self.worker = script.worker
        self.event = event
        self.env = env
        self.fetcher = fetcher
        self.budget = Budget(script.limits)
        self.isolate: Isolate | None = None
        self.tasks: dict[Coroutine[Any, Any, Any], asyncio.Task[Any]] = {}
        """Tasks that author code started and that have not ended, by their coroutine."""
        self.verdict: AtollError | None = None
        self.stopped = False
        self.closed = False
        self.kept = False
        """The isolate was left as it was made, and serves others by now."""
        loop = self._loop = asyncio.get_running_loop()
        self.delivered: asyncio.Future[Delivery] = loop.create_future()
        self._faces = faces
        self._meter = meter
        self._observer = observer
        self._suspension = suspension
        self._on_closed = on_closed
        self._background: list[asyncio.Future[Any]] = []
        self._held: dict[Closable, None] = {}
        self._subrequests: dict[asyncio.Task[Any], None] = {}
        self._cut = False
        self._timings: list[tuple[str, float, float]] = []
        self._finished: asyncio.Future[None] | None = None
        self._cancelled = False
        self._grace: asyncio.TimerHandle | None = None
        self._resting = False
        """The owning task has ended since there is nothing to wait for but the last byte: `_finish` closes."""
        self._body: Body | None = None
        self._source: AuthorSource | None = None
        self._channel: Channel | None = None
        self._status = 0
        self._wall_ms: float | None = None
        self._started_s = self._cpu_from_s = self._wall_from_s = time.monotonic()
        wall_s = script.limits.wall_ms / 1000
        self._deadline = loop.call_later(wall_s - script.limits.reserve_s, self._reached_reserve, context=_EMPTY)
        self._owner = loop.create_task(self._own(), context=Context())

    # What other rooms see (ports.Invoked).

    def wait_until(self, awaitable: Awaitable[Any]) -> None:
        """Keep the invocation open for this awaitable; its failure is reported, and changes nothing else."""
        if self.closed:
            raise RuntimeError("wait_until was called after its invocation had ended")
        self._background.append(asyncio.ensure_future(awaitable))

    def hold(self, resource: Closable) -> None:
        """Close this resource at the end."""
        self._held[resource] = None

    def release(self, resource: Closable) -> None:
        """Forget a resource that is closed."""
        self._held.pop(resource, None)

    def begin_wait(self) -> asyncio.Task[Any]:
        """See `ports.Invoked`."""
        if self._cut:
            raise self._out_of_time()
        task = asyncio.current_task(self._loop)
        assert task is not None
        self._subrequests[task] = None
        return task

    def was_cut(self, task: asyncio.Task[Any]) -> bool:
        """See `ports.Invoked`."""
        return self._cut and task in self._subrequests and task.uncancel() == 0

    def end_wait(self, task: asyncio.Task[Any]) -> None:
        """See `ports.Invoked`."""
        self._subrequests.pop(task, None)

    def timed(self, name: str, started_s: float, head_s: float) -> None:
        """Note one subrequest for Server-Timing."""
        self._timings.append((name, started_s, head_s))

    # How an invocation is ended from outside.

    def cancel(self, verdict: AtollError) -> None:
        """End it for this reason: answer at once if nothing was answered, and cancel all author code."""
        if self.verdict is not None or self.closed:
            return
        self.verdict = verdict
        self._cancelled = True
        self._deliver(None, verdict)
        self._grace = asyncio.get_running_loop().call_later(GRACE_S, self._stop, context=_EMPTY)
        self._cancel_tasks()

    def abandon(self, verdict: AtollError) -> None:
        """End it when nobody takes the delivery, so that nobody will finish it either."""
        self.cancel(verdict)
        self._finish(None)

    def exceeded_cpu(self) -> None:
        """Called at the end of the step that used up the CPU time, or by a tick in the middle of it."""
        if self.closed:
            return
        if not self._is_exceeded():
            if self._suspension.since(self._cpu_from_s):
                self._cpu_from_s = time.monotonic()
                self.budget.cpu_ns_max = self.budget.cpu_ns + self.budget.limits.cpu_ms * 1_000_000
                return
            self._exceeded(
                CpuExceeded(
                    f"worker {self.worker!r} used more CPU time than its limits.cpu_ms = {self.budget.limits.cpu_ms}"
                )
            )
        self._stop()

    def exceeded_hold(self) -> None:
        """Called in the middle of a step that has blocked the loop for too long."""
        if self.closed:
            return
        if not self._is_exceeded():
            if self._suspension.since(time.monotonic() - self.budget.limits.hold_ms / 1000):
                return
            self._exceeded(
                HoldExceeded(
                    f"worker {self.worker!r} blocked the event loop in one step for longer than its "
                    f"limits.hold_ms = {self.budget.limits.hold_ms}"
                )
            )
        self._stop()

    def _is_exceeded(self) -> bool:
        return isinstance(self.verdict, (CpuExceeded, HoldExceeded))

    def _exceeded(self, verdict: AtollError) -> None:
        self.verdict = verdict
        self._cancelled = True
        self._deliver(None, verdict)

    def _stop(self) -> None:
        if not self.closed and not self.stopped:
            self.stopped = True
            self._cancel_tasks()

    def _cancel_tasks(self) -> None:
        for task in [*self.tasks.values(), *self._background]:
            task.cancel()
        self._owner.cancel()

    # Deadlines.

    def _reached_reserve(self) -> None:
        """Cut the subrequests that still wait, and leave the handler the reserve to answer with what came."""
        if self._waived():
            return
        self._cut = True
        for task in list(self._subrequests):
            task.cancel()
        self._deadline = asyncio.get_running_loop().call_later(
            self.script.limits.reserve_s, self._reached_wall, context=_EMPTY
        )

    def _waived(self) -> bool:
        """Whether a debugger was attached while the wall time ran, which then runs anew."""
        if not self._suspension.since(self._wall_from_s):
            return False
        self._wall_from_s = time.monotonic()
        limits = self.script.limits
        self._deadline = asyncio.get_running_loop().call_later(
            limits.wall_ms / 1000 - limits.reserve_s, self._reached_reserve, context=_EMPTY
        )
        return True

    def _reached_wall(self) -> None:
        if self._waived():
            return
        self.cancel(
            WallExceeded(
                f"worker {self.worker!r} did not answer within its limits.wall_ms = {self.script.limits.wall_ms}"
            )
        )

    def _out_of_time(self) -> FetchTimeout:
        limits = self.script.limits
        return FetchTimeout(
            f"no subrequest leaves in the last {limits.reserve_s * 1000:.0f} ms before limits.wall_ms = "
            f"{limits.wall_ms}, so that the handler can still answer"
        )

    # The way of the owning task.

    async def _own(self) -> None:
        current.invocation.set(self)
        self._observer.began(self)
        try:
            response = await self._handle()
            self._body = response.body
            self._source = self._author_source(response)
            self._deliver(response, None)
        except BaseException as error:  # The one place where what a handler raised is turned into an outcome.
            self._fail(error)
        self._deadline.cancel()
        if self._source is None and not (self._wall_ms is not None or self._background or self.tasks or self._held):
            self._resting = True
            return
        try:
            if self._source is not None:
                await self._pump(self._source)
            await self._until_finished()
            await self._drain()
        except BaseException as error:
            self._observer.failed(self, error, "invocation_drain_failed")
        finally:
            self._close()

    async def _handle(self) -> Response:
        try:
            self.isolate = self.script.isolate()
        except Exception as error:
            raise HandlerFailed(f"the top level of {self.script.main_file.name} raised {brief(error)}") from error
        self.budget.cpu_ns += self.isolate.prepared_ns
        handling = self._faces.fetch(
            self.isolate.main, self.script.main_file.name, self.event.request, self.env, self._faces.context(self)
        )
        return await self._meter.run(handling, self)

    def _author_source(self, response: Response) -> AuthorSource | None:
        """Put a channel in the place of a body that author code produces: it is pulled here, not by the trigger."""
        body = response.body
        if body is None or body.held is not None:
            return None
        source: Any = body.source
        if not getattr(source, "author_code", False):
            return None
        body.take()
        self._channel = Channel()
        self._body = response.body = Body(source=self._channel, length=body.length)
        found: AuthorSource = source
        return found

    async def _pump(self, source: AuthorSource) -> None:
        channel = self._channel
        assert channel is not None
        try:
            while chunk := await self._meter.run(source.read(), self):
                if not await channel.put(chunk):
                    break
            channel.end()
        except BaseException as error:
            cut = self.verdict = self.verdict or verdict_on(error, self.worker)
            channel.fail(BodyBroken(f"the body was cut: {cut}"))
            if not isinstance(cut, Canceled):
                cut.detail = authors_trace(error)
                self._observer.failed(self, cut, "handler_body_failed")
        self._settle_cancellation()
        try:
            await self._meter.run(source.aclose(), self)
        except BaseException as error:
            self._settle_cancellation()
            if not self._cancelled:
                self._observer.failed(self, error, "handler_body_not_closed")

    def _fail(self, error: BaseException) -> None:
        self._settle_cancellation()
        verdict = self.verdict
        if verdict is None:
            self.verdict = verdict = verdict_on(error, self.worker)
            if not isinstance(verdict, (BadRequest, Canceled)):
                verdict.detail = authors_trace(error)
                self._observer.failed(self, verdict, "handler_failed")
        elif not isinstance(verdict, Canceled):
            self._observer.failed(self, verdict, "invocation_stopped")
        self._deliver(None, verdict)

    def _settle_cancellation(self) -> None:
        """Cancellation asked of the owning task has reached the author's code; what follows is the runtime's own."""
        while self._owner.cancelling():
            self._owner.uncancel()

    async def _until_finished(self) -> None:
        while self._wall_ms is None:
            self._finished = asyncio.get_running_loop().create_future()
            try:
                await self._finished
            except asyncio.CancelledError:
                self._settle_cancellation()

    async def _drain(self) -> None:
        """Wait for what was handed to wait_until, then cancel what is left, then wait for that."""
        loop = asyncio.get_running_loop()
        ends_s = loop.time() + self.script.limits.wait_until_s
        while not self._cancelled and (waiting := [task for task in self._background if not task.done()]):
            if (left_s := ends_s - loop.time()) <= 0:
                self._observer.warned(
                    "wait_until_cancelled",
                    request_id=self.id,
                    worker=self.worker,
                    tasks=len(waiting),
                    after_s=self.script.limits.wait_until_s,
                )
                break
            await self._wait(waiting, left_s)
        ends_s = loop.time() + GRACE_S
        while left := [task for task in {*self.tasks.values(), *self._background} if not task.done()]:
            if loop.time() >= ends_s:
                self.stopped = True
            if loop.time() >= ends_s + GRACE_S:
                break
            for task in left:
                task.cancel()
            await self._wait(left, GRACE_S / 10 if self.stopped else GRACE_S)
        for task in self._background:
            if task.done() and not task.cancelled() and (error := task.exception()) is not None:
                self._observer.failed(self, error, "wait_until_failed")
        self._background.clear()

    async def _wait(self, tasks: list[asyncio.Future[Any]], timeout_s: float) -> None:
        try:
            await asyncio.wait(tasks, timeout=timeout_s)
        except asyncio.CancelledError:
            self._settle_cancellation()

    def _close(self) -> None:
        ordinary = self.verdict is None and not (self.stopped or self.tasks or self._background)
        self.closed = self.stopped = True
        self._deadline.cancel()
        if self._grace is not None:
            self._grace.cancel()
        for coro in self.tasks:
            if inspect.iscoroutine(coro) and inspect.getcoroutinestate(coro) == inspect.CORO_CREATED:
                # It was cancelled before its first step, so this runs no author code; it spares a warning.
                coro.close()
        if self._body is not None:
            self._body.close()
        for resource in list(self._held):
            resource.close()
        self._held.clear()
        self._meter.forget(self)
        self._let_go()
        isolate, self.isolate = self.isolate, None
        self.kept = isolate is not None and self.script.keep(isolate, ordinary=ordinary)
        self._on_closed(self)
        request, budget = self.event.request, self.budget
        self._observer.ended(
            self,
            Outcome.OK if self.verdict is None else self.verdict.outcome,
            {
                "method": request.method,
                "path": request.url.path,
                "status": self._status,
                "wall_ms": self._elapsed_ms() if self._wall_ms is None else self._wall_ms,
                "cpu_ms": budget.cpu_ms,
                "subrequests": budget.subrequests,
                "subrequests_max": budget.subrequests_max,
            },
        )

    def _let_go(self) -> None:
        """Drop what refers back to this invocation, or to what its author made, so that no collector is needed."""
        self._body = self._source = self._channel = None
        del self.delivered, self._owner

    # The delivery.

    def _deliver(self, response: Response | None, error: AtollError | None) -> None:
        if self.delivered.done():
            return
        if response is not None:
            self._status = response.status
        elif error is not None:
            self._status = error.status
        self.delivered.set_result(Delivery(self.id, response, error, self._finish, self._server_timing))

    def _finish(self, error: AtollError | None) -> None:
        """The trigger has sent the last byte, or never will; called once."""
        if self._wall_ms is not None:
            return
        self._wall_ms = self._elapsed_ms()
        if error is not None:
            self.cancel(error)
        if self._resting:
            self._close()
        elif self._finished is not None and not self._finished.done():
            self._finished.set_result(None)

    def _elapsed_ms(self) -> float:
        return (time.monotonic() - self._started_s) * 1000

    def _server_timing(self) -> str:
        """CPU and wall time until now, then one entry a subrequest: `name;dur=ms`."""
        parts = [f"cpu;dur={self.budget.cpu_ms:.1f}", f"wall;dur={self._elapsed_ms():.1f}"]
        for number, (name, started_s, head_s) in enumerate(self._timings, 1):
            parts.append(f'sub{number};dur={(head_s - started_s) * 1000:.1f};desc="{name}"')
        return ", ".join(parts)

    def __repr__(self) -> str:
        state = "closed" if self.closed else "answered" if self.delivered.done() else "running"
        return f"<Invocation {self.id} of {self.worker} {state}, {len(self.tasks)} tasks, {self.budget!r}>"


_EMPTY = Context()
