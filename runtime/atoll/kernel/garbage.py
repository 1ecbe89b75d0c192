"""When garbage is collected, so that no invocation pays for another's.

Isolates are cyclic garbage (a function refers to its module's globals, which refer to the function). With automatic
collection a pause falls on whoever runs at that moment, and grows with all that lives. So the automatic collector is
off, what was there at start is frozen, and collections happen between two turns of the loop, each of a portion of
dead isolates: measured on CPython 3.11 and 3.13, a dead one costs 8 µs, 50 µs when its handler made many objects, and
one that lives about 3 µs. A portion that took too long makes the next ones smaller.

An isolate that is kept to serve again is no garbage, but its handler may have left some: things of its own that refer
to each other. So its invocation counts too, for less: a portion is never more dead isolates than without such.

An isolate that is in flight during a collection moves to the next older generation. With many in flight most of them
do, so what moved into the oldest is counted, and that is collected by this count, not by a fixed beat.
"""

import asyncio
import gc
import time
from collections.abc import Callable
from contextvars import Context
from typing import Final

PORTION: Final = 25
"""Closed isolates between two collections, and aged ones before the oldest generation is collected, to begin with."""
PORTION_MIN: Final = 10
PORTION_MAX: Final = 400
PAUSE_S: Final = 0.003
"""A collection that takes longer halves the portion; one that takes less than a quarter lets it grow by a tenth."""
KEPT: Final = 0.25
"""What an invocation counts whose isolate is kept, in dead isolates."""
IDLE_S: Final = 0.25
"""Rest after which a full collection disturbs nobody."""


class Garbage:
    """Collects by count and when idle; `closed` is called at the end of every invocation.

    `population` counts all that lives as long as or longer than an invocation: those in flight, and connections.
    """

    def __init__(self, in_flight: Callable[[], int], population: Callable[[], int]) -> None:
        self._in_flight = in_flight
        self._population = population
        self._closed = 0.0
        self._aged = 0
        self._young = PORTION
        self._old = PORTION
        self._middle_next = False
        self._owed = False
        self._planned = False
        self._idle: asyncio.TimerHandle | None = None
        self._context = Context()
        self._was_enabled = gc.isenabled()

    def start(self) -> None:
        """Switch the automatic collector off and freeze what lives now: the runtime and its libraries."""
        gc.collect()
        gc.freeze()
        gc.disable()

    def stop(self) -> None:
        """Give the process its automatic collector back."""
        if self._idle is not None:
            self._idle.cancel()
        gc.unfreeze()
        if self._was_enabled:
            gc.enable()

    def closed(self, kept: bool) -> None:
        """One more isolate is garbage, or what a handler left behind in an isolate that is kept."""
        self._closed += KEPT if kept else 1
        self._owed = True
        if self._closed >= self._young and not self._planned and self._closed >= self._in_flight() // 2:
            # Not here, inside an invocation's last step, but between two turns of the loop.
            self._planned = True
            asyncio.get_running_loop().call_soon(self._collect, context=self._context)
        if self._idle is None:
            self._idle = asyncio.get_running_loop().call_later(IDLE_S, self._rest, context=self._context)

    def _collect(self) -> None:
        self._planned = False
        self._closed = 0
        generation = 0
        if self._middle_next:
            generation = 1
            self._aged += self._in_flight()
            if self._aged >= max(self._old, self._population() // 4):
                generation = 2
                self._aged = 0
        self._middle_next = not self._middle_next
        started_s = time.perf_counter()
        gc.collect(generation)
        took_s = time.perf_counter() - started_s
        if generation == 2:
            self._old = _adapted(self._old, took_s)
        else:
            self._young = _adapted(self._young, took_s)

    def _rest(self) -> None:
        self._idle = None
        if self._in_flight():
            self._idle = asyncio.get_running_loop().call_later(IDLE_S, self._rest, context=self._context)
        elif self._owed:
            self._owed = False
            self._closed = self._aged = 0
            gc.collect()


def _adapted(portion: int, took_s: float) -> int:
    if took_s > PAUSE_S:
        return max(portion // 2, PORTION_MIN)
    if took_s < PAUSE_S / 4:
        return min(portion + portion // 10, PORTION_MAX)
    return portion
