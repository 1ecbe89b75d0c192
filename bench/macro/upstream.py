"""The upstream of the macro benchmarks: small JSON over keep-alive, as cheap as Python can answer it.

`python -m bench.macro.upstream PORT`. Each answer holds the request's target, so that the load generator can check
that every answer is the one that was asked for.
"""

import asyncio
import sys

import uvloop


class Upstream(asyncio.Protocol):
    """Answers requests without a body; pipelining is not expected."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._received = b""

    def data_received(self, data: bytes) -> None:
        received = self._received + data
        while (end := received.find(b"\r\n\r\n")) >= 0:
            target = received.split(b" ", 2)[1]
            received = received[end + 4 :]
            body = b'{"target": "%b", "items": [1, 2, 3, 4, 5], "price": 12.5, "name": "a small answer"}' % target
            self._transport.write(  # type: ignore[attr-defined]
                b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
            )
        self._received = received


async def main(port: int) -> None:
    """Serve until killed."""
    server = await asyncio.get_running_loop().create_server(Upstream, "127.0.0.1", port, backlog=4096)
    print("ready", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1])))
