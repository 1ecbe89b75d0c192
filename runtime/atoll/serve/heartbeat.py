"""The heartbeat of a process: a few numbers in memory that it shares with the supervisor.

The process writes the time every `BEAT_S` from its event loop, and the number of the invocation whose step runs
(`marks`) whenever that is another one; the supervisor only asks whether the time has changed, and counts the silence
in its own ticks. A supervisor that was itself held up (a starved machine, a stopped terminal) counts one tick for the
whole pause, so that its own lag never looks like a process's.
"""

import mmap
import os
import struct
import time
from typing import Final

BEAT_S: Final = 0.05
TICK_S: Final = 0.1

_SLOT: Final = struct.Struct("=d")
STEP: Final = 0
"""Among the marks: the worker's index and the invocation's number of the step that runs, 0 for none."""
IMPORTING: Final = 1
"""Among the marks: not 0 while an installed package is imported for the first time, which may take its while."""
PREFIX: Final = 2
"""Among the marks: what the ids of this process's invocations begin with."""


class Heartbeat:
    """One end of the shared number; the supervisor creates it, the process opens the inherited descriptor."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._memory = mmap.mmap(fd, mmap.PAGESIZE)
        self.marks: memoryview[int] = memoryview(self._memory)[_SLOT.size : _SLOT.size + 8 * 3].cast("Q")

    @classmethod
    def create(cls) -> "Heartbeat":
        fd = os.memfd_create("atoll-heartbeat", os.MFD_CLOEXEC)
        os.ftruncate(fd, mmap.PAGESIZE)
        return cls(fd)

    def beat(self) -> None:
        """Say that the loop turns."""
        _SLOT.pack_into(self._memory, 0, time.monotonic())

    def read(self) -> float:
        """The time of the last beat; 0.0 before the first."""
        value: float = _SLOT.unpack_from(self._memory, 0)[0]
        return value

    def step(self) -> tuple[int, str] | None:
        """The step that ran when the loop last turned: its worker's index and its invocation's id."""
        mark = self.marks[STEP]
        return (mark >> 32, f"{self.marks[PREFIX]:012x}{mark & 0xFFFFFFFF:08x}") if mark else None

    def close(self) -> None:
        self.marks.release()
        self._memory.close()
        os.close(self.fd)


class Pulse:
    """The supervisor's view of one heartbeat: for how long it has been silent."""

    def __init__(self, heartbeat: Heartbeat, now_s: float) -> None:
        self.heartbeat = heartbeat
        self._value = heartbeat.read()
        self._felt_s = now_s
        self.silent_s = 0.0

    def feel(self, now_s: float) -> float:
        """Look once, about every `TICK_S`; the seconds of silence so far."""
        value = self.heartbeat.read()
        if value != self._value:
            self._value = value
            self.silent_s = 0.0
        else:
            self.silent_s += min(now_s - self._felt_s, 2 * TICK_S)
        self._felt_s = now_s
        return self.silent_s
