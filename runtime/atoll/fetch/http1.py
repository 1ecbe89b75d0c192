"""One HTTP/1.1 connection to an upstream: requests go out, responses come in, one at a time.

Rules of this file: sockets and flow control; what the bytes mean is `framing.py`'s, who gets the connection next is
`pool.py`'s. A connection is given back to the pool the moment its exchange is whole; after any cancellation or error
it is closed, so that no answer can ever reach the request of another.
Invariant: at most one exchange; bytes that come while there is none close the connection.
Source: RFC 9112, sections 7 to 9.
"""

import asyncio
from collections.abc import Callable
from typing import Final, NamedTuple, cast

from atoll.errors import AtollError, BadAnswer, BodyBroken, ConnectionBroken, FetchTimeout
from atoll.fetch.framing import Reading
from atoll.fetch.heads import Heads, KnownHead
from atoll.fetch.hop import Answer
from atoll.fetch.incoming import Incoming
from atoll.fetch.outgoing import Outgoing
from atoll.fetch.upload import Slices, Upload
from atoll.fetch.waits import Waits
from atoll.http.body import Body, Source
from atoll.http.coding import coding_of
from atoll.http.headers import Headers

DRAIN_BYTES_MAX: Final = 65_536
DRAIN_MS: Final = 1_000
"""How much of an unread body, and for how long, is read away to keep the connection."""


class Settings(NamedTuple):
    """What all connections of a process share."""

    heads: Heads
    waits: Waits
    headers_ms: int
    idle_ms: int
    free: "Callable[[Connection], None]"
    """Called each time a connection can carry the next exchange."""
    gone: "Callable[[Connection], None]"
    """Called once for each pooled connection, when it is lost or closed."""


class Connection(asyncio.Protocol):
    """A connection and the exchange on it, if there is one."""

    __slots__ = (
        "_draining",
        "_incoming",
        "_loop",
        "_outgoing",
        "_reading",
        "_settings",
        "_transport",
        "_upload",
        "_waiter",
        "address",
        "answered",
        "keep_alive_s",
        "lost",
        "parked_s",
        "peer",
        "pooled",
        "proven",
        "public",
        "used",
    )

    def __init__(self, peer: str, address: str, settings: Settings, *, public: bool) -> None:
        self.peer = peer
        """The key of its route and of the pool, and what error texts call the upstream."""
        self.address = address
        self.public = public
        """Whether `address`, which it is connected to, is on the public internet."""
        self.pooled = False
        """Whether it is the pool's; before that, its loss concerns only the one that connects."""
        self.lost = False
        self.used = False
        """Whether it has carried an exchange before the present one."""
        self.answered = False
        """Whether any byte came back in the present exchange, or in the last one when there is none."""
        self.parked_s = 0.0
        self.keep_alive_s: int | None = None
        """How long the upstream said that it keeps the connection; None when it said nothing."""
        self.proven: Callable[[], None] | None = None
        """Called once, when an exchange has been whole for the first time."""
        self._settings = settings
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._outgoing: Outgoing | None = None
        """The request of the present exchange."""
        self._reading: Reading | None = None
        """What has come of its response, once something has."""
        self._waiter: asyncio.Future[Answer] | None = None
        self._incoming: Incoming | None = None
        self._upload: Upload | None = None
        self._draining = False

    async def exchange(self, outgoing: Outgoing) -> Answer:
        """Send one request and wait for the head of its response; raises subclasses of AbortError.

        A body that is a source is read in a task of its own; what it raises, this raises.
        """
        transport = self._transport
        if transport is None or self.lost or self._outgoing is not None:
            raise ConnectionBroken(f"the connection to {self.peer} was closed before the request could be sent")
        settings = self._settings
        self._outgoing = outgoing
        self.answered = False
        waiter = self._waiter = self._loop.create_future()
        transport.write(outgoing.head)
        if outgoing.payload is not None:
            self._send(transport, outgoing.payload, outgoing)
        elif settings.headers_ms:
            settings.waits.begin(self, settings.headers_ms)
        try:
            answer: Answer = await waiter
            return answer
        except BaseException:
            if waiter.done() and not waiter.cancelled():
                waiter.exception()  # Both cancelled and failed: nobody else will look at it.
            del waiter  # Its exception has this frame in its traceback: a circle.
            # Only while it is ours: the answer may have been whole already, and the connection be another's.
            if self._outgoing is outgoing:
                self.close()
            raise

    def close(self) -> None:
        """Close at once, whatever is under way; may be called at any time."""
        self.broke(ConnectionBroken(f"the connection to {self.peer} was closed"))

    def __repr__(self) -> str:
        state = "lost" if self.lost else "idle" if self._outgoing is None else "busy"
        return f"<Connection {self.peer} {state}>"

    # The loop's side (asyncio.Protocol).

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        outgoing = self._outgoing
        if outgoing is None:
            self.close()
            return
        reading = self._reading
        try:
            if reading is not None:
                reading.feed(data)
            else:
                self.answered = True
                heads = self._settings.heads
                if self._upload is None and (known := heads.known(data, outgoing.method)) is not None:
                    self._answered_whole(outgoing, known, data)
                    return
                reading = self._reading = Reading(self.peer, outgoing.method)
                reading.feed(data)
                heads.learn(data, reading)
        except BadAnswer as failure:
            self.broke(failure)
            return
        if reading.head_done:
            self._advance(outgoing, reading)
        elif reading.continued and self._upload is not None:
            self._upload.allow()

    def eof_received(self) -> None:
        self._ended(None)

    def connection_lost(self, exc: Exception | None) -> None:
        self._ended(exc)

    def pause_writing(self) -> None:
        if self._upload is not None:
            self._upload.pause()

    def resume_writing(self) -> None:
        if self._upload is not None:
            self._upload.resume()

    # The body's side (incoming.Tap).

    def pause(self) -> None:
        if self._transport is not None:
            self._transport.pause_reading()

    def resume(self) -> None:
        if self._transport is not None:
            self._transport.resume_reading()

    def left(self) -> None:
        reading = self._reading
        self._incoming = None
        if reading is None:
            return
        if reading.length is None or reading.length - reading.body_bytes > DRAIN_BYTES_MAX:
            self.close()
            return
        self._draining = True
        self._settings.waits.begin(self, DRAIN_MS)
        self.resume()

    def ran_out(self) -> None:
        """The head did not come in time, or the rest of a body that nobody wants did not."""
        headers_ms = self._settings.headers_ms
        self.broke(
            FetchTimeout(f"{self.peer} sent no response head for {headers_ms} ms after the request (fetch.headers_ms)")
        )

    # What becomes of an exchange.

    def _send(self, transport: asyncio.Transport, payload: bytes | Source, outgoing: Outgoing) -> None:
        """Leave the body to a task that sends it no faster than the upstream takes it."""
        settings = self._settings
        self._upload = Upload(
            transport,
            Slices(payload) if isinstance(payload, bytes) else payload,
            outgoing.length,
            peer=self.peer,
            waits=settings.waits,
            idle_ms=settings.idle_ms,
            sent=self._sent,
            failed=self.broke,
            expects=outgoing.expects,
        )
        self._upload.start()

    def _sent(self) -> None:
        """The request's body has left: from now on the upstream has to answer."""
        if self._waiter is not None:
            self._settings.waits.begin(self, self._settings.headers_ms)

    def _answered_whole(self, outgoing: Outgoing, known: KnownHead, data: bytes) -> None:
        """The whole response came in one segment, under a head that has been read before."""
        waiter = self._waiter
        assert waiter is not None
        if waiter.done():
            self.close()  # Cancelled a moment ago; the task has not run since.
            return
        self._waiter = None
        if self._settings.headers_ms:
            self._settings.waits.end(self)
        body = Body(data[known.size :], encoding=known.encoding)
        fields = Headers.trusted(known.fields.copy())
        waiter.set_result(Answer(known.status, fields, body, known.reason, outgoing.url, public=self.public))
        if self.proven is None and known.keep_alive is None:
            self._outgoing = None
            self.used = True
            self._settings.free(self)
        else:
            self._free(known.keep_alive)

    def _advance(self, outgoing: Outgoing, reading: Reading) -> None:
        """The head is there, and maybe more: hand over what came since the last time."""
        waiter = self._waiter
        if waiter is not None:
            if waiter.done():
                self.close()  # Cancelled a moment ago; the task has not run since.
                return
            self._waiter = None
            if self._settings.headers_ms:
                self._settings.waits.end(self)
            if self._upload is not None and self._upload.withheld:
                self._upload.cancel()  # Answered without it: it is not wanted, and the connection ends with the answer.
            body = self._body(reading)
            fields = Headers.trusted(reading.fields)
            waiter.set_result(Answer(reading.status, fields, body, reading.reason, outgoing.url, public=self.public))
        elif self._incoming is not None:
            self._incoming.add(reading.take_chunks())
        else:
            reading.take_chunks()
        if reading.complete:
            self._finish(reading)

    def _body(self, reading: Reading) -> Body | None:
        """The body as far as it has come: bytes when that is all of it, else a source."""
        if reading.bodyless:
            return None
        encoding = coding_of(reading.facts.get("content-encoding"))
        if reading.complete:
            chunks = reading.chunks
            return Body(chunks[0] if len(chunks) == 1 else b"".join(chunks), encoding=encoding)
        incoming = self._incoming = Incoming(self, self._settings.waits, self._settings.idle_ms)
        incoming.add(reading.take_chunks())
        return Body(source=incoming, length=reading.length, encoding=encoding)

    def _finish(self, reading: Reading) -> None:
        """The response is whole: free the connection, or close it where it cannot be used again."""
        if self._incoming is not None:
            self._incoming.end()
            self._incoming = None
        if self._draining:
            self._draining = False
            self._settings.waits.end(self)
        self._reading = None
        if reading.reusable and (self._upload is None or self._upload.done):
            self._upload = None
            self._free(reading.facts.get("keep-alive"))
        else:
            self._prove()
            self.close()

    def _free(self, keep_alive: str | None) -> None:
        """The exchange is over; the connection can carry the next one."""
        self._prove()
        self._outgoing = None
        self.used = True
        if keep_alive is not None:
            self.keep_alive_s = _seconds_in(keep_alive)
        self._settings.free(self)

    def _prove(self) -> None:
        if self.proven is not None:
            self.proven()
            self.proven = None

    def _ended(self, exc: Exception | None) -> None:
        """The peer has closed, half-closed or reset the connection."""
        if self.lost:
            return
        reading = self._reading
        if self._outgoing is None:
            self.close()
        elif reading is not None and exc is None and reading.end():
            self._finish(reading)
        else:
            self.broke(self._broken(reading, exc))

    def _broken(self, reading: Reading | None, exc: Exception | None) -> AtollError:
        """What to say about an end in the middle."""
        how = f"reset the connection ({exc})" if exc is not None else "closed the connection"
        if reading is None or not reading.head_done:
            return ConnectionBroken(f"{self.peer} {how} before the end of a response head")
        whole = "an unknown number of" if reading.length is None else reading.length
        return BodyBroken(f"{self.peer} {how} after {reading.body_bytes} of {whole} bytes of the body")

    def broke(self, failure: Exception) -> None:
        """Close the connection and fail whoever waits for something of it."""
        if self.lost:
            return
        self.lost = True
        self._settings.waits.end(self)
        if self._reading is not None:
            self._reading.drop()
        waiter, incoming, upload = self._waiter, self._incoming, self._upload
        self._waiter = self._incoming = self._upload = self._reading = self._outgoing = None
        if waiter is not None and not waiter.done():
            waiter.set_exception(failure)
        if incoming is not None:
            incoming.fail(
                failure if isinstance(failure, AtollError) else BodyBroken(f"the exchange failed: {failure!r}")
            )
        if upload is not None:
            upload.cancel()
        if self._transport is not None:
            self._transport.abort()
        if self.pooled:
            self._settings.gone(self)


def _seconds_in(hint: str) -> int | None:
    """The seconds of a Keep-Alive field such as `timeout=5, max=100`."""
    for part in hint.split(","):
        name, _, value = part.partition("=")
        if name.strip().lower() == "timeout" and value.strip().isdigit() and len(value) < 10:
            return int(value)
    return None
