"""How long to wait before a dead process is replaced: pure, so that its test is a table."""

from collections import deque
from typing import Final


class CrashLoop:
    """How long to wait before the next fork: nothing at first, then longer from death to death."""

    WITHIN_S: Final = 20.0
    FREE: Final = 2
    FIRST_S: Final = 0.25
    LONGEST_S: Final = 10.0

    def __init__(self) -> None:
        self._deaths: deque[float] = deque(maxlen=16)

    def died(self, now_s: float) -> float:
        """Count one death; the seconds to wait."""
        while self._deaths and now_s - self._deaths[0] > self.WITHIN_S:
            self._deaths.popleft()
        self._deaths.append(now_s)
        beyond = len(self._deaths) - self.FREE
        return min(self.FIRST_S * 2 ** (beyond - 1), self.LONGEST_S) if beyond > 0 else 0.0
