"""The upstream of the macro benchmarks: as cheap as Python can answer, over keep-alive.

`python -m bench.macro.upstream PORT`. It answers

    GET /item/3            small JSON that holds the target, so that who asks can check that the answer is his
    GET /bytes?size=1024   so many bytes of `bench.macro.answers.BLOCK`, over and over
    GET /hold              and holds every later request for an item, until
    GET /release           lets them go; both say how many it was holding

Rules of this file: requests have no body and are not pipelined; nothing is parsed that is not needed.
"""

import asyncio
import sys
from typing import Final

import uvloop

from bench.macro.answers import BLOCK, ITEM

_WRITE_AHEAD_BYTES: Final = 1 << 20
_HEAD: Final = b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\nContent-Length: %d\r\n\r\n"


class Held:
    """Requests that wait until they are released, while holding is on."""

    def __init__(self) -> None:
        self.on = False
        self.waiting: list[tuple[asyncio.Transport, bytes]] = []

    def release(self) -> int:
        """Answer all of them; how many they were."""
        waiting, self.waiting, self.on = self.waiting, [], False
        for transport, answer in waiting:
            transport.write(answer)
        return len(waiting)


class Upstream(asyncio.Protocol):
    """One connection."""

    def __init__(self, held: Held) -> None:
        self._held = held
        self._received = b""
        self._left_bytes = 0
        self._paused = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        transport.set_write_buffer_limits(_WRITE_AHEAD_BYTES)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        if self._received:
            data = self._received + data
        if not data.endswith(b"\r\n\r\n"):
            self._received = data
            return
        self._received = b""
        target = data[4 : data.index(b" ", 4)]
        if target.startswith(b"/item/"):
            self._answer(_item(target))
        elif target.startswith(b"/bytes?size="):
            self._stream(int(target[12:]))
        else:
            self._control(target)

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self._pour()

    def _answer(self, answer: bytes) -> None:
        if self._held.on:
            self._held.waiting.append((self._transport, answer))
        else:
            self._transport.write(answer)

    def _stream(self, size: int) -> None:
        self._transport.write(_HEAD % (b"application/octet-stream", size))
        self._left_bytes = size
        self._pour()

    def _pour(self) -> None:
        while self._left_bytes and not self._paused:
            piece = BLOCK if self._left_bytes >= len(BLOCK) else BLOCK[: self._left_bytes]
            self._left_bytes -= len(piece)
            self._transport.write(piece)

    def _control(self, target: bytes) -> None:
        if target == b"/release":
            count = self._held.release()
        else:
            self._held.on = True
            count = len(self._held.waiting)
        body = b"%d" % count
        self._transport.write(_HEAD % (b"text/plain", len(body)) + body)


def _item(target: bytes) -> bytes:
    body = ITEM % target
    return _HEAD % (b"application/json", len(body)) + body


async def main(port: int) -> None:
    """Serve until killed."""
    held = Held()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Upstream(held), "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1])))
