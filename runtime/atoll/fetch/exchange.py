"""One exchange over HTTP/2: a task that sends a request by httpcore and hands over what comes back.

Invariants: at most about `incoming.HIGH_WATER_BYTES` of a body wait here, then no more is taken from httpcore;
whoever leaves ends the task; httpcore's errors end here. Source: RFC 9113, section 8.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import NamedTuple

import httpcore

from atoll.config import FetchConfig
from atoll.errors import AtollError, BadAnswer, BodyBroken, ConnectFailed, ConnectionBroken, FetchTimeout
from atoll.fetch.framing import FIELDS_MAX
from atoll.fetch.incoming import Incoming
from atoll.fetch.outgoing import CHUNKED, Outgoing
from atoll.fetch.waits import Waits
from atoll.http.body import Body, Source
from atoll.http.coding import coding_of
from atoll.http.headers import Headers


class Head(NamedTuple):
    """What is known when the head is there."""

    status: int
    headers: Headers
    body: Body | None
    address: str | None


class Exchange:
    """One request and its response; the connection behind its body (`incoming.Tap`)."""

    def __init__(
        self, pool: httpcore.AsyncConnectionPool, outgoing: Outgoing, config: FetchConfig, waits: Waits
    ) -> None:
        self.peer = outgoing.url.origin
        self.head: asyncio.Future[Head] = asyncio.get_running_loop().create_future()
        self.begun = False
        """Whether the head was handed over."""
        self.whole = False
        """Whether the response came to its end."""
        self.abandoned: Callable[[], None] | None = None
        """Called when nobody waits for the rest any more, before any other request is sent."""
        self.task: asyncio.Task[None] | None = None
        self._pool = pool
        self._outgoing = outgoing
        self._config = config
        self._waits = waits
        self._incoming: Incoming | None = None
        self._go_on: asyncio.Event = asyncio.Event()
        self._go_on.set()
        self._feed: _Feed | None = None

    def send(self) -> None:
        """Begin to read the request's body, if it is a source, in the task of whoever calls: it may be author code."""
        payload = self._outgoing.payload
        if payload is not None and not isinstance(payload, bytes):
            self._feed = _Feed(payload, self._outgoing.length)

    async def run(self) -> None:
        """Carry the exchange through."""
        try:
            response = await self._pool.handle_async_request(self._request())
            try:
                await self._receive(response)
            finally:
                await response.aclose()
        except Exception as error:
            self._fail(error if isinstance(error, AtollError) else self._translated(error))
        except BaseException:
            self._fail(ConnectionBroken(f"the exchange with {self.peer} was given up"))
            raise
        finally:
            if self._feed is not None:
                self._feed.task.cancel()

    # The body's side (incoming.Tap).

    def pause(self) -> None:
        self._go_on.clear()

    def resume(self) -> None:
        self._go_on.set()

    def left(self) -> None:
        if self.abandoned is not None and not self.whole:
            self.abandoned()
        if self.task is not None:
            self.task.cancel()

    def broke(self, failure: Exception) -> None:
        self._fail(failure)
        self.left()

    def _request(self) -> httpcore.Request:
        sending = self._outgoing
        url = sending.url
        # The head of HTTP/1.1, field by field: what may go out and what may not is decided in one place.
        head, _, small = sending.head.partition(b"\r\n\r\n")
        lines = (line.partition(b": ") for line in head.split(b"\r\n")[1:])
        # httpcore does not wait for `100 Continue`, so it is not asked for.
        fields = [(name, value) for name, _, value in lines if name != b"expect"]
        content = sending.payload if isinstance(sending.payload, bytes) else self._feed or small
        host = f"[{url.hostname}]" if ":" in url.hostname else url.hostname
        return httpcore.Request(
            sending.method,
            httpcore.URL(scheme=url.scheme, host=host, port=url.port, target=url.target),
            headers=fields,
            content=content,
            # Reading is bounded by whoever waits: one read of the connection serves many requests.
            extensions={"timeout": {"connect": self._config.connect_ms / 1000, "write": self._config.idle_ms / 1000}},
        )

    async def _receive(self, response: httpcore.Response) -> None:
        headers = _headers(self.peer, response)
        stream = response.extensions.get("network_stream")
        address = None if stream is None else stream.get_extra_info("server_addr")
        bodyless = self._outgoing.method == "HEAD" or response.status in (204, 304)
        body: Body | None = None
        if not bodyless:
            incoming = self._incoming = Incoming(self, self._waits, self._config.idle_ms)
            length = headers.get("content-length")
            body = Body(
                source=incoming,
                length=int(length) if length is not None and length.isdecimal() else None,
                encoding=coding_of(headers.get("content-encoding")),
            )
        if self.head.done():
            return
        self.begun = True
        self.head.set_result(Head(response.status, headers, body, address[0] if address else None))
        async for chunk in response.aiter_stream():
            if self._incoming is not None and chunk:
                self._incoming.add((chunk,))
                await self._go_on.wait()
        self.whole = True
        if self._incoming is not None:
            self._incoming.end()

    def _fail(self, failure: Exception) -> None:
        if not self.head.done():
            self.head.set_exception(failure)
        elif self._incoming is not None:
            broken = failure if isinstance(failure, AtollError) else BodyBroken(f"the exchange failed: {failure!r}")
            self._incoming.fail(broken)

    def _translated(self, error: Exception) -> Exception:
        """What happened, in the words of this room; an error that is not httpcore's came from the request's body."""
        peer, what = self.peer, str(error) or type(error).__name__
        match error:
            case httpcore.ConnectTimeout():
                bound = f"{self._config.connect_ms} ms (fetch.connect_ms)"
                return FetchTimeout(f"no connection to {peer} came about within {bound}")
            case httpcore.TimeoutException():
                bound = f"{self._config.idle_ms} ms (fetch.idle_ms)"
                return FetchTimeout(f"{peer} took no more of the request's body for {bound}")
            case httpcore.ConnectError():
                return ConnectFailed(f"no connection to {peer}: {what}")
            case httpcore.NetworkError() | httpcore.ProtocolError() if self.begun:
                return BodyBroken(f"{peer} broke off in the middle of the body: {what}")
            case httpcore.ProtocolError():
                return BadAnswer(f"{peer} did not answer the request: {what}")
            case httpcore.NetworkError():
                return ConnectionBroken(f"the connection to {peer} was lost: {what}")
        return error


class _Feed:
    """A request's body on its way to httpcore: read in a task of the one that sends it, one chunk ahead."""

    def __init__(self, source: Source, length: int) -> None:
        self._source = source
        self._length = length
        self._chunks: asyncio.Queue[bytes | Exception] = asyncio.Queue(1)
        self.task = asyncio.get_running_loop().create_task(self._read())

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while chunk := await self._chunks.get():
            if isinstance(chunk, Exception):
                raise chunk
            yield chunk

    async def _read(self) -> None:
        sent = 0
        try:
            while chunk := await self._source.read():
                sent += len(chunk)
                if self._length not in (CHUNKED, sent) and sent > self._length:
                    break
                await self._chunks.put(chunk)
            if self._length not in (CHUNKED, sent):
                raise BodyBroken(f"the request's body has not its announced length of {self._length} bytes")
            await self._chunks.put(b"")
        except Exception as error:
            # It is the exchange that has to raise it.
            await self._chunks.put(error)
        finally:
            self._source.close()
            if getattr(self._source, "author_code", False):
                await self._source.aclose()  # type: ignore[attr-defined]


def _headers(peer: str, response: httpcore.Response) -> Headers:
    """The fields, checked: HTTP/2 could carry what no HTTP/1.1 head may hold."""
    if len(response.headers) > FIELDS_MAX:
        raise BadAnswer(f"{peer} sent {len(response.headers)} header fields, at most {FIELDS_MAX} are read")
    try:
        return Headers([(name.decode("latin-1"), value.decode("latin-1")) for name, value in response.headers])
    except ValueError as error:
        raise BadAnswer(f"{peer} sent a header field that is not valid: {error}") from None
