"""The body of a response that is still coming: a queue between the socket and the reader, with flow control.

Invariants: at most about `HIGH_WATER_BYTES` wait here for a reader, then the socket is not read; small chunks are
joined, so that what waits is bytes and not objects; a body that broke gives what came, then raises, and never ends
as if it were whole. A reading that is cancelled loses nothing and may be taken up again.
"""

import asyncio
from collections import deque
from collections.abc import Iterable
from typing import Final, Protocol

from atoll.errors import AtollError, BodyBroken, FetchTimeout
from atoll.fetch.waits import Waits

HIGH_WATER_BYTES: Final = 262_144
LOW_WATER_BYTES: Final = 65_536
SMALL_BYTES: Final = 4_096


class Tap(Protocol):
    """The connection behind a body, as the body sees it; asked only until the body ended, failed or was closed."""

    peer: str

    def pause(self) -> None: ...
    def resume(self) -> None: ...
    def left(self) -> None:
        """Nobody will read the rest."""
        ...

    def broke(self, failure: Exception) -> None:
        """The exchange is over: close the connection and fail whoever waits."""
        ...


class Incoming:
    """A body source (`http.body.Source`) that a connection fills."""

    __slots__ = ("_chunks", "_ended", "_failure", "_idle_ms", "_paused", "_size", "_tap", "_waiter", "_waits")

    def __init__(self, tap: Tap, waits: Waits, idle_ms: int) -> None:
        self._tap: Tap | None = tap
        self._waits = waits
        self._idle_ms = idle_ms
        self._chunks: deque[bytes] = deque()
        self._size = 0
        self._paused = False
        self._ended = False
        self._failure: AtollError | None = None
        self._waiter: asyncio.Future[None] | None = None

    async def read(self) -> bytes:
        """The next chunk; b"" at the end."""
        while not self._chunks:
            if self._failure is not None:
                raise self._failure
            if self._ended:
                return b""
            await self._more()
        chunk = self._chunks.popleft()
        self._size -= len(chunk)
        if self._paused and self._size <= LOW_WATER_BYTES and self._tap is not None:
            self._paused = False
            self._tap.resume()
        return chunk

    def close(self) -> None:
        """Let go: the connection is drained if little is left, else closed."""
        tap, self._tap = self._tap, None
        if self._failure is None and (self._chunks or not self._ended):
            self._failure = BodyBroken("the body was closed before its end")
        self._chunks.clear()
        self._size = 0
        self._wake()
        if tap is not None:
            tap.left()

    # What the connection calls.

    def add(self, chunks: Iterable[bytes]) -> None:
        """Bytes have come."""
        queue = self._chunks
        for chunk in chunks:
            self._size += len(chunk)
            if queue and len(queue[-1]) + len(chunk) <= SMALL_BYTES:
                queue[-1] += chunk
            else:
                queue.append(chunk)
        if self._size > HIGH_WATER_BYTES and not self._paused and self._tap is not None:
            self._paused = True
            self._tap.pause()
        self._wake()

    def end(self) -> None:
        """The last byte has come; the connection is free, and has to be read again for whoever uses it next."""
        self._ended = True
        tap, self._tap = self._tap, None
        if self._paused and tap is not None:
            self._paused = False
            tap.resume()
        self._wake()

    def fail(self, failure: AtollError) -> None:
        """The rest will not come."""
        self._failure = failure
        self._tap = None
        self._wake()

    def ran_out(self) -> None:
        """No byte came for as long as `fetch.idle_ms` allows."""
        tap = self._tap
        if tap is not None:
            tap.broke(FetchTimeout(f"{tap.peer} sent no more of its body for {self._idle_ms} ms (fetch.idle_ms)"))

    async def _more(self) -> None:
        """Wait until something happens."""
        if self._waiter is not None and not self._waiter.done():
            raise RuntimeError("two tasks read one body at the same time; clone() or tee() it, or read it in one place")
        waiter = self._waiter = asyncio.get_running_loop().create_future()
        self._waits.begin(self, self._idle_ms)
        try:
            await waiter
        finally:
            if self._waiter is None or self._waiter is waiter:
                self._waiter = None
                self._waits.end(self)

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)
