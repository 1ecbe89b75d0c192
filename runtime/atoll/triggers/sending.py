"""One answer on its way: writes with backpressure, and a watch over silence on either side of a body.

Invariant: what is written and not yet taken by the kernel stays near the transport's high-water mark.
"""

import asyncio
import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol, cast

from aiohttp import web
from aiohttp.http_writer import StreamWriter

from atoll.errors import AtollError, Canceled, WallExceeded
from atoll.http.body import Source
from atoll.http.message import Request
from atoll.suspension import Suspension
from atoll.triggers.refusal import Answered, reset


class Stalled(Exception):
    """One side of a body was silent for too long; `verdict` says which."""

    def __init__(self, verdict: AtollError) -> None:
        super().__init__(str(verdict))
        self.verdict = verdict


class BodyBounds(Protocol):
    """Whoever knows how long a worker's bodies may be silent and last, in seconds, and when that does not count."""

    @property
    def body_idle_s(self) -> float: ...

    @property
    def body_s(self) -> float: ...

    @property
    def suspension(self) -> Suspension: ...


class Sending:
    """See the module.

    The watch is one timer for a whole body, however many chunks it has: it compares the time with the deadline of
    whichever wait is on, and cancels the sending task when that has passed.
    """

    __slots__ = (
        "_body_idle_s",
        "_body_s",
        "_deadline_s",
        "_ends_s",
        "_expired",
        "_limit_s",
        "_loop",
        "_reads",
        "_suspension",
        "_task",
        "_timer",
        "_write_timeout_s",
        "received",
        "request",
    )

    def __init__(self, received: web.BaseRequest, request: Request, write_timeout_s: float, bounds: BodyBounds) -> None:
        self.received = received
        self.request = request
        self._write_timeout_s = write_timeout_s
        self._body_idle_s = self._limit_s = bounds.body_idle_s
        self._body_s = bounds.body_s
        self._suspension = bounds.suspension
        self._loop = received.protocol._loop
        self._task: asyncio.Task[Any] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._deadline_s = 0.0
        self._ends_s = math.inf
        self._reads = False
        self._expired = False

    def put(self, *parts: bytes) -> bool:
        """Write; whether the client does not keep up, so that `drained` has to be awaited before more is written.

        `ConnectionError` when it has gone. Written past aiohttp's writer, which frames and compresses for others.
        """
        received = self.received
        transport = received.transport
        if transport is None or transport.is_closing():
            raise ConnectionResetError("the client has left")
        if len(parts) == 1:
            transport.write(parts[0])
        else:
            transport.writelines(parts)
        # By which aiohttp knows that an answer has begun.
        cast(StreamWriter, received.writer).output_size += sum(map(len, parts))
        # Asked of the connection and not of this answer: pipelined ones add up.
        return received.protocol.writing_paused

    async def write(self, *parts: bytes) -> None:
        """Write, and wait while the client does not keep up; `ConnectionError` when it has gone."""
        if self.put(*parts):
            await self.drained()

    async def next_of(self, source: Source) -> bytes:
        """The next chunk of the body; to be called inside `watched`."""
        self._waits(True, self._body_idle_s)
        return await source.read()

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Raise `Stalled` out of whatever is awaited in here when a wait has been too long."""
        self._task = asyncio.current_task()
        now_s = self._loop.time()
        if self._body_s:
            self._ends_s = now_s + self._body_s
        self._deadline_s = min(now_s + self._body_idle_s, self._ends_s)
        self._arm()
        try:
            yield
        except asyncio.CancelledError:
            if self._expired and self._task is not None and self._task.uncancel() == 0:
                raise Stalled(self._verdict()) from None
            raise
        finally:
            self._task = None
            if self._timer is not None:
                self._timer.cancel()

    def cut(self) -> Answered:
        """End the connection so that the client can tell that the body is not whole."""
        transport = self.received.transport
        if transport is not None and (self._expired or self.received.version == (1, 0)):
            reset(transport)
        return Answered(False)

    async def drained(self) -> None:
        """Wait until the client has taken enough; `Stalled` when it takes nothing for too long."""
        if self._task is None:
            with self.watched():
                await self.drained()
            return
        self._waits(False, self._write_timeout_s)
        await self.received.writer.drain()

    def _waits(self, reads: bool, limit_s: float) -> None:
        self._reads = reads
        self._limit_s = limit_s
        before_s, self._deadline_s = self._deadline_s, min(self._loop.time() + limit_s, self._ends_s)
        if self._deadline_s < before_s:
            self._arm()

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(self._deadline_s, self._look)

    def _look(self) -> None:
        if self._task is None:
            return
        if self._loop.time() < self._deadline_s:
            self._arm()
            return
        if self._suspension.since(min(self._deadline_s - self._limit_s, self._ends_s - self._body_s)):
            now_s = self._loop.time()
            self._ends_s = now_s + self._body_s if self._body_s else math.inf
            self._deadline_s = min(now_s + self._limit_s, self._ends_s)
            self._arm()
            return
        self._expired = True
        self._task.cancel()

    def _verdict(self) -> AtollError:
        if self._loop.time() >= self._ends_s:
            return WallExceeded(f"the body took longer than {self._body_s:g} s (limits.body_ms); the stream was cut")
        if self._reads:
            return WallExceeded(
                f"no part of the body came for {self._body_idle_s:g} s (limits.body_idle_ms); the stream was cut"
            )
        return Canceled(f"the client read nothing for {self._write_timeout_s:g} s (gateway.write_timeout_s)")
