"""Ready-made scripts for `ScriptedUpstream`: the ways in which an upstream can misbehave."""

import asyncio
import socket
import struct
import time
from collections.abc import Sequence

from support.upstream import Script, chunk_of, head_of

SILENCE = b""
POLL_S = 0.01


def bytes_then_close(raw: bytes) -> Script:
    """Send exactly these bytes, whatever they are, and end the connection: garbage, half a head, a body cut short."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes) -> None:
        writer.write(raw)
        writer.close()

    return script


def bytes_then_silence(raw: bytes = SILENCE) -> Script:
    """Send these bytes, then nothing until the peer leaves: a stall at that very byte."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes) -> None:
        writer.write(raw)
        await until_peer_left(reader)
        writer.close()

    return script


def bytes_then_reset(raw: bytes = b"") -> Script:
    """Send these bytes, then an RST instead of a FIN."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes) -> None:
        writer.write(raw)
        await writer.drain()
        reset(writer)

    return script


def truncated(body: bytes, missing_bytes: int = 10) -> Script:
    """Promise a length, send less, close."""
    return bytes_then_close(head_of("200 OK", [("Content-Length", str(len(body) + missing_bytes))]) + body)


def chunked_cut(chunks: Sequence[bytes]) -> Script:
    """Send chunks, and close without the last one."""
    head = head_of("200 OK", [("Transfer-Encoding", "chunked")])
    return bytes_then_close(head + b"".join(map(chunk_of, chunks)))


def after(gate: asyncio.Event, script: Script) -> Script:
    """Hold each request until the gate is set, then do as the script says."""

    async def held(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes) -> None:
        await gate.wait()
        await script(reader, writer, head)

    return held


def delayed(delay_s: float, script: Script) -> Script:
    """Do as the script says after a while; for latencies, not for waiting."""

    async def late(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes) -> None:
        await asyncio.sleep(delay_s)
        await script(reader, writer, head)

    return late


class Endless:
    """A script that streams a chunked body until the peer leaves.

    `sent_bytes` counts what the kernel has taken; `peer_left` is set once the peer is gone. A client that does
    not read makes `sent_bytes` stop: `settled` waits for that.
    """

    def __init__(self, chunk: bytes = b"x" * 65_536) -> None:
        self.chunk = chunk
        self.sent_bytes = 0
        self.peer_left = asyncio.Event()

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes) -> None:
        # With no room in the writer, drain returns when the kernel has taken all of it.
        writer.transport.set_write_buffer_limits(high=0)
        writer.write(head_of("200 OK", [("Transfer-Encoding", "chunked")]))
        gone = asyncio.ensure_future(until_peer_left(reader))
        sending = asyncio.ensure_future(self._send(writer))
        try:
            await asyncio.wait({gone, sending}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self.peer_left.set()
            gone.cancel()
            sending.cancel()
            await asyncio.gather(gone, sending, return_exceptions=True)
            writer.transport.abort()

    async def _send(self, writer: asyncio.StreamWriter) -> None:
        framed = chunk_of(self.chunk)
        while True:
            writer.write(framed)
            await writer.drain()
            self.sent_bytes += len(self.chunk)

    async def settled(self, quiet_s: float = 0.3, within_s: float = 10.0) -> int:
        """Wait until nothing has been taken for `quiet_s`; how many bytes had been."""
        deadline_s = time.monotonic() + within_s
        last, since_s = -1, time.monotonic()
        while time.monotonic() - since_s < quiet_s or last == 0:
            if time.monotonic() > deadline_s:
                raise AssertionError(f"still sending after {within_s:g} s: {self.sent_bytes} bytes")
            if self.sent_bytes != last:
                last, since_s = self.sent_bytes, time.monotonic()
            await asyncio.sleep(POLL_S)
        return last


class Dribble:
    """A script that sends bytes piece by piece, each when `step` allows it; then the connection stays open."""

    def __init__(self, raw: bytes, piece_bytes: int = 1) -> None:
        self.pieces = [raw[at : at + piece_bytes] for at in range(0, len(raw), piece_bytes)]
        self.sent = 0
        self._permits = asyncio.Semaphore(0)

    def step(self, pieces: int = 1) -> None:
        """Let this many more pieces go."""
        for _ in range(pieces):
            self._permits.release()

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes) -> None:
        for piece in self.pieces:
            await self._permits.acquire()
            writer.write(piece)
            await writer.drain()
            self.sent += 1


async def until_peer_left(reader: asyncio.StreamReader) -> None:
    """Return when the peer has closed or reset the connection; whatever else it sends is read and dropped."""
    try:
        while await reader.read(65_536):
            pass
    except ConnectionError:
        pass


def reset(writer: asyncio.StreamWriter) -> None:
    """End a connection by RST; what was not sent yet is lost."""
    connection = writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
