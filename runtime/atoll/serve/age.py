"""How long this program has been running, the start of the interpreter included.

Source: proc(5), field 22 of /proc/[pid]/stat.
"""

import os
import time
from pathlib import Path


def age_ms() -> int:
    """Milliseconds since this process was started."""
    # The command's name stands in brackets and may hold anything; the fields are counted from behind it.
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    started_s = int(fields[19]) / os.sysconf("SC_CLK_TCK")
    return round((time.clock_gettime(time.CLOCK_BOOTTIME) - started_s) * 1000)
