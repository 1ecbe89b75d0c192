"""Stops author code while it runs: a step past its CPU time, and a step that blocks the loop.

A profiling timer interrupts the main thread about every `TICK_S` of the process's CPU time, and not at all while it is
idle; its handler finds the metered step on the interrupted stack and raises `Interrupted` in the author's frame once
the budget is used up. A thread that mostly sleeps signals the main thread when a step has held the loop for longer than
`hold_ms` without using the CPU.

Invariants: nothing is raised while a frame of the runtime or of the import system stands between the interrupted frame
and the step: a half-returned connection or a half-imported package would be everybody's. A line tracer on the author's
frame outside raises when it is back there. What happened is read from the invocation's state, never from `Interrupted`,
which author code may swallow; it is then raised at every tick, and by the tracer at the author's next line.
Only the main thread of a process is watched.
Source: setitimer(2), ITIMER_PROF; CPython's `signal` and `sys.settrace`.
"""

import signal
import sys
import threading
import time
from collections.abc import Callable
from types import CodeType, FrameType
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from atoll.current import invocation as current_invocation
from atoll.kernel.frames import ASYNCIO, Kind, kind_of
from atoll.kernel.meter import STEPPING, Interrupted, Meter

if TYPE_CHECKING:
    from atoll.kernel.invocation import Invocation

TICK_S: Final = 0.004
LOOK_S_MAX: Final = 0.25
"""The longest rest of the thread between two looks for a step that blocks."""
HOLD_SIGNAL: Final = signal.SIGRTMIN + 7

# Taken before stand-ins refuse them to author code: handlers run in its context, and the thread is not the loop's.
_settrace: Final = sys.settrace
_pthread_kill: Final = signal.pthread_kill

_LOOP: Final = frozenset({"run", "run_until_complete", "run_forever", "_run_once", "_run"})


class _Stack(NamedTuple):
    """What stood on an interrupted stack."""

    step: FrameType | None
    """The meter's frame; None outside of steps."""
    authors: list[FrameType]
    """Frames of author code that nothing of the runtime stands outside of."""
    shielded: bool


class Watchdog:
    """Watches the steps of one meter; `start` and `stop` are called in the main thread, on the loop's."""

    def __init__(self, meter: Meter, hold_ms: Callable[[], int]) -> None:
        self._meter = meter
        self._hold_ms = hold_ms
        self._kinds: dict[CodeType, Kind] = {}
        self._ticked_ns = 0
        self._traced: Invocation | None = None
        self._before: list[Any] = []
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._main = 0
        self._clock = 0

    def start(self) -> None:
        """Arm the timer and start the thread; nothing outside of the main thread, where signals do not arrive."""
        if threading.current_thread() is not threading.main_thread():
            return
        self._main = threading.get_ident()
        self._clock = time.pthread_getcpuclockid(self._main)
        self._before = [signal.signal(signal.SIGPROF, self._tick), signal.signal(HOLD_SIGNAL, self._held)]
        signal.siginterrupt(signal.SIGPROF, False)
        signal.setitimer(signal.ITIMER_PROF, TICK_S, TICK_S)
        self._thread = threading.Thread(target=self._look, name="atoll-watchdog", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Disarm; a timer that outlives its handler ends the process."""
        if self._thread is None:
            return
        signal.setitimer(signal.ITIMER_PROF, 0)
        self._stopping.set()
        self._thread.join()
        # Ignored first: what is still on its way must not meet the default, which is to end the process.
        for number, before in zip((signal.SIGPROF, HOLD_SIGNAL), self._before, strict=True):
            signal.signal(number, signal.SIG_IGN if before in (signal.SIG_DFL, None) else before)
        self._end_tracing()

    # CPU time.

    def _tick(self, _number: int, frame: FrameType | None) -> None:
        now_ns = time.thread_time_ns()
        since_ns, self._ticked_ns = now_ns - self._ticked_ns, now_ns
        found = current_invocation.get()
        if found is None or frame is None:
            return
        invocation: Invocation = found  # type: ignore[assignment]  # the kernel sets no other
        stack = self._read(frame)
        if stack.step is not None:
            used_ns = invocation.budget.cpu_ns + self._step_ns(stack.step)
        elif stack.authors and not stack.shielded:
            # A callback, or a task that the factory did not make: the sample is all there is to charge.
            used_ns = invocation.budget.cpu_ns = invocation.budget.cpu_ns + since_ns
        else:
            return
        if used_ns > invocation.budget.cpu_ns_max or invocation.stopped:
            self._interrupt(invocation, stack, invocation.exceeded_cpu, self._is_overspent)

    def _is_overspent(self, frame: FrameType) -> bool:
        """Asked again where the runtime returns to the author: a first import has been taken off the budget by then."""
        budget = current_invocation.get().budget  # type: ignore[union-attr]  # it is the traced one's
        step = self._read(frame).step
        return budget.cpu_ns + (0 if step is None else self._step_ns(step)) > budget.cpu_ns_max

    def _step_ns(self, step: FrameType) -> int:
        """CPU time of a step that is still running."""
        return min(time.perf_counter_ns() - self._started_ns(step), time.thread_time_ns() - self._meter.cpu_read_ns)

    @staticmethod
    def _started_ns(step: FrameType) -> int:
        started_ns: int = step.f_locals.get("started_ns", time.perf_counter_ns())
        return started_ns

    # Blocking calls.

    def _look(self) -> None:
        """The thread: look at the running step, and signal the main thread when it is held up."""
        while True:
            hold_ms = self._hold_ms()
            overdue = self._meter.stepping is not None and self._is_held(sys._current_frames().get(self._main))
            if overdue:
                _pthread_kill(self._main, HOLD_SIGNAL)
            if self._stopping.wait(TICK_S if overdue else min(max(hold_ms / 4000, TICK_S), LOOK_S_MAX)):
                return

    def _is_held(self, frame: FrameType | None) -> bool:
        while frame is not None:
            if frame.f_code is STEPPING:
                invocation = frame.f_locals["invocation"]
                passed_ns = time.perf_counter_ns() - self._started_ns(frame)
                used_ns = time.clock_gettime_ns(self._clock) - self._meter.cpu_read_ns
                held: bool = passed_ns - used_ns > invocation.script.limits.hold_ms * 1_000_000
                return held
            frame = frame.f_back
        return False

    def _held(self, _number: int, frame: FrameType | None) -> None:
        found = current_invocation.get()
        if found is None or frame is None or not self._is_held(frame):
            return
        invocation: Invocation = found  # type: ignore[assignment]  # the kernel sets no other
        self._interrupt(invocation, self._read(frame), invocation.exceeded_hold, self._is_held)

    # Interrupting.

    def _interrupt(
        self,
        invocation: "Invocation",
        stack: _Stack,
        exceeded: Callable[[], None],
        is_exceeded: Callable[[FrameType], bool],
    ) -> None:
        # The frames outside are traced whether or not this raises: code that swallows meets it again on its next line.
        if stack.authors and (stack.shielded or invocation.stopped):
            self._trace(invocation, stack.authors, exceeded, is_exceeded)
        if not stack.shielded and stack.authors:
            exceeded()
            if invocation.stopped:
                raise Interrupted

    def _trace(
        self,
        invocation: "Invocation",
        authors: list[FrameType],
        exceeded: Callable[[], None],
        is_exceeded: Callable[[FrameType], bool],
    ) -> None:
        if sys.gettrace() not in (None, self._called):
            # A debugger or a coverage tool is there; the ticks have to do.
            return

        def line(frame: FrameType, event: str, _argument: Any) -> Any:
            if event == "line" and self._traced is invocation and current_invocation.get() is invocation:
                if invocation.stopped or is_exceeded(frame):
                    exceeded()
                    if invocation.stopped:
                        raise Interrupted
                self._end_tracing()
            return line

        self._traced = invocation
        for frame in authors:
            frame.f_trace = line
        _settrace(self._called)

    def _called(self, frame: FrameType, _event: str, _argument: Any) -> None:
        """A new call while something is traced: none of it is, and tracing ends with the step that it is for."""
        if current_invocation.get() is not self._traced:
            self._end_tracing()

    def _end_tracing(self) -> None:
        self._traced = None
        if sys.gettrace() == self._called:
            _settrace(None)

    # Reading stacks.

    def _read(self, top: FrameType) -> _Stack:
        kind = self._kind(top.f_code)
        shielded = kind is not Kind.AUTHORS
        authors: list[FrameType] = []
        frame: FrameType | None = top
        while frame is not None:
            code = frame.f_code
            if code is STEPPING:
                return _Stack(frame, authors, shielded or frame is top)
            kind = self._kind(code)
            if kind is Kind.AUTHORS:
                authors.append(frame)
            elif kind is Kind.LOCKS and code.co_name in _LOOP and code.co_filename.startswith(ASYNCIO):
                break
            elif kind is Kind.CLOSED:
                shielded = True
                authors.clear()
            frame = frame.f_back
        return _Stack(None, authors, shielded)

    def _kind(self, code: CodeType) -> Kind:
        kind = self._kinds.get(code)
        if kind is None:
            kind = kind_of(code.co_filename)
            if kind is not Kind.AUTHORS:
                # The runtime's own code stays; author code comes and goes with its isolates.
                self._kinds[code] = kind
        return kind
