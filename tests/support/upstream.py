"""Upstreams for tests, on real sockets: one that does byte for byte what a script says, one that counts JSON requests.

    async with ScriptedUpstream([answer(b"hello")]) as upstream:
        await client.get(upstream.url("/"))
        assert upstream.requests == 1

A script is `async def script(reader, writer, head)`, called once for each request with the bytes of its head; it
closes the writer to end the connection. A list of answers is a script too: each request gets the next one, and
the last one serves for all that follow. Ready-made scripts stand in `scripts.py`.
"""

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Self

from aiohttp import web

Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter, bytes], Awaitable[None]]

HEAD_BYTES_MAX = 4 * 1024 * 1024


class ScriptedUpstream:
    """A TCP server that follows a script and keeps books.

    `heads` has every request head as it came. An exception of the script (other than the peer's leaving) is
    raised when the block ends, so that a mistake in a script fails its test.
    """

    def __init__(self, script: Script | Sequence[bytes], *, tls: ssl.SSLContext | None = None) -> None:
        self._script = script if callable(script) else _in_turn(script)
        self._tls = tls
        self._tasks: set[asyncio.Task[None]] = set()
        self._failures: list[Exception] = []
        self.heads: list[bytes] = []
        self.connections_open = 0
        self.connections_ever = 0
        self.connections_open_max = 0
        self.port = 0

    @property
    def requests(self) -> int:
        """How many request heads came."""
        return len(self.heads)

    @property
    def origin(self) -> str:
        """Scheme, host and port; the host is a name under TLS, for that is what a certificate is for."""
        return f"https://localhost:{self.port}" if self._tls else f"http://127.0.0.1:{self.port}"

    def url(self, path: str = "/") -> str:
        """The absolute URL of a path here."""
        return self.origin + path

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(
            self._accepted, "127.0.0.1", 0, ssl=self._tls, limit=HEAD_BYTES_MAX, backlog=1024
        )
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()
        if self._failures and kind is None:
            raise ExceptionGroup("the script of the upstream failed", self._failures)

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        self.connections_ever += 1
        self.connections_open += 1
        self.connections_open_max = max(self.connections_open_max, self.connections_open)
        try:
            await self._converse(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
            pass
        except Exception as failure:
            self._failures.append(failure)
        finally:
            self.connections_open -= 1
            writer.transport.abort()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while not writer.is_closing():
            head = await reader.readuntil(b"\r\n\r\n")
            self.heads.append(head)
            await self._script(reader, writer, head)
            if not writer.is_closing():
                await writer.drain()
        # What was written before the script closed has still to go out.
        await writer.wait_closed()


class CountingUpstream:
    """An aiohttp server that answers everything with one JSON object, and counts.

    While `gate` is not set, requests are counted and held; with it a test makes them overlap without sleeping.
    """

    def __init__(self, facts: Any = None, *, held: bool = False) -> None:
        self.facts = {"ok": True} if facts is None else facts
        self.gate = asyncio.Event()
        if not held:
            self.gate.set()
        self.count = 0
        self.in_flight = 0
        self.in_flight_max = 0
        self.targets: list[str] = []
        self.port = 0

    @property
    def origin(self) -> str:
        """Scheme, host and port."""
        return f"http://127.0.0.1:{self.port}"

    def url(self, path: str = "/") -> str:
        """The absolute URL of a path here."""
        return self.origin + path

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_route("*", "/{tail:.*}", self._answer)
        self._runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    async def _answer(self, request: web.Request) -> web.Response:
        self.count += 1
        self.targets.append(request.raw_path)
        self.in_flight += 1
        self.in_flight_max = max(self.in_flight_max, self.in_flight)
        try:
            await request.read()
            await self.gate.wait()
            return web.json_response(self.facts)
        finally:
            self.in_flight -= 1


@contextmanager
def refusing() -> Iterator[str]:
    """The origin of a port that refuses connections, kept from being taken by anyone else meanwhile."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{bound.getsockname()[1]}"


def answer(
    body: bytes = b"", status: str = "200 OK", headers: Sequence[tuple[str, str]] = (), *, length: int | None = None
) -> bytes:
    """The bytes of one response; `length` makes Content-Length lie."""
    fields = [*headers, ("Content-Length", str(len(body) if length is None else length))]
    return head_of(status, fields) + body


def chunked_answer(*chunks: bytes, status: str = "200 OK", headers: Sequence[tuple[str, str]] = ()) -> bytes:
    """The bytes of one response in the chunked transfer coding."""
    head = head_of(status, [*headers, ("Transfer-Encoding", "chunked")])
    return head + b"".join(chunk_of(chunk) for chunk in chunks) + b"0\r\n\r\n"


def head_of(status: str, headers: Sequence[tuple[str, str]]) -> bytes:
    """A status line and header lines, with the empty line that ends them."""
    lines = [f"HTTP/1.1 {status}", *(f"{name}: {value}" for name, value in headers)]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def chunk_of(data: bytes) -> bytes:
    """One chunk of the chunked transfer coding."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def _in_turn(answers: Sequence[bytes]) -> Script:
    left = list(answers)

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes) -> None:
        await read_body(reader, head)
        writer.write(left.pop(0) if len(left) > 1 else left[0])

    return script


async def read_body(reader: asyncio.StreamReader, head: bytes) -> bytes:
    """Read the request body that a head announces, by its length or chunked."""
    fields = dict(line.lower().split(b":", 1) for line in head.split(b"\r\n")[1:] if b":" in line)
    if b"chunked" not in fields.get(b"transfer-encoding", b""):
        return await reader.readexactly(int(fields.get(b"content-length", b"0")))
    body = b""
    while size := int((await reader.readline()).split(b";")[0], 16):
        body += (await reader.readexactly(size + 2))[:-2]
    await reader.readuntil(b"\r\n")
    return body
