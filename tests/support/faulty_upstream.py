"""An upstream in a process of its own that does to each request what its path says: `/KIND/NUMBER`.

    python faulty_upstream.py        writes its origin, then serves until it is ended

Sound answers echo the number; the kinds stand in `KINDS`. `/open` tells how many other connections are open, and
`/release` answers all that were held by `/hold`.
"""

import asyncio
import random
import resource
from typing import ClassVar, cast

SOUND = ("ok", "chunked", "early", "close", "leave", "slow")
FAILING = ("reset", "reset-late", "cut", "cut-chunk", "garbage")
STALLING = ("stall", "stall-late")
KINDS = SOUND + FAILING + STALLING


def body_of(number: bytes) -> bytes:
    """What a sound answer to this number holds: mostly little, sometimes more than one segment."""
    return number * (8_000 if int(number) % 40 == 0 else 1)


class Exchange(asyncio.Protocol):
    """One connection; the client sends no request before it has the answer to the one before."""

    open: ClassVar["set[Exchange]"] = set()
    held: ClassVar["list[Exchange]"] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.open.add(self)
        self.got = b""

    def connection_lost(self, exc: Exception | None) -> None:
        self.open.discard(self)

    def data_received(self, data: bytes) -> None:
        self.got += data
        if not self.got.endswith(b"\r\n\r\n"):
            return
        _, kind, *rest = self.got.split(b" ", 2)[1].split(b"/")
        self.got = b""
        if kind == b"open":
            self.transport.write(with_length(b"%d" % (len(self.open) - 1)))
        elif kind == b"hold":
            self.held.append(self)
        elif kind == b"held":
            self.transport.write(with_length(b"%d" % len(self.held)))
        elif kind == b"release":
            self.release()
        else:
            self.answer(kind.decode(), rest[0])

    def release(self) -> None:
        """Let go of all that are held, a few at each turn of the loop."""
        for exchange in self.held:
            exchange.transport.write(with_length(b"released"))
        self.transport.write(with_length(b"%d" % len(self.held)))
        self.held.clear()

    def answer(self, kind: str, number: bytes) -> None:
        transport = self.transport
        raw = with_length(body_of(number))
        half = len(raw) - max(len(body_of(number)) // 2, 1)
        match kind:
            case "ok":
                transport.write(raw)
            case "chunked":
                transport.write(chunked(body_of(number)))
            case "early":
                transport.write(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n" + raw)
            case "close":
                transport.write(raw.replace(b"\r\n", b"\r\nConnection: close\r\n", 1))
                transport.close()
            case "leave":
                transport.write(raw)
                transport.close()
            case "slow":
                self.slowly(raw)
            case "reset":
                transport.abort()
            case "reset-late":
                transport.write(raw[:half])
                transport.abort()
            case "cut":
                transport.write(raw[:half])
                transport.close()
            case "cut-chunk":
                transport.write(chunked(body_of(number))[:-4])
                transport.close()
            case "garbage":
                transport.write(random.Random(number).randbytes(100))
                transport.close()
            case "stall":
                pass
            case "stall-late":
                transport.write(raw[:half])
            case _:
                raise ValueError(f"there is no kind {kind!r}")

    def slowly(self, raw: bytes) -> None:
        """Write in four pieces with some time between them."""
        step = len(raw) // 4 + 1
        for turn in range(4):
            piece = raw[turn * step : (turn + 1) * step]
            asyncio.get_running_loop().call_later(0.002 * (turn + 1), self.transport.write, piece)


def with_length(body: bytes) -> bytes:
    """One response, framed by its length."""
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)


def chunked(body: bytes) -> bytes:
    """One response in two chunks."""
    at = len(body) // 2
    parts = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (body[:at], body[at:]) if part)
    return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + parts + b"0\r\n\r\n"


async def main() -> None:
    """Serve until whoever started this ends it."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Exchange, "127.0.0.1", 0, backlog=4_096)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    import uvloop

    uvloop.run(main())
