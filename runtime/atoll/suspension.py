"""Whether time limits are suspended: under `atoll dev --inspect` they are while a debugger is attached.

Asked where a limit would strike, not at each step. A limit that would have struck begins anew, so that code which was
stopped in a debugger has its whole time when it goes on.
"""

import sys
import time
from typing import Final

_DEBUGGERS: Final = ("debugpy", "pydevd")
_MONITORING_DEBUGGER: Final = 0
"""Source: `sys.monitoring.DEBUGGER_ID`, Python 3.12."""


class Suspension:
    """One per process. Without `inspect` nothing is ever suspended."""

    def __init__(self, inspect: bool = False) -> None:
        self.inspect = inspect
        self._tracing = False
        self._last_s = float("-inf")

    def traced(self, on: bool) -> None:
        """A trace function was set, or taken away."""
        self._tracing = on
        self._last_s = time.monotonic()

    def attached(self) -> bool:
        """Whether a debugger is attached now; may be asked in any thread."""
        if not self.inspect:
            return False
        found = (
            self._tracing
            or sys.gettrace() is not None
            or any(name in sys.modules for name in _DEBUGGERS)
            or (sys.version_info >= (3, 12) and sys.monitoring.get_tool(_MONITORING_DEBUGGER) is not None)
        )
        if found:
            self._last_s = time.monotonic()
        return found

    def since(self, started_s: float) -> bool:
        """Whether one was attached at any time since then (monotonic), so that what has run out does not count."""
        return self.inspect and (self.attached() or self._last_s >= started_s)
