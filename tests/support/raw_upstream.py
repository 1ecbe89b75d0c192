"""A source for request bodies, and an upstream script that cuts its answer into segments."""

import asyncio
import socket
from collections.abc import Sequence

from support.upstream import Script


class ListSource:
    """A body source that gives these chunks; it counts what was read and whether it was closed.

    With a `gate` every chunk after the first waits for it; an exception among the chunks is raised in its place.
    """

    def __init__(self, chunks: Sequence[bytes | Exception], *, gate: asyncio.Event | None = None) -> None:
        self._chunks = list(chunks)
        self._gate = gate
        self.reads = 0
        self.closed = False

    async def read(self) -> bytes:
        if self.reads and self._gate is not None:
            await self._gate.wait()
        self.reads += 1
        if not self._chunks:
            return b""
        chunk = self._chunks.pop(0)
        if isinstance(chunk, Exception):
            raise chunk
        return chunk

    def close(self) -> None:
        self.closed = True


def in_pieces(raw: bytes, piece_bytes: int = 1) -> Script:
    """Send an answer in segments of this size, giving the other side the chance to read each by itself."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes) -> None:
        writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for at in range(0, len(raw), piece_bytes):
            writer.write(raw[at : at + piece_bytes])
            await writer.drain()
            # Both sides share one loop here: two turns of it, and the segment has been read.
            await asyncio.sleep(0)
            await asyncio.sleep(0)

    return script
