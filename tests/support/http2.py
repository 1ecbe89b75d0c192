"""An HTTP/2 upstream for tests, on h2: it answers by path, and keeps books.

`/echo` gives the request's body back, `/endless` never ends, `/cut` leaves in the middle, `/silent` says nothing, and
`/bad` sends a field that no HTTP/1.1 head may hold; anything else answers its own path. `/moved` redirects to `to`.
"""

import asyncio
import ssl
from typing import Self, cast

import h2.config
import h2.connection
import h2.events


class Http2Upstream:
    """A server over TLS that takes HTTP/2 alone."""

    def __init__(self, tls: ssl.SSLContext, *, to: str = "") -> None:
        tls.set_alpn_protocols(["h2"])
        self._tls = tls
        self.to = to
        self.connections_ever = 0
        self.connections_open = 0
        self.heads: list[dict[str, str]] = []
        self.bytes_sent = 0
        self._transports: set[asyncio.BaseTransport] = set()

    @property
    def authority(self) -> str:
        return f"localhost:{self.port}"

    def url(self, path: str = "/") -> str:
        return f"https://{self.authority}{path}"

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Protocol(self), "127.0.0.1", 0, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for transport in list(self._transports):
            transport.abort()  # type: ignore[attr-defined]
        await self._server.wait_closed()


class _Protocol(asyncio.Protocol):
    def __init__(self, upstream: Http2Upstream) -> None:
        self._upstream = upstream
        self._h2 = h2.connection.H2Connection(
            h2.config.H2Configuration(
                client_side=False, header_encoding="utf-8", validate_outbound_headers=False,
                normalize_outbound_headers=False,
            )
        )  # fmt: skip
        self._paths: dict[int, str] = {}
        self._bodies: dict[int, bytearray] = {}
        self._left: dict[int, bytearray | None] = {}
        """What has still to be sent on each stream; None without end."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._upstream._transports.add(transport)
        self._upstream.connections_ever += 1
        self._upstream.connections_open += 1
        self._h2.initiate_connection()
        transport.write(self._h2.data_to_send())

    def connection_lost(self, exc: Exception | None) -> None:
        self._upstream._transports.discard(self._transport)
        self._upstream.connections_open -= 1

    def data_received(self, data: bytes) -> None:
        for event in self._h2.receive_data(data):
            if isinstance(event, h2.events.RequestReceived):
                head = {str(name): str(value) for name, value in event.headers}
                self._upstream.heads.append(head)
                self._paths[event.stream_id] = head[":path"]
                self._bodies[event.stream_id] = bytearray()
            elif isinstance(event, h2.events.DataReceived):
                self._bodies[event.stream_id] += event.data
                self._h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            elif isinstance(event, h2.events.StreamEnded):
                self._answer(event.stream_id)
        self._flush()

    def _answer(self, stream: int) -> None:
        path = self._paths[stream]
        fields = [(":status", "200")]
        body: bytearray | None = bytearray(path.encode())
        if path == "/silent":
            return
        if path == "/echo":
            body = self._bodies[stream]
        elif path == "/endless":
            body = None
        elif path == "/bad":
            fields.append(("x-bad", "a\r\nb: c"))
        elif path == "/moved":
            fields = [(":status", "302"), ("location", self._upstream.to)]
        elif path == "/cut":
            fields.append(("content-length", "100"))
        self._h2.send_headers(stream, fields)
        if path == "/cut":
            self._h2.send_data(stream, b"half")
            self._transport.write(self._h2.data_to_send())
            self._transport.close()
            return
        self._left[stream] = body

    def _flush(self) -> None:
        for stream, body in list(self._left.items()):
            while room := min(self._h2.local_flow_control_window(stream), self._h2.max_outbound_frame_size):
                piece = b"x" * room if body is None else bytes(body[:room])
                if body is not None:
                    del body[:room]
                self._upstream.bytes_sent += len(piece)
                self._h2.send_data(stream, piece, end_stream=body is not None and not body)
                if body is not None and not body:
                    del self._left[stream]
                    break
        if not self._transport.is_closing():
            self._transport.write(self._h2.data_to_send())
