"""A client that sends bytes and reads bytes: what a well-behaved one would never do, and exactly what came back.

async with connected(port) as client:
    await client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    answer = await client.answer()
    assert (answer.status, answer.body) == (200, b"hello")
"""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

WITHIN_S = 5.0


@dataclass(frozen=True, slots=True)
class RawAnswer:
    """One response as it stood on the wire, its framing undone."""

    status: int
    reason: str
    fields: list[tuple[str, str]]
    body: bytes
    chunks: tuple[bytes, ...] = ()
    trailers: tuple[tuple[str, str], ...] = ()

    def get(self, name: str) -> str | None:
        """The value of a field that stands there at most once."""
        values = self.all(name)
        assert len(values) <= 1, f"{name} stands there {len(values)} times"
        return values[0] if values else None

    def all(self, name: str) -> list[str]:
        """The values of a field, in order."""
        return [value for key, value in self.fields if key.lower() == name.lower()]


class RawClient:
    """One connection; every wait has a deadline."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, data: bytes, *, piece_bytes: int = 0) -> None:
        """Send, in segments of `piece_bytes` when given, each of which the other side may read by itself."""
        pieces = [data[at : at + piece_bytes] for at in range(0, len(data), piece_bytes)] if piece_bytes else [data]
        for piece in pieces:
            self.writer.write(piece)
            async with asyncio.timeout(WITHIN_S):
                await self.writer.drain()
            if piece_bytes:
                # Both sides share one loop here: two turns of it, and the segment has been read.
                await asyncio.sleep(0)
                await asyncio.sleep(0)

    async def answer(self, method: str = "GET") -> RawAnswer:
        """Read one response, by the rules of RFC 9112, section 6.3."""
        async with asyncio.timeout(WITHIN_S):
            status, reason, fields = await self.head()
            named = {name.lower(): value for name, value in fields}
            if method == "HEAD" or status < 200 or status in (204, 304):
                return RawAnswer(status, reason, fields, b"")
            if named.get("transfer-encoding") == "chunked":
                chunks = [chunk async for chunk in self.chunks()]
                trailers = await self._fields()
                return RawAnswer(status, reason, fields, b"".join(chunks), tuple(chunks), tuple(trailers))
            if "content-length" in named:
                body = await self.reader.readexactly(int(named["content-length"]))
                return RawAnswer(status, reason, fields, body)
            return RawAnswer(status, reason, fields, await self.reader.read())

    async def head(self) -> tuple[int, str, list[tuple[str, str]]]:
        """Read a status line and its fields."""
        async with asyncio.timeout(WITHIN_S):
            line = (await self.reader.readuntil(b"\r\n")).decode("latin-1")
            version, status, reason = line.removesuffix("\r\n").split(" ", 2)
            assert version == "HTTP/1.1", line
            return int(status), reason, await self._fields()

    async def chunks(self) -> AsyncIterator[bytes]:
        """Read the chunks of a chunked body to the last one; its trailer fields are still to be read."""
        while size := int(await self.reader.readuntil(b"\r\n"), 16):
            yield await self.reader.readexactly(size)
            assert await self.reader.readexactly(2) == b"\r\n"

    async def rest(self) -> bytes:
        """Read until the server closes; a reset ends it too."""
        read = b""
        async with asyncio.timeout(WITHIN_S):
            try:
                while data := await self.reader.read(65_536):
                    read += data
            except ConnectionError:
                pass
        return read

    def reset(self) -> None:
        """Leave by an RST."""
        connection = self.writer.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    async def _fields(self) -> list[tuple[str, str]]:
        fields: list[tuple[str, str]] = []
        while (line := await self.reader.readuntil(b"\r\n")) != b"\r\n":
            name, _, value = line.decode("latin-1").removesuffix("\r\n").partition(": ")
            fields.append((name, value))
        return fields


@asynccontextmanager
async def connected(port: int, *, receive_bytes: int = 0) -> AsyncIterator[RawClient]:
    """A connection to a port of this machine; `receive_bytes` makes the kernel hold little for a slow reader."""
    sock = socket.socket()
    sock.setblocking(False)
    if receive_bytes:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
    except OSError:
        sock.close()
        raise
    reader, writer = await asyncio.open_connection(sock=sock, limit=4096 if receive_bytes else 1 << 20)
    try:
        yield RawClient(reader, writer)
    finally:
        writer.transport.abort()
        await asyncio.sleep(0)


def request(method: str = "GET", target: str = "/", *lines: str, body: bytes = b"", version: str = "HTTP/1.1") -> bytes:
    """The bytes of one request; Host is there unless the lines have one."""
    fields = [line for line in lines if line]
    if not any(line.lower().startswith("host:") for line in fields):
        fields.insert(0, "Host: a.example")
    return "\r\n".join([f"{method} {target} {version}", *fields, "", ""]).encode("latin-1") + body
