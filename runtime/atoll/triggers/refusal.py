"""Refusals: what is answered to a request that never becomes an event, and how aiohttp is told of any answer.

Invariants: nothing that the client sent is echoed or logged; one refusal is one bounded log event.
"""

import asyncio
import os
import socket
import struct
from typing import Any, Final

from aiohttp import web
from aiohttp.http_exceptions import LineTooLong

from atoll.errors import BadRequest
from atoll.ports import Observer
from atoll.triggers.failure import failure_response
from atoll.triggers.outgoing import Outgoing

FIELDS_MAX: Final = 256
_LINGER_S: Final = 1.0
"""How long a refused client may go on sending unheard: closing at once would reset what it has not read yet."""
_WHY_MAX: Final = 200


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


class Refusal(Answered):
    """An answer to what could not be parsed; written when aiohttp asks for it, and the connection then closed."""

    def __init__(self, error: BadRequest, request_id: str) -> None:
        super().__init__(False)
        self._error = error
        self._request_id = request_id

    async def prepare(self, request: web.BaseRequest) -> Any:
        transport = request.transport
        if request.writer.output_size:
            # An answer had begun: it must not look whole.
            if transport is not None:
                reset(transport)
            return
        response = failure_response(self._error, request_id=self._request_id, accept="", dev=False)
        outgoing = Outgoing(response, method="GET", http_1_0=False, keep_alive=False)
        held = response.body.held if response.body is not None else b""
        await request.writer.write(outgoing.head(response, http_1_0=False) + (held or b""))
        if transport is not None and transport.can_write_eof():
            transport.write_eof()
            # Ended by the client: when it closes, aiohttp cancels this.
            await asyncio.sleep(_LINGER_S)


def named(error: BaseException | None, url_bytes_max: int) -> BadRequest:
    """The parser's error in our words: its own hold the client's bytes."""
    if isinstance(error, LineTooLong):
        if error.args[1] == url_bytes_max:
            return BadRequest("the request's URL is too long (gateway.url_kb)", 414)
        return BadRequest("a header field of the request is too large (gateway.headers_kb)", 431)
    if error is not None and "Too many headers" in str(error):
        return BadRequest(f"the request has more than {FIELDS_MAX} header fields", 431)
    kind = f" ({type(error).__name__})" if error is not None else ""
    return BadRequest(f"the request is not valid HTTP{kind}")


def refusal_id() -> str:
    """A request id for what never becomes an invocation."""
    return os.urandom(10).hex()


def warn_refused(observer: Observer, request_id: str, status: int, why: str) -> None:
    """The one log event of a request that was refused; bounded, for clients decide how many there are."""
    observer.warned("request_refused", request_id=request_id, status=status, why=why[:_WHY_MAX])


def reset(transport: asyncio.Transport) -> None:
    """End a connection by a reset, which no client takes for the end of a body."""
    sock = transport.get_extra_info("socket")
    if sock is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
