"""Connections per origin: taken, given back, bounded, and let go when they have been idle; O(1) for each request.

The pool is shared by all invocations of a process and belongs to none: connecting, timers and transports live in an
empty context. The key is
that of the route: the origin (scheme, host and port), and the proxy or Unix socket on the way, if there is one.
Invariants: a connection is idle here or has one owner, never both; one that is lost is known to be lost at once; the
connect attempt of a cancelled request is cancelled, and what it may have brought all the same is parked.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from contextvars import Context
from dataclasses import dataclass
from functools import partial
from typing import Final

from atoll.config import FetchConfig
from atoll.errors import ConnectionBroken
from atoll.fetch.dial import Dialer
from atoll.fetch.guard import Guard
from atoll.fetch.heads import Heads
from atoll.fetch.http1 import Connection, Settings
from atoll.fetch.resolve import Resolver
from atoll.fetch.route import Route
from atoll.fetch.waits import Waits
from atoll.http.url import URL

SWEEP_S: Final = 1.0
HINT_MARGIN_S: Final = 1
"""An upstream that says how long it keeps a connection is left this much earlier: its clock began before ours."""


@dataclass(frozen=True, slots=True)
class Statistics:
    """The pool at one moment, and what it has done since the start."""

    origins: int
    open: int
    idle: int
    connecting: int
    waiting: int
    """Requests that wait for one of the `fetch.per_origin_connections` of their origin."""
    opened_total: int
    reused_total: int


class Pool:
    """All connections of a process."""

    def __init__(
        self,
        config: FetchConfig,
        resolver: Resolver,
        guard: Guard,
        waits: Waits,
        clock: Callable[[], float],
    ) -> None:
        self._clock = clock
        self._keep_alive_s = config.keep_alive_s
        self._per_origin = config.per_origin_connections
        settings = Settings(Heads(), waits, config.headers_ms, config.idle_ms, self.park, self._gone)
        self._dialer = Dialer(settings, resolver, guard, connect_ms=config.connect_ms, ca_file=config.ca_file)
        self._origins: dict[str, _Origin] = {}
        self._connections: set[Connection] = set()
        self._dialing: set[asyncio.Task[Connection]] = set()
        self._sweeper: asyncio.TimerHandle | None = None
        self._closed = False
        self._opened = 0
        self._reused = 0

    def take(self, key: str) -> Connection | None:
        """The idle connection of an origin that was used last, if there is one."""
        origin = self._origins.get(key)
        while origin is not None and origin.idle:
            connection = origin.idle.popitem()[0]
            if connection.keep_alive_s is None or not self._stale(connection, self._clock()):
                self._reused += 1
                return connection
            connection.close()
        return None

    async def connect(self, url: URL, route: Route, *, redirected: bool) -> Connection:
        """A new connection, or with `fetch.per_origin_connections` the next one that is free, first come first served.

        Raises what dialling raises: `ConnectFailed`, `AddressDenied`, `FetchTimeout`.
        """
        if self._closed:
            raise _closing(route.key)
        origin = self._origins.get(route.key)
        if origin is None:
            origin = self._origins[route.key] = _Origin(route.key)
        if self._per_origin and origin.slots >= self._per_origin:
            given = await self._turn(origin)
            if given is not None:
                self._reused += 1
                return given
        else:
            origin.slots += 1
        return await self._dialled(origin, url, route, redirected)

    def park(self, connection: Connection) -> None:
        """Take back a connection that is ready for another exchange."""
        origin = self._origins.get(connection.peer)
        hint = connection.keep_alive_s
        if origin is None or self._closed or not self._keep_alive_s or (hint is not None and hint <= HINT_MARGIN_S):
            connection.close()
            return
        if origin.turns and (turn := origin.next_turn()) is not None:
            turn.set_result(connection)
            return
        connection.parked_s = self._clock()
        origin.idle[connection] = None
        if self._sweeper is None:
            self._schedule()

    async def aclose(self) -> None:
        """Close every connection and give up what is under way."""
        self._closed = True
        if self._sweeper is not None:
            self._sweeper.cancel()
        for origin in list(self._origins.values()):
            while (turn := origin.next_turn()) is not None:
                turn.set_exception(_closing(origin.key))
        for dialing in list(self._dialing):
            dialing.cancel()
        for connection in list(self._connections):
            connection.close()
        if self._dialing:
            await asyncio.wait(self._dialing)

    def statistics(self) -> Statistics:
        """How many connections there are, in which state."""
        origins = self._origins.values()
        return Statistics(
            origins=len(origins),
            open=len(self._connections),
            idle=sum(len(origin.idle) for origin in origins),
            connecting=len(self._dialing),
            waiting=sum(not turn.done() for origin in origins for turn in origin.turns),
            opened_total=self._opened,
            reused_total=self._reused,
        )

    def sweep(self) -> None:
        """Close what has been idle for too long."""
        self._sweeper = None
        now_s = self._clock()
        idle = [connection for origin in self._origins.values() for connection in origin.idle]
        for connection in idle:
            if self._stale(connection, now_s):
                connection.close()
        if idle and not self._closed:
            self._schedule()

    async def _turn(self, origin: "_Origin") -> Connection | None:
        """Wait for a free connection of the origin; None is the leave to make one."""
        turn: asyncio.Future[Connection | None] = asyncio.get_running_loop().create_future()
        origin.turns.append(turn)
        try:
            return await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                # It came at the moment of the cancellation: the next one gets it.
                given = turn.result()
                if given is None:
                    self._release(origin)
                elif not given.lost:
                    self.park(given)
            raise

    async def _dialled(self, origin: "_Origin", url: URL, route: Route, redirected: bool) -> Connection:
        """Connect, in a task that belongs to no invocation."""
        create_task = asyncio.get_running_loop().create_task
        dialing = Context().run(create_task, self._dialer.dial(url, route, redirected=redirected))
        self._dialing.add(dialing)
        dialing.add_done_callback(self._dialing.discard)
        try:
            await asyncio.wait((dialing,))
        except asyncio.CancelledError:
            dialing.add_done_callback(partial(self._adopt, origin))
            dialing.cancel()
            raise
        if dialing.cancelled() or dialing.exception() is not None:
            self._release(origin)
            if dialing.cancelled():
                raise _closing(route.key)
        try:
            connection = dialing.result()
        finally:
            del dialing  # Its exception has this frame in its traceback: a circle.
        self._enter(origin, connection)
        return connection

    def _adopt(self, origin: "_Origin", dialing: "asyncio.Task[Connection]") -> None:
        """The request is gone; keep what its connect attempt brought nevertheless."""
        if dialing.cancelled() or dialing.exception() is not None:
            self._release(origin)
            return
        connection = dialing.result()
        self._enter(origin, connection)
        if not connection.lost:
            self.park(connection)

    def _enter(self, origin: "_Origin", connection: Connection) -> None:
        """From here on the connection holds the slot, and gives it back when it is lost."""
        self._opened += 1
        if connection.lost:
            self._release(origin)
            return
        connection.pooled = True
        self._connections.add(connection)
        if self._closed:
            connection.close()

    def _gone(self, connection: Connection) -> None:
        self._connections.discard(connection)
        origin = self._origins[connection.peer]
        origin.idle.pop(connection, None)
        self._release(origin)

    def _release(self, origin: "_Origin") -> None:
        """Pass a slot on to the next request that waits for one, or forget it."""
        turn = origin.next_turn()
        if turn is not None:
            turn.set_result(None)
            return
        origin.slots -= 1
        if origin.slots == 0:
            del self._origins[origin.key]

    def _stale(self, connection: Connection, now_s: float) -> bool:
        idle_s_max = self._keep_alive_s
        if connection.keep_alive_s is not None:
            idle_s_max = min(idle_s_max, connection.keep_alive_s - HINT_MARGIN_S)
        return now_s - connection.parked_s >= idle_s_max

    def _schedule(self) -> None:
        # The sweeper outlives the invocation whose connection started it.
        self._sweeper = asyncio.get_running_loop().call_later(SWEEP_S, self.sweep, context=Context())


class _Origin:
    """What one origin has: idle connections (the last is the freshest), slots in use, and requests that wait."""

    __slots__ = ("idle", "key", "slots", "turns")

    def __init__(self, key: str) -> None:
        self.key = key
        self.idle: dict[Connection, None] = {}
        self.slots = 0
        self.turns: deque[asyncio.Future[Connection | None]] = deque()

    def next_turn(self) -> "asyncio.Future[Connection | None] | None":
        """The request that has waited longest, passing over those that were cancelled."""
        while self.turns:
            turn = self.turns.popleft()
            if not turn.done():
                return turn
        return None


def _closing(peer: str) -> ConnectionBroken:
    return ConnectionBroken(f"no connection to {peer}: the gateway is shutting down")
