"""Isolates prepared while nothing is in flight, so that a quiet process answers without the cost of preparing one.

At saturation nothing is prepared ahead and nothing is lost: an invocation then makes its own isolate.
"""

import asyncio
from collections.abc import Callable, Mapping
from contextvars import Context
from typing import Final

from atoll.errors import ScriptError
from atoll.kernel.dispatch import Service
from atoll.kernel.isolate import Stage

READY_MAX: Final = 4
"""Isolates of one worker that wait, at most; a burst longer than that is saturation."""
PAUSE_S: Final = 0.001


class Ahead:
    """Prepares one isolate at a time; `rested` is called whenever an invocation has ended."""

    def __init__(self, services: Mapping[str, Service], stage: Stage, in_flight: Callable[[], int]) -> None:
        self._services = services
        self._stage = stage
        self._in_flight = in_flight
        self._timer: asyncio.TimerHandle | None = None
        self._context = Context()

    def rested(self) -> None:
        """Look for something to prepare in a moment, unless that is planned already."""
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(PAUSE_S, self._look, context=self._context)

    def stop(self) -> None:
        """Plan nothing more."""
        if self._timer is not None:
            self._timer.cancel()

    def _look(self) -> None:
        self._timer = None
        if self._in_flight() == 0 and self._prepare_one():
            self.rested()

    def _prepare_one(self) -> bool:
        for service in self._services.values():
            script = service.script
            if isinstance(script, ScriptError) or script.isolation == "worker" or len(script.ready) >= READY_MAX:
                continue
            try:
                # On the left: those that have served already are warm, and are taken first.
                script.ready.appendleft(script.prepare())
            except BaseException:  # The author's top level failed this time; the invocation that needs it will tell.
                continue
            finally:
                self._stage.leave()
            return True
        return False
