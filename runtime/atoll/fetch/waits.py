"""Bounds on single waits without a timer for each: one tick for all of them, and none while nobody waits.

A wait is counted in ticks, so that beginning and ending one costs a dictionary entry and no look at the clock, and
a process that stood still for a while does not take that time out on its upstreams.
Invariant: a wait runs out after at least the time it was given, and at most two ticks (and the loop's own lag) later.
"""

import asyncio
from contextvars import Context
from typing import Final, Protocol

TICK_S: Final = 0.1


class Waiting(Protocol):
    """Whoever waits; compared by identity."""

    def ran_out(self) -> None:
        """The wait took longer than its bound; called once, on the event loop, and must not raise."""
        ...


class Waits:
    """All bounded waits of one process."""

    __slots__ = ("_left", "_timer")

    def __init__(self) -> None:
        self._left: dict[Waiting, int] = {}
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, waiting: Waiting, ms: int) -> None:
        """Start (again) to count a wait; 0 ms means that it has no bound."""
        if ms <= 0:
            return
        self._left[waiting] = ticks_of(ms)
        if self._timer is None:
            self._schedule()

    def end(self, waiting: Waiting) -> None:
        """The wait is over, whether it was counted or not."""
        if self._left:
            self._left.pop(waiting, None)

    def tick(self) -> None:
        """Count every wait down by one, and tell those that ran out."""
        self._timer = None
        over: list[Waiting] = []
        left = self._left
        for waiting, ticks in left.items():
            if ticks <= 1:
                over.append(waiting)
            else:
                left[waiting] = ticks - 1
        for waiting in over:
            if left.pop(waiting, None) is not None:
                waiting.ran_out()
        if left and self._timer is None:
            self._schedule()

    def close(self) -> None:
        """Stop counting."""
        self._left.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def __len__(self) -> int:
        return len(self._left)

    def _schedule(self) -> None:
        # The tick outlives the invocation that happened to start it.
        self._timer = asyncio.get_running_loop().call_later(TICK_S, self.tick, context=Context())


def ticks_of(ms: int) -> int:
    """How many ticks are surely not less than this time; the first tick may come at once."""
    return -(-ms // round(TICK_S * 1000)) + 1
