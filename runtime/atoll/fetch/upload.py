"""A request body that is sent while its response is awaited, no faster than the upstream takes it.

A source that runs author code is read in a task of the invocation that sends it, and so charged; any other body is only
moved, which is charged to nobody, in a task that belongs to no invocation.
Invariants: no more leaves than the length that was announced, and a body that ends before it breaks the exchange;
the source is closed when sending ends, however it ends.
Source: RFC 9112, section 7.1.
"""

import asyncio
from collections.abc import Callable
from contextvars import Context
from typing import Final

from atoll.errors import BodyBroken, FetchTimeout
from atoll.fetch.outgoing import CHUNKED
from atoll.fetch.waits import Waits
from atoll.http.body import Source

SLICE_BYTES: Final = 65_536
CONTINUE_S: Final = 1.0
"""How long a body waits for `100 Continue`: servers that do not know it say nothing (RFC 9110, section 10.1.1)."""


class Slices:
    """A body source over bytes that are too many for one write; what waits for the socket stays small."""

    __slots__ = ("_at", "_whole")

    def __init__(self, whole: bytes) -> None:
        self._whole = whole
        self._at = 0

    async def read(self) -> bytes:
        at = self._at
        self._at = at + SLICE_BYTES
        return self._whole[at : at + SLICE_BYTES]

    def close(self) -> None:
        self._whole = b""


class Upload:
    """One body on its way out; `failed` is called at most once, with what its source or the upstream did."""

    __slots__ = (
        "_failed",
        "_idle_ms",
        "_leave",
        "_length",
        "_peer",
        "_room",
        "_sent",
        "_source",
        "_task",
        "_transport",
        "_waits",
        "done",
    )

    def __init__(
        self,
        transport: asyncio.WriteTransport,
        source: Source,
        length: int,
        *,
        peer: str,
        waits: Waits,
        idle_ms: int,
        sent: Callable[[], None],
        failed: Callable[[Exception], None],
        expects: bool = False,
    ) -> None:
        self._transport = transport
        self._source = source
        self._length = length
        self._peer = peer
        self._waits = waits
        self._idle_ms = idle_ms
        self._sent = sent
        self._failed: Callable[[Exception], None] | None = failed
        self._room: asyncio.Future[None] | None = None
        self._task: asyncio.Task[None] | None = None
        self._leave: asyncio.Future[None] | None = asyncio.get_running_loop().create_future() if expects else None
        """Done when a body that waits for the upstream's leave may go."""
        self.done = False
        """Whether the whole body has been handed to the socket."""

    def start(self) -> None:
        """Begin to send."""
        create_task = asyncio.get_running_loop().create_task
        if _runs_author_code(self._source):
            self._task = create_task(self._run())
        else:
            self._task = Context().run(create_task, self._run())

    @property
    def withheld(self) -> bool:
        """Whether nothing has been sent, for the upstream has not said that it wants it."""
        return self._leave is not None and not self._leave.done()

    def allow(self) -> None:
        """The upstream wants the body."""
        if self._leave is not None and self.withheld:
            self._leave.set_result(None)

    def pause(self) -> None:
        """The socket's buffer is full."""
        if self._room is None:
            self._room = asyncio.get_running_loop().create_future()

    def resume(self) -> None:
        """There is room again."""
        room, self._room = self._room, None
        if room is not None and not room.done():
            room.set_result(None)

    def cancel(self) -> None:
        """Stop sending; nothing is reported."""
        self._failed = None
        if self._task is not None and not self.done:
            self._task.cancel()

    def ran_out(self) -> None:
        """The upstream took no more for as long as `fetch.idle_ms` allows."""
        self._report(
            FetchTimeout(f"{self._peer} took no more of the request's body for {self._idle_ms} ms (fetch.idle_ms)")
        )

    async def _run(self) -> None:
        try:
            await self._send()
            self.done = True
            if self._failed is not None:
                self._sent()
        except Exception as error:
            # It is the fetch that awaits the response, and not this task, that has to raise it.
            self._report(error)
        except BaseException:
            self._report(BodyBroken("sending the request's body was cancelled"))
            raise
        finally:
            self._waits.end(self)
            self._source.close()
            if _runs_author_code(self._source):
                await self._source.aclose()  # type: ignore[attr-defined]

    async def _send(self) -> None:
        if self._leave is not None:
            await asyncio.wait((self._leave,), timeout=CONTINUE_S)
            self._leave = None
        write = self._transport.write
        chunked = self._length == CHUNKED
        sent = 0
        while chunk := await self._source.read():
            sent += len(chunk)
            if self._failed is None:
                return
            if chunked:
                self._transport.writelines((b"%x\r\n" % len(chunk), chunk, b"\r\n"))
            elif sent > self._length:
                raise BodyBroken(f"the request's body is longer than its announced length of {self._length} bytes")
            else:
                write(chunk)
            while self._room is not None:
                await self._has_room(self._room)
        if chunked:
            write(b"0\r\n\r\n")
        elif sent < self._length:
            raise BodyBroken(f"the request's body ended after {sent} of {self._length} bytes")

    async def _has_room(self, room: asyncio.Future[None]) -> None:
        self._waits.begin(self, self._idle_ms)
        await room
        self._waits.end(self)

    def _report(self, error: Exception) -> None:
        failed, self._failed = self._failed, None
        if failed is not None:
            failed(error)


def _runs_author_code(source: Source) -> bool:
    return getattr(source, "author_code", False)
