"""Charges each task step to its invocation's budget.

A step is what runs between two awaits of one task. Around each step of author code the meter makes the isolate's
modules the importable ones and adds the thread's CPU time to the budget. Every task that is started under an
invocation is metered through the task factory, so `gather` and `TaskGroup` cannot get around it.
Invariants: an invocation that was stopped is never stepped again; no step is charged less than the CPU time that it
used, nor more than `SHORT_NS` above it.
Costs about 1 µs a step. Source: `time.thread_time_ns` (CLOCK_THREAD_CPUTIME_ID).
"""

import asyncio
import types
from collections.abc import Coroutine, Generator
from contextvars import Context
from time import perf_counter_ns, thread_time_ns
from typing import TYPE_CHECKING, Any, Final, TypeVar

from atoll.current import invocation as current_invocation
from atoll.kernel.isolate import Stage

if TYPE_CHECKING:
    from atoll.kernel.invocation import Invocation

T = TypeVar("T")

SHORT_NS: Final = 100_000
"""A step that takes less than this by the clock is charged that; and the thread's CPU clock is read as often."""


class HandlerExit(Exception):
    """Author code raised SystemExit or KeyboardInterrupt, either of which would end the event loop."""


class Interrupted(BaseException):
    """Raised by `kernel/watchdog` in author code that is past a limit; it says nothing, the invocation's state does."""


class Meter:
    """Runs author coroutines step by step; one per process, on one thread.

    The thread's CPU clock is a system call of half a microsecond, ten times what the monotonic clock costs, and most
    steps take less than twenty. So a short step is charged the time that passed, and only a long one, in which the
    thread may have slept or been kept waiting, the CPU time since the CPU clock was last read. That was at most
    `SHORT_NS` before the step began.
    """

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._read_ns = 0
        """When the CPU clock was last read, by the monotonic one, and what it said."""
        self.cpu_read_ns = 0
        self.stepping: Invocation | None = None
        """Whose step runs now, or ran last."""
        self.marks: list[int] | memoryview[int] = [0]
        """The first is the number of that invocation; in memory that the supervisor reads, when there is one."""

    @types.coroutine
    def run(self, coro: Coroutine[Any, Any, T], invocation: "Invocation") -> Generator[Any, Any, T]:
        """Await a coroutine of author code, each step charged."""
        send, throw = coro.send, coro.throw
        budget, isolate, stage = invocation.budget, invocation.isolate, self._stage
        assert isolate is not None
        spread = bool(isolate.script.eclipsed)
        value: Any = None
        failure: BaseException | None = None
        if invocation.stopped:
            coro.close()  # It has not begun, so this runs no author code; it spares a "never awaited" warning.
        while True:
            if invocation.stopped:
                raise asyncio.CancelledError("the invocation was stopped")
            if stage.isolate is not isolate:
                stage.enter(isolate)
            if self.stepping is not invocation:
                self.stepping = invocation
                self.marks[0] = invocation.mark
            started_ns = perf_counter_ns()
            if started_ns - self._read_ns > SHORT_NS:
                self.cpu_read_ns = thread_time_ns()
                self._read_ns = started_ns
            try:
                awaited = send(value) if failure is None else throw(failure)
            except StopIteration as end:
                result: T = end.value
                return result
            except Interrupted:
                raise asyncio.CancelledError("the invocation was stopped") from None
            except (SystemExit, KeyboardInterrupt) as exit_:
                raise HandlerExit(f"the handler raised {type(exit_).__name__}") from exit_
            finally:
                failure = None
                spent_ns = perf_counter_ns() - started_ns
                used_ns = budget.cpu_ns + (spent_ns if spent_ns < SHORT_NS else self._used_ns(spent_ns))
                budget.cpu_ns = used_ns
                if spread:
                    stage.leave()
                if used_ns > budget.cpu_ns_max:
                    invocation.exceeded_cpu()
            try:
                value = yield awaited
            except GeneratorExit:
                coro.close()
                raise
            except BaseException as thrown:
                failure = thrown
                value = None

    def _used_ns(self, passed_ns: int) -> int:
        """The CPU time of a long step that has just ended."""
        before_ns, self.cpu_read_ns = self.cpu_read_ns, thread_time_ns()
        self._read_ns = perf_counter_ns()
        return min(passed_ns, self.cpu_read_ns - before_ns)

    def forget(self, invocation: "Invocation") -> None:
        """Let go of an isolate that no later invocation will use."""
        if self.stepping is invocation:
            self.rest()
        isolate = self._stage.isolate
        if isolate is invocation.isolate and isolate is not None and isolate.script.isolation == "request":
            self._stage.leave()

    def rest(self) -> None:
        """Forget whose step ran last: it is over."""
        self.stepping = None
        self.marks[0] = 0

    def task_factory(
        self,
        loop: asyncio.AbstractEventLoop,
        coro: Coroutine[Any, Any, Any],
        context: Context | None = None,
        **named: Any,
    ) -> asyncio.Task[Any]:
        """Make every task: metered under an invocation, plain elsewhere. The loop calls this for `create_task`."""
        found = current_invocation.get() if context is None else context.get(current_invocation)
        if found is None or (type(coro) is not types.CoroutineType and not asyncio.iscoroutine(coro)):
            # What is no coroutine is refused by Task itself, in its own words.
            return asyncio.Task(coro, loop=loop, context=context, **named)
        invocation: Invocation = found  # type: ignore[assignment]  # the kernel sets no other
        outer: Any = self._metered(coro, invocation)
        outer.__qualname__ = getattr(coro, "__qualname__", outer.__qualname__)
        task = asyncio.Task(outer, loop=loop, context=context, **named)
        invocation.tasks[coro] = task
        if invocation.closed:
            task.cancel()
        return task

    async def _metered(self, coro: Coroutine[Any, Any, T], invocation: "Invocation") -> T:
        try:
            return await self.run(coro, invocation)
        finally:
            invocation.tasks.pop(coro, None)


STEPPING: Final = Meter.run.__code__
"""The code of the frame in which every step runs: what `kernel/watchdog` looks for on a stack."""
