"""What the operating system has charged to processes: CPU time and memory.

CPU time is that of the POSIX CPU clock of a process: user and system time of all its threads, also of those that
have ended, in nanoseconds. `/proc/PID/task/*/schedstat` forgets threads that end; `/proc/PID/stat` counts in
hundredths of a second.
Source: clock_getcpuclockid(3); the kernel's include/linux/posix-timers_types.h for how a clock's number is made.
"""

import time
from pathlib import Path
from typing import Final

_SCHEDULED: Final = 2


def cpu_ns(pid: int) -> int:
    """CPU time that a process has used so far; `ProcessLookupError` if it has ended."""
    try:
        return time.clock_gettime_ns((~pid << 3) | _SCHEDULED)
    except OSError as error:
        raise ProcessLookupError(f"process {pid}, whose CPU time is measured, has ended") from error


def resident_bytes(pid: int) -> int:
    """Memory of a process that is in RAM now, pages that it shares with others included."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Rss:"):
            return int(line.split()[1]) * 1024
    raise ValueError(f"/proc/{pid}/smaps_rollup tells no Rss")


def family(pid: int) -> tuple[int, ...]:
    """A process, its children, and theirs."""
    found = [pid]
    for parent in found:
        for task in Path(f"/proc/{parent}/task").iterdir():
            found += [int(child) for child in (task / "children").read_text().split()]
    return tuple(found)
