"""Charges the threads that author code starts, and ends them past the budget and with their invocation.

`threading.Thread.start` and `ThreadPoolExecutor.submit` (which `asyncio.to_thread` uses) are wrapped while a gateway is
open: what they are given under an invocation is run with that thread's own CPU clock beside it. A thread of the runtime
reads those clocks while there are any, and raises `Interrupted` in those whose invocation was stopped.

Invariants: a pool's thread is never interrupted outside of the author's function, so that it serves others afterwards.
A thread that waits in a call to C ends only when that call returns.
Source: pthread_getcpuclockid(3); CPython's `PyThreadState_SetAsyncExc`.
"""

import asyncio
import ctypes
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from concurrent.futures import thread as pools
from contextvars import Context
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from atoll.current import invocation as current_invocation
from atoll.kernel.frames import Kind, kind_of
from atoll.kernel.meter import Interrupted

if TYPE_CHECKING:
    from atoll.kernel.invocation import Invocation

LOOK_S: Final = 0.005


class _Running:
    """Author code in a thread of its own."""

    __slots__ = ("charged_ns", "clock", "invocation")

    def __init__(self, invocation: "Invocation") -> None:
        self.invocation = invocation
        self.clock = time.pthread_getcpuclockid(threading.get_ident())
        self.charged_ns = time.clock_gettime_ns(self.clock)


class AuthorThreads:
    """One per process; `install` is called on the loop that invocations run on."""

    def __init__(self) -> None:
        self._running: dict[int, _Running] = {}
        self._begun = threading.Event()
        self._stopping = False
        self._start: Callable[[threading.Thread], None] = threading.Thread.start
        self._submit: Callable[..., Future[Any]] = ThreadPoolExecutor.submit

    def install(self) -> None:
        """Begin to charge threads."""
        self._loop = asyncio.get_running_loop()
        self._watcher = threading.Thread(target=self._watch, name="atoll-threads", daemon=True)
        self._watcher.start()
        started, submitted = self._started, self._submitted
        threading.Thread.start = lambda thread: started(thread)  # type: ignore[assignment, method-assign]
        ThreadPoolExecutor.submit = (  # type: ignore[method-assign]
            lambda pool, fn, /, *args, **named: submitted(pool, fn, *args, **named)
        )

    def uninstall(self) -> None:
        """Give the standard library its own methods back."""
        threading.Thread.start = self._start  # type: ignore[assignment, method-assign]
        ThreadPoolExecutor.submit = self._submit  # type: ignore[method-assign]
        self._stopping = True
        self._begun.set()
        self._watcher.join()

    def _started(self, thread: threading.Thread) -> None:
        invocation = current_invocation.get()
        # A pool's thread outlives the invocation that happened to start it; what it is given is charged instead.
        if invocation is not None and getattr(thread, "_target", None) is not pools._worker:
            thread.run = partial(self._run_thread, invocation, thread.run)  # type: ignore[method-assign]
        self._start(thread)

    def _submitted(self, pool: ThreadPoolExecutor, fn: Callable[..., Any], /, *args: Any, **named: Any) -> Future[Any]:
        invocation = current_invocation.get()
        if invocation is None:
            return self._submit(pool, fn, *args, **named)
        return self._submit(pool, self._charged, invocation, fn, *args, **named)

    def _run_thread(self, invocation: Any, run: Callable[[], None]) -> None:
        # It referred to the thread, which refers to it.
        threading.current_thread().__dict__.pop("run", None)
        try:
            self._charged(invocation, run)
        except CancelledError:
            pass

    def _charged(self, invocation: Any, fn: Callable[..., Any], /, *args: Any, **named: Any) -> Any:
        if invocation.stopped:
            raise CancelledError("the invocation has ended")
        ident = threading.get_ident()
        running = self._running[ident] = _Running(invocation)
        self._begun.set()
        try:
            return fn(*args, **named)
        except Interrupted:
            raise CancelledError("the invocation was stopped") from None
        finally:
            self._running.pop(ident, None)
            self._tell(running)

    def _tell(self, running: _Running) -> None:
        """Have the loop charge what was used since the last time."""
        try:
            now_ns = time.clock_gettime_ns(running.clock)
            used_ns, running.charged_ns = now_ns - running.charged_ns, now_ns
            self._loop.call_soon_threadsafe(_charge, running.invocation, used_ns, context=Context())
        except (OSError, RuntimeError):
            # The thread, or the loop, has ended.
            pass

    def _watch(self) -> None:
        while not self._stopping:
            self._begun.clear()
            if not self._running:
                self._begun.wait()
                continue
            time.sleep(LOOK_S)
            for ident, running in list(self._running.items()):
                if running.invocation.stopped:
                    self._end(ident)
                else:
                    self._tell(running)

    def _end(self, ident: int) -> None:
        """Raise in a thread, unless what it is in the middle of is shared with others."""
        frame = top = sys._current_frames().get(ident)
        while frame is not None and frame.f_code is not _CHARGED:
            kind = kind_of(frame.f_code.co_filename)
            if kind is Kind.CLOSED or (frame is top and kind is not Kind.AUTHORS):
                return
            frame = frame.f_back
        if frame is not None and frame is not top:
            # It holds the interpreter from the look to the raise: the thread has not moved in between.
            ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(ident), ctypes.py_object(Interrupted))


def _charge(invocation: "Invocation", used_ns: int) -> None:
    if not invocation.closed:
        invocation.budget.cpu_ns += used_ns
        if invocation.budget.cpu_ns > invocation.budget.cpu_ns_max:
            invocation.exceeded_cpu()


_CHARGED: Final = AuthorThreads._charged.__code__
