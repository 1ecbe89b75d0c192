"""Client connections: aiohttp's server and protocol, with the bounds and the manners of a gateway.

Rules of this file: all that touches aiohttp's inner parts stands here, and nothing of requests that could be parsed.
Invariants: what cannot be parsed is answered once, in its turn, with a status and one line, and its bytes get no
echo; after that, nothing more is parsed on that connection. A head is bounded in bytes and in seconds, however
small the segments that it comes in. A connection that the client does not read ends after `write_timeout_s`, also
when it is being closed.
"""

import asyncio
import socket
from dataclasses import dataclass
from typing import Any, Final

from aiohttp import http_parser, web
from aiohttp.streams import EMPTY_PAYLOAD, StreamReader
from aiohttp.web_protocol import RequestHandler, RequestPayloadError, _ErrInfo

from atoll.errors import BadRequest, StartError
from atoll.ports import Observer
from atoll.triggers.refusal import FIELDS_MAX, Refusal, named, refusal_id, warn_refused

_BODY_LINGER_S: Final = 5.0
"""How long the rest of a body that nobody read is taken and dropped, so that the client gets to read its answer."""


@dataclass(frozen=True, slots=True)
class HttpBounds:
    """The front's own bounds; the gateway's keys in `config`, in seconds and bytes."""

    url_bytes_max: int
    headers_bytes_max: int
    header_timeout_s: float
    idle_timeout_s: float
    write_timeout_s: float
    connections_max: int


class Connections(web.Server):
    """aiohttp's server with our protocol: bounded in connections, quiet about clients' nonsense."""

    def __init__(self, handler: Any, *, observer: Observer, bounds: HttpBounds) -> None:
        if http_parser.HttpRequestParser is http_parser.HttpRequestParserPy:
            raise StartError(
                "aiohttp's C parser is missing (AIOHTTP_NO_EXTENSIONS is set, or aiohttp was built from source without "
                "it); its Python parser is not safe to face clients: install an aiohttp wheel for this platform"
            )
        super().__init__(
            handler,
            handler_cancellation=True,
            access_log=None,
            keepalive_timeout=bounds.idle_timeout_s,
            lingering_time=_BODY_LINGER_S,
            max_line_size=bounds.url_bytes_max,
            # The parser tells which of the two was passed by nothing but the number.
            max_field_size=bounds.headers_bytes_max + (bounds.headers_bytes_max == bounds.url_bytes_max),
            max_headers=FIELDS_MAX,
            auto_decompress=False,
        )
        self.observer = observer
        self.bounds = bounds
        self.draining = False
        self._empty = asyncio.Event()
        self._empty.set()

    @property
    def count(self) -> int:
        """Connections that are open now, without making a list of them."""
        return len(self._connections)

    def __call__(self) -> RequestHandler:
        return Connection(self, loop=self._loop, **self._kwargs)

    def connection_made(self, handler: RequestHandler, transport: asyncio.Transport) -> None:
        super().connection_made(handler, transport)
        self._empty.clear()
        if len(self._connections) > self.bounds.connections_max:
            self.observer.warned(
                "connection_refused", connections=self.bounds.connections_max, why="gateway.connections"
            )
            transport.abort()
        elif self.draining:
            transport.abort()
        else:
            _bound_silence(transport, self.bounds.write_timeout_s)

    def connection_lost(self, handler: RequestHandler, exc: BaseException | None = None) -> None:
        task = handler._task_handler
        super().connection_lost(handler, exc)
        if task is not None:
            # After the callback of the line above, by which the connection is forgotten.
            task.add_done_callback(self._one_less)
        else:
            self._one_less()

    def _one_less(self, *_: object) -> None:
        if not self._connections:
            self._empty.set()

    async def drain(self, timeout_s: float) -> None:
        """Close idle connections, let requests in flight end within the time, then cut what is left."""
        self.draining = True
        # A connection that was accepted just now gets to the point where it can be told to be idle.
        await asyncio.sleep(0)
        for connection in list(self._connections):
            if connection._waiter is not None and not connection._messages:
                connection.force_close()
        try:
            async with asyncio.timeout(timeout_s):
                await self._empty.wait()
        except TimeoutError:
            pass
        for transport in list(self._connections.values()):
            transport.abort()
        await self._empty.wait()


class Connection(RequestHandler):
    """aiohttp's protocol, with a bound on heads and an ear that closes at the first nonsense."""

    __slots__ = ("_arriving", "_counted", "_deaf", "_head_bytes", "_head_timer", "body_broke")

    def __init__(self, manager: Connections, **named: Any) -> None:
        super().__init__(manager, **named)
        self.body_broke = False
        """The framing of a request body is lost, so the connection ends with the present answer."""
        self._deaf = False
        """What still comes is not looked at: the last thing heard could not be understood."""
        self._arriving: StreamReader = EMPTY_PAYLOAD
        """The body that came, or comes, with the last head; at its end the next head begins."""
        self._counted = 0
        self._head_bytes = 0
        self._head_timer: asyncio.TimerHandle | None = None

    def data_received(self, data: bytes) -> None:
        if self._deaf:
            return
        in_head = self._arriving.is_eof()
        super().data_received(data)
        if self._request_count != self._counted:
            self._head_came(in_head)
        elif in_head and data and not self._upgraded:
            self._head_grew(len(data))

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> Any:
        """See aiohttp: here it parses what stood behind an upgrade that was declined, past `data_received`."""
        finished = await super().finish_response(request, resp, start_time)
        if self._request_count != self._counted:
            self._head_came(True)
        return finished

    def connection_lost(self, exc: BaseException | None) -> None:
        self._stop_head_timer()
        super().connection_lost(exc)

    def no_lingering(self) -> None:
        """Close after this answer without taking the rest of the body: it will not come, or cannot be told."""
        self._lingering_time = 0.0

    def _head_came(self, in_head: bool) -> None:
        self._counted = self._request_count
        self._stop_head_timer()
        self._head_bytes = 0
        message, payload = self._messages[-1]
        if not isinstance(message, _ErrInfo):
            self._arriving = payload
            return
        self._deaf = True
        if not in_head:
            # The framing of a body broke, of which aiohttp would leave its reader in the dark for ever.
            self.body_broke = True
            self._arriving.set_exception(RequestPayloadError("its framing is not valid"))
            self.no_lingering()

    def _head_grew(self, size: int) -> None:
        manager = self._manager
        if not isinstance(manager, Connections):
            return
        bounds = manager.bounds
        self._head_bytes += size
        if self._head_bytes > bounds.url_bytes_max + bounds.headers_bytes_max:
            self._refuse(BadRequest("the request head is too large (gateway.headers_kb)", 431))
        elif self._head_timer is None:
            self._head_timer = self._loop.call_later(bounds.header_timeout_s, self._head_is_late, bounds)

    def _head_is_late(self, bounds: HttpBounds) -> None:
        why = f"the request head did not come whole within {bounds.header_timeout_s:g} s (gateway.header_timeout_s)"
        self._refuse(BadRequest(why, 408))

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _refuse(self, error: BadRequest) -> None:
        """Queue an error as if the parser had met it: it is answered after whatever came before it."""
        self._deaf = True
        self._stop_head_timer()
        self._messages.append((_ErrInfo(error.status, error, str(error)), EMPTY_PAYLOAD))
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """See aiohttp: called for what could not be parsed, and for what escaped the handler."""
        manager = self._manager
        assert isinstance(manager, Connections)
        request_id = refusal_id()
        if status >= 500:
            manager.observer.failed(None, exc or RuntimeError(message or "no cause is known"), "request_failed")
            return Refusal(BadRequest("the gateway failed", 500), request_id)
        error = exc if isinstance(exc, BadRequest) else named(exc, manager.bounds.url_bytes_max)
        warn_refused(manager.observer, request_id, error.status, str(error))
        return Refusal(error, request_id)

    def log_exception(self, *args: Any, **named: Any) -> None:
        """See aiohttp: the log is the observer's."""
        manager = self._manager
        error = named.get("exc_info")
        if isinstance(error, RequestPayloadError):
            # The rest of a body that nobody wanted turned out to be nonsense; the connection ends, and that is all.
            return
        if isinstance(manager, Connections) and isinstance(error, BaseException):
            manager.observer.failed(None, error, "connection_failed")


def _bound_silence(transport: asyncio.Transport, timeout_s: float) -> None:
    """Have the kernel end a connection whose peer takes nothing, which nobody else watches while it is closing."""
    sock = transport.get_extra_info("socket")
    if sock is not None and sock.family in (socket.AF_INET, socket.AF_INET6):
        # A little later than our own watch over answers, which knows better what to say.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(timeout_s * 1000) + 500)
