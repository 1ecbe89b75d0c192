"""HTTP in: aiohttp parses requests and keeps connections; a request becomes a FetchEvent, a Delivery an answer.

One request's way: check the head, find the worker, dispatch, write the head, pass the body on chunk by chunk with
backpressure, say that it is finished. The connection is then free for its next request, whatever the invocation still
drains. A client that leaves before the last byte cancels the invocation; after it, nothing.
Half-closed connections are closed at once, as nginx does.
"""

import asyncio
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from aiohttp import http_parser, web
from aiohttp.http_exceptions import LineTooLong
from aiohttp.web_protocol import RequestHandler

from atoll.errors import (
    AtollError,
    BadRequest,
    Canceled,
    InternalError,
    StartError,
    StreamDisconnected,
    WallExceeded,
    WorkerNotFound,
)
from atoll.events import Delivery, FetchEvent
from atoll.http.body import Body, Source
from atoll.http.message import Request
from atoll.ports import Dispatch, Observer
from atoll.triggers.failure import failure_response
from atoll.triggers.incoming import RequestBody, body_of, request_of
from atoll.triggers.outgoing import Framing, Outgoing

_FIELDS_MAX: Final = 256


@dataclass(frozen=True, slots=True)
class HttpBounds:
    """The front's own bounds; the gateway's keys in `config`, in seconds and bytes."""

    url_bytes_max: int
    headers_bytes_max: int
    idle_timeout_s: float
    write_timeout_s: float
    connections_max: int


@dataclass(frozen=True, slots=True)
class WorkerBounds:
    """What the front needs to know of the worker that a request is for."""

    body_bytes_max: int
    body_timeout_s: float
    body_idle_s: float


class HttpTrigger:
    """Serves HTTP on listening sockets; `route` gives a worker's name for host and path, `bounds_of` its bounds."""

    def __init__(
        self,
        *,
        dispatch: Dispatch,
        route: Callable[[str, str], str | None],
        bounds_of: Callable[[str], WorkerBounds],
        observer: Observer,
        bounds: HttpBounds,
        dev: bool,
    ) -> None:
        if http_parser.HttpRequestParser is http_parser.HttpRequestParserPy:
            raise StartError(
                "aiohttp's C parser is missing (AIOHTTP_NO_EXTENSIONS is set, or aiohttp was built from source without "
                "it); its Python parser is not safe to face clients: install an aiohttp wheel for this platform"
            )
        self._dispatch = dispatch
        self._route = route
        self._bounds_of = bounds_of
        self._observer = observer
        self._bounds = bounds
        self._dev = dev
        self._draining = False
        self._servers: list[asyncio.Server] = []
        self._connections = _Connections(
            self._answer,
            observer=observer,
            connections_max=bounds.connections_max,
            handler_cancellation=True,
            access_log=None,
            keepalive_timeout=bounds.idle_timeout_s,
            lingering_time=5.0,
            max_line_size=bounds.url_bytes_max,
            max_field_size=bounds.headers_bytes_max,
            max_headers=_FIELDS_MAX,
            auto_decompress=False,
        )

    async def serve(self, sock: socket.socket) -> None:
        """Accept connections on a bound socket."""
        loop = asyncio.get_running_loop()
        self._servers.append(await loop.create_server(self._connections, sock=sock, backlog=4096))

    async def drain(self, timeout_s: float) -> None:
        """Accept nothing more, let requests in flight end within the time, then close every connection."""
        self._draining = True
        for server in self._servers:
            server.close()
        self._connections.pre_shutdown()
        await self._connections.shutdown(timeout_s)

    @property
    def connections(self) -> int:
        """Connections that are open now."""
        return self._connections.count

    # One request.

    async def _answer(self, received: web.BaseRequest) -> "Answered":
        scheme = "http" if received.protocol.ssl_context is None else "https"
        try:
            request = request_of(received, scheme, self._bounds.headers_bytes_max)
            worker = self._route(request.url.hostname, request.url.path)
            if worker is None:
                raise WorkerNotFound(f"no worker's route matches {request.url.authority}{request.url.path}")
            bounds = self._bounds_of(worker)
            request.body = body_of(received, request.headers, bounds)
        except (BadRequest, WorkerNotFound) as refused:
            return await self._refuse(received, refused)
        delivery = await self._dispatch(worker, FetchEvent(request))
        sending = _Sending(received, request, self._bounds.write_timeout_s, bounds.body_idle_s)
        return await self._send(sending, delivery)

    async def _refuse(self, received: web.BaseRequest, refused: AtollError) -> "Answered":
        self._observer.warned("request_refused", status=refused.status, why=str(refused))
        accept = received.headers.get("Accept", "")
        response = failure_response(refused, request_id="", accept=accept, dev=self._dev)
        keep_alive = not isinstance(refused, BadRequest) and self._may_keep(received)
        http_1_0 = received.version == (1, 0)
        outgoing = Outgoing(response, method=received.method, http_1_0=http_1_0, keep_alive=keep_alive)
        body = b"" if outgoing.framing is Framing.NONE or response.body is None else response.body.held or b""
        await received.writer.write(outgoing.head(response, http_1_0=http_1_0) + body)
        return Answered(outgoing.keep_alive)

    def _may_keep(self, received: web.BaseRequest) -> bool:
        return received.keep_alive and not self._draining

    async def _send(self, sending: "_Sending", delivery: Delivery) -> "Answered":
        """Write the answer and tell the invocation how that ended."""
        ended: AtollError | None = InternalError("the answer could not be written")
        try:
            keep_alive = await self._write(sending, delivery)
            ended = None
            return Answered(keep_alive)
        except _Stalled as stalled:
            ended = stalled.verdict
            return sending.cut()
        except ConnectionError:
            ended = Canceled("the client left before the last byte")
            raise
        except asyncio.CancelledError:
            ended = Canceled("the client left before the last byte")
            raise
        except AtollError as broken:
            ended = StreamDisconnected(f"the body broke off: {broken}")
            return sending.cut()
        finally:
            delivery.finish(ended)

    async def _write(self, sending: "_Sending", delivery: Delivery) -> bool:
        received, request = sending.received, sending.request
        response = delivery.response
        if response is None:
            assert delivery.error is not None
            response = failure_response(
                delivery.error,
                request_id=delivery.invocation_id,
                accept=request.headers.get("accept") or "",
                dev=self._dev,
            )
        keep_alive = self._may_keep(received)
        if isinstance(request.body, Body) and isinstance(request.body.source, RequestBody):
            # Nobody told this client to send its body, so it is not known what comes next on the connection.
            keep_alive = keep_alive and not request.body.source.awaits_continue
        http_1_0 = received.version == (1, 0)
        outgoing = Outgoing(response, method=request.method, http_1_0=http_1_0, keep_alive=keep_alive)
        extra: tuple[tuple[str, str], ...] = ()
        if self._dev:
            extra = (("Atoll-Request-Id", delivery.invocation_id),) if delivery.response is not None else ()
            if timing := delivery.server_timing():
                extra += (("Server-Timing", timing),)
        wants_trailers = self._dev and outgoing.framing is Framing.CHUNKED and accepts_trailers(request)
        if wants_trailers:
            extra += (("Trailer", "Server-Timing"),)
        head = outgoing.head(response, http_1_0=http_1_0, extra=extra)
        body = response.body
        if body is None or outgoing.framing is Framing.NONE:
            await sending.write(head)
            return outgoing.keep_alive
        taken = body.take()
        if isinstance(taken, bytes):
            await sending.write(*(outgoing.whole(head, taken)))
            return outgoing.keep_alive
        await sending.write(head)
        await self._stream(sending, outgoing, taken)
        trailers = (("Server-Timing", delivery.server_timing()),) if wants_trailers else ()
        await sending.write(outgoing.end(trailers))
        return outgoing.keep_alive

    async def _stream(self, sending: "_Sending", outgoing: Outgoing, source: Source) -> None:
        try:
            with sending.watched():
                while chunk := await sending.next_of(source):
                    await sending.write(*outgoing.frame(chunk))
        finally:
            source.close()


class _Stalled(Exception):
    """One side of a body was silent for too long; `verdict` says which."""

    def __init__(self, verdict: AtollError) -> None:
        super().__init__(str(verdict))
        self.verdict = verdict


class _Sending:
    """One answer on its way: writes with backpressure, and a watch over silence on either side of a body.

    The watch is one timer for a whole body, however many chunks it has: it compares the time with the deadline of
    whichever wait is on, and cancels the sending task when that has passed.
    """

    __slots__ = (
        "_body_idle_s",
        "_deadline_s",
        "_expired",
        "_loop",
        "_reads",
        "_task",
        "_timer",
        "_write_timeout_s",
        "received",
        "request",
    )

    def __init__(self, received: web.BaseRequest, request: Request, write_timeout_s: float, body_idle_s: float) -> None:
        self.received = received
        self.request = request
        self._write_timeout_s = write_timeout_s
        self._body_idle_s = body_idle_s
        self._loop = asyncio.get_running_loop()
        self._task: asyncio.Task[Any] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._deadline_s = 0.0
        self._reads = False
        self._expired = False

    async def write(self, *parts: bytes) -> None:
        """Write, and wait while the client does not keep up; `ConnectionError` when it has gone."""
        self._waits(False, self._write_timeout_s)
        for part in parts:
            if part:
                await self.received.writer.write(part)

    async def next_of(self, source: Source) -> bytes:
        """The next chunk of the body."""
        self._waits(True, self._body_idle_s)
        return await source.read()

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Raise `_Stalled` out of whatever is awaited in here when a wait has been too long."""
        self._task = asyncio.current_task()
        self._deadline_s = self._loop.time() + self._body_idle_s
        self._arm()
        try:
            yield
        except asyncio.CancelledError:
            if self._expired and self._task is not None and self._task.uncancel() == 0:
                raise _Stalled(self._verdict()) from None
            raise
        finally:
            self._task = None
            if self._timer is not None:
                self._timer.cancel()

    def cut(self) -> "Answered":
        """End the connection so that the client can tell that the body is not whole."""
        transport = self.received.transport
        if transport is not None and (self._expired or self.received.version == (1, 0)):
            transport.abort()
        return Answered(False)

    def _waits(self, reads: bool, limit_s: float) -> None:
        if self._task is None:
            return
        self._reads = reads
        before_s, self._deadline_s = self._deadline_s, self._loop.time() + limit_s
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
        self._expired = True
        self._task.cancel()

    def _verdict(self) -> AtollError:
        if self._reads:
            return WallExceeded(
                f"no part of the body came for {self._body_idle_s:g} s (limits.body_idle_ms); the stream was cut"
            )
        return Canceled(f"the client read nothing for {self._write_timeout_s:g} s (gateway.write_timeout_s)")


def accepts_trailers(request: Request) -> bool:
    """Whether the client said `TE: trailers` (RFC 9110, section 10.1.4)."""
    te = request.headers.get("te")
    return te is not None and "trailers" in {part.strip().lower() for part in te.split(",")}


class Answered(web.StreamResponse):
    """Tells aiohttp that the answer has been written, and whether the connection may be used again."""

    def __init__(self, keep_alive: bool) -> None:
        self._keep = keep_alive

    @property
    def keep_alive(self) -> bool:
        return self._keep

    async def prepare(self, request: web.BaseRequest) -> Any:
        return None

    async def write_eof(self, data: bytes = b"") -> None:
        return None


class _Connections(web.Server):
    """aiohttp's server with our protocol: bounded in connections, quiet about clients' nonsense."""

    def __init__(self, handler: Any, *, observer: Observer, connections_max: int, **named: Any) -> None:
        super().__init__(handler, **named)
        self.observer = observer
        self._connections_max = connections_max

    @property
    def count(self) -> int:
        """Connections that are open now, without making a list of them."""
        return len(self._connections)

    def __call__(self) -> RequestHandler:
        return _Connection(self, loop=self._loop, **self._kwargs)

    def connection_made(self, handler: RequestHandler, transport: asyncio.Transport) -> None:
        super().connection_made(handler, transport)
        if len(self._connections) > self._connections_max:
            self.observer.warned("connection_refused", connections=self._connections_max, why="gateway.connections")
            transport.abort()


class _Connection(RequestHandler):
    """aiohttp's protocol; a request that cannot be parsed gets a status and one line, and its bytes no echo."""

    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        manager = self._manager
        assert isinstance(manager, _Connections)
        if status >= 500 and exc is not None:
            manager.observer.failed(None, exc, "request_failed")
            return _Refusal(500, "the gateway failed")
        if isinstance(exc, LineTooLong):
            in_line = request.method == "UNKNOWN" and "line" in str(exc).lower()
            status = 414 if in_line else 431
        why = f"{type(exc).__name__}" if exc is not None else "bad request"
        manager.observer.warned("request_refused", status=status, why=why)
        return _Refusal(status, "the request is not valid HTTP" if status == 400 else "the request head is too large")


class _Refusal(Answered):
    """An answer to what could not be parsed; written when aiohttp asks for it, and the connection then closed."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(False)
        self._refusal = BadRequest(sentence, status)

    async def prepare(self, request: web.BaseRequest) -> Any:
        if request.writer.output_size == 0:
            response = failure_response(self._refusal, request_id="", accept="", dev=False)
            outgoing = Outgoing(response, method="GET", http_1_0=False, keep_alive=False)
            held = response.body.held if response.body is not None else b""
            await request.writer.write(outgoing.head(response, http_1_0=False) + (held or b""))
        return None
