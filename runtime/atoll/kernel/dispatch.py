"""Event → Delivery: finds the worker's script, bounds what is in flight, and starts the invocation.

What a handler did, failures included, is in the Delivery. Cancelling the call cancels the invocation.
"""

import asyncio
import os
import time
from collections.abc import Callable, Mapping
from itertools import count

from atoll.errors import AtollError, Canceled, LoadShed, ScriptError, WorkerNotFound
from atoll.events import Delivery, FetchEvent
from atoll.kernel.invocation import Invocation
from atoll.kernel.loader import Script
from atoll.kernel.meter import Meter
from atoll.ports import Env, Faces, Fetcher, Observer
from atoll.suspension import Suspension


class Service:
    """A worker as it is served now: its script, or why it has none, and what builds its env."""

    __slots__ = ("env", "index", "script")

    def __init__(self, script: Script | ScriptError, env: Env, index: int) -> None:
        self.index = index
        """Its place among the configured workers, by which the supervisor names it."""
        self.script = script
        self.env = env


class Dispatcher:
    """The one implementation of `ports.Dispatch`; one per process.

    `on_closed` is told of each invocation's end whether its isolate was kept to serve again.
    """

    def __init__(
        self,
        services: Mapping[str, Service],
        *,
        fetcher: Fetcher,
        faces: Faces,
        meter: Meter,
        observer: Observer,
        in_flight_max: int,
        suspension: Suspension,
        on_closed: Callable[[bool], None],
    ) -> None:
        self.services = services
        self.in_flight = 0
        self._fetcher = fetcher
        self._faces = faces
        self._meter = meter
        self._observer = observer
        self._in_flight_max = in_flight_max
        self._suspension = suspension
        self._on_closed = on_closed
        self.prefix = os.urandom(6).hex()
        self._number = count(1)
        self._idle: asyncio.Event | None = None

    async def __call__(self, worker: str, event: FetchEvent) -> Delivery:
        """See `ports.Dispatch`."""
        number = next(self._number)
        id_ = f"{self.prefix}{number:08x}"
        service = self.services.get(worker)
        if service is None:
            return self._refuse(id_, worker, event, WorkerNotFound(f"there is no worker named {worker!r}"))
        if isinstance(service.script, ScriptError):
            return self._refuse(id_, worker, event, service.script)
        if self.in_flight >= self._in_flight_max:
            shed = LoadShed(f"{self.in_flight} invocations are in flight, as many as gateway.in_flight allows")
            return self._refuse(id_, worker, event, shed)
        self.in_flight += 1
        invocation = Invocation(
            id_,
            service.script,
            event,
            service.env(),
            fetcher=self._fetcher,
            faces=self._faces,
            meter=self._meter,
            observer=self._observer,
            suspension=self._suspension,
            on_closed=self._closed,
            mark=service.index << 32 | number & 0xFFFFFFFF,
        )
        try:
            return await invocation.delivered
        except asyncio.CancelledError:
            invocation.abandon(Canceled("the client left before the response had begun"))
            raise

    async def idle(self) -> None:
        """Wait until no invocation is in flight."""
        while self.in_flight:
            self._idle = asyncio.Event()
            await self._idle.wait()

    def _refuse(self, id_: str, worker: str, event: FetchEvent, error: AtollError) -> Delivery:
        """A delivery without an invocation: nothing was spent, and one line tells of it all the same."""
        started_s = time.monotonic()

        def finish(cut: AtollError | None) -> None:
            facts = {
                "method": event.request.method,
                "path": event.request.url.path,
                "status": error.status,
                "wall_ms": (time.monotonic() - started_s) * 1000,
                "cpu_ms": 0.0,
                "subrequests": 0,
                "subrequests_max": 0,
            }
            self._observer.refused(id_, worker, error.outcome, facts)

        return Delivery(id_, None, error, finish, lambda: "")

    def _closed(self, invocation: Invocation) -> None:
        self.in_flight -= 1
        if self._idle is not None and not self.in_flight:
            self._idle.set()
        self._on_closed(invocation.kept)
