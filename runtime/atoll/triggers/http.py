"""HTTP in: aiohttp parses requests and keeps connections; a request becomes a FetchEvent, a Delivery an answer.

One request's way: check the head, find the worker, dispatch, write the head, pass the body on chunk by chunk with
backpressure, say that it is finished. The connection is then free for its next request, whatever the invocation still
drains. A client that leaves before the last byte cancels the invocation; after it, nothing. (One that leaves while its
upload is held back, for the handler does not read, is noticed once somebody reads or writes again, or at the deadline.)
Half-closed connections are closed at once, as nginx does.
"""

import asyncio
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

from aiohttp import web

from atoll.errors import (
    AtollError,
    BadRequest,
    Canceled,
    HandlerFailed,
    InternalError,
    StreamDisconnected,
    WorkerNotFound,
)
from atoll.events import Delivery, FetchEvent
from atoll.http.body import Source
from atoll.http.message import Request, Response
from atoll.ports import Dispatch, Observer
from atoll.suspension import Suspension
from atoll.triggers.coding import readable
from atoll.triggers.connection import Connection, Connections, HttpBounds
from atoll.triggers.failure import failure_response
from atoll.triggers.incoming import RequestBody, body_of, request_of
from atoll.triggers.outgoing import Framing, Outgoing
from atoll.triggers.refusal import Answered, refusal_id, warn_refused
from atoll.triggers.sending import Sending, Stalled


@dataclass(frozen=True, slots=True)
class WorkerBounds:
    """What the front needs to know of the worker that a request is for."""

    body_bytes_max: int
    body_timeout_s: float
    body_idle_s: float
    body_s: float
    """Seconds for the whole body of an answer; 0 is no bound."""
    suspension: Suspension


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
        self._dispatch = dispatch
        self._route = route
        self._bounds_of = bounds_of
        self._observer = observer
        self._bounds = bounds
        self._dev = dev
        self._servers: list[asyncio.Server] = []
        self._connections = Connections(self._answer, observer=observer, bounds=bounds)

    async def serve(self, sock: socket.socket) -> None:
        """Accept connections on a bound socket."""
        loop = asyncio.get_running_loop()
        self._servers.append(await loop.create_server(self._connections, sock=sock, backlog=4096))

    async def drain(self, timeout_s: float) -> None:
        """Accept nothing more, let requests in flight end within the time, then close every connection."""
        for server in self._servers:
            server.close()
        await self._connections.drain(timeout_s)

    @property
    def connections(self) -> int:
        """Connections that are open now."""
        return self._connections.count

    # One request.

    async def _answer(self, received: web.BaseRequest) -> Answered:
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
        sending = Sending(received, request, self._bounds.write_timeout_s, bounds)
        return await self._send(sending, delivery)

    async def _refuse(self, received: web.BaseRequest, refused: AtollError) -> Answered:
        request_id = refusal_id()
        warn_refused(self._observer, request_id, refused.status, str(refused))
        accept = received.headers.get("Accept", "")
        response = failure_response(refused, request_id=request_id, accept=accept, dev=self._dev)
        keep_alive = not isinstance(refused, BadRequest) and self._may_keep(received)
        if "Expect" in received.headers:
            # The client still waits to be told to send its body; it is not known whether it will.
            keep_alive = False
            _connection(received).no_lingering()
        http_1_0 = received.version == (1, 0)
        outgoing = Outgoing(response, method=received.method, http_1_0=http_1_0, keep_alive=keep_alive)
        body = b"" if outgoing.framing is Framing.NONE or response.body is None else response.body.held or b""
        try:
            await received.writer.write(outgoing.head(response, http_1_0=http_1_0) + body)
        except ConnectionError:
            return Answered(False)
        return Answered(outgoing.keep_alive)

    def _may_keep(self, received: web.BaseRequest) -> bool:
        return received.keep_alive and not self._connections.draining and not _connection(received).body_broke

    async def _send(self, sending: Sending, delivery: Delivery) -> Answered:
        """Write the answer and tell the invocation how that ended."""
        ended: AtollError | None = InternalError("the answer could not be written")
        try:
            if sending.request.body is not None:
                await _settle_expectation(sending.received, sending.request, delivery.response)
            answer = self._answer_for(sending, delivery)
            body = answer.response.body
            taken = b"" if body is None or answer.outgoing.framing is Framing.NONE else body.take()
            if not isinstance(taken, bytes):
                await self._stream(sending, delivery, answer, taken)
            elif sending.put(*answer.outgoing.whole(answer.head, taken)):
                await sending.drained()
            ended = answer.failure
            # Asked again, for much may have happened while a stream was sent.
            return Answered(answer.outgoing.keep_alive and self._may_keep(sending.received))
        except Stalled as stalled:
            ended = stalled.verdict
            return sending.cut()
        except ConnectionError:
            ended = Canceled("the client left before the last byte")
            return Answered(False)
        except asyncio.CancelledError:
            ended = Canceled("the client left before the last byte")
            raise
        except AtollError as broken:
            ended = StreamDisconnected(f"the body broke off: {broken}")
            return sending.cut()
        finally:
            if delivery.response is not None and delivery.response.body is not None:
                delivery.response.body.close()
            delivery.finish(ended)

    def _answer_for(self, sending: Sending, delivery: Delivery) -> "_Answer":
        """The answer and its head; a response that no client could understand is replaced by a failure."""
        response, error = delivery.response, delivery.error
        if response is not None and response.status == 101:
            response, error = None, HandlerFailed("the handler answered 101, but there is no WebSocket behind it")
            self._observer.failed(None, error, "response_head_failed")
        if response is not None:
            try:
                return self._headed(sending, delivery, response, None)
            except ValueError as cause:
                error = InternalError(f"the head of the response cannot be sent: {cause}")
                self._observer.failed(None, error, "response_head_failed")
        assert error is not None
        accept = sending.request.headers.get("accept") or ""
        failed = failure_response(error, request_id=delivery.invocation_id, accept=accept, dev=self._dev)
        return self._headed(sending, delivery, failed, None if error is delivery.error else error)

    def _headed(
        self, sending: Sending, delivery: Delivery, response: Response, failure: AtollError | None
    ) -> "_Answer":
        received, request = sending.received, sending.request
        response = readable(response, request.headers)
        http_1_0 = received.version == (1, 0)
        keep_alive = self._may_keep(received) and not _awaits_continue(request)
        outgoing = Outgoing(response, method=request.method, http_1_0=http_1_0, keep_alive=keep_alive)
        extra: tuple[tuple[str, str], ...] = ()
        trailed = self._dev and outgoing.framing is Framing.CHUNKED and accepts_trailers(request)
        if self._dev:
            if failure is None and delivery.error is None:
                extra = (("Atoll-Request-Id", delivery.invocation_id),)
            if timing := delivery.server_timing():
                extra += (("Server-Timing", timing),)
            if trailed:
                extra += (("Trailer", "Server-Timing"),)
        return _Answer(response, outgoing, outgoing.head(response, http_1_0=http_1_0, extra=extra), trailed, failure)

    async def _stream(self, sending: Sending, delivery: Delivery, answer: "_Answer", source: Source) -> None:
        outgoing = answer.outgoing
        try:
            await sending.write(answer.head)
            with sending.watched():
                while chunk := await sending.next_of(source):
                    if sending.put(*outgoing.frame(chunk)):
                        await sending.drained()
        finally:
            source.close()
        trailers = (("Server-Timing", delivery.server_timing()),) if answer.trailed else ()
        if last := outgoing.end(trailers):
            await sending.write(last)


@dataclass(frozen=True, slots=True, eq=False)
class _Answer:
    """What is sent: `failure` is why it is not what the handler gave; `trailed` says that Server-Timing follows."""

    response: Response
    outgoing: Outgoing
    head: bytes
    trailed: bool
    failure: AtollError | None


def accepts_trailers(request: Request) -> bool:
    """Whether the client said `TE: trailers` (RFC 9110, section 10.1.4)."""
    te = request.headers.get("te")
    return te is not None and "trailers" in {part.strip().lower() for part in te.split(",")}


async def _settle_expectation(received: web.BaseRequest, request: Request, response: Response | None) -> None:
    """Before the head of an answer: ask for a body that the answer is going to be made of, or else never again.

    `100 Continue` cannot follow the head of an answer; and who was never told to send shall not be waited for.
    """
    if not _awaits_continue(request):
        return
    asked = request.body
    assert asked is not None
    source = cast(RequestBody, asked.source)
    body = response.body if response is not None else None
    if body is not None and body.held is None and (asked.used or body is asked):
        await source.ask()
        return
    source.close()
    if not received.content.total_bytes:
        _connection(received).no_lingering()


def _awaits_continue(request: Request) -> bool:
    """Whether the client still waits to be told to send its body, so that it is not known what comes next."""
    source = request.body.source if request.body is not None else None
    return isinstance(source, RequestBody) and source.awaits_continue


def _connection(received: web.BaseRequest) -> Connection:
    return cast(Connection, received.protocol)
