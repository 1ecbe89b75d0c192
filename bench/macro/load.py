"""The load of the macro benchmarks: a closed loop of connections, each of which checks every answer.

`python -m bench.macro.load PORT CONNECTIONS COUNT FAN_OUT` prints milliseconds: median, 99th percentile, all in all.
"""

import asyncio
import statistics
import sys
import time

import uvloop


class Client(asyncio.Protocol):
    """One connection: the next request leaves when the answer to the last one is whole and right."""

    def __init__(self, left: list[int], fan_out: int, times: list[float], done: "asyncio.Future[None]") -> None:
        self._left, self._fan_out, self._times, self._done = left, fan_out, times, done
        self._received = b""
        self._sent_s = 0.0
        self._request = b"GET /?n=%d HTTP/1.1\r\nHost: bench\r\nAccept: */*\r\n\r\n" % fan_out

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._next()

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, separator, body = self._received.partition(b"\r\n\r\n")
        if not separator:
            return
        length = next(int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        if len(body) < length:
            return
        if not head.startswith(b"HTTP/1.1 200") or body.count(b'"target"') != self._fan_out:
            self._done.set_exception(AssertionError(f"a wrong answer: {self._received[:500]!r}"))
            return
        self._received = b""
        self._times.append(time.perf_counter() - self._sent_s)
        self._next()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._done.done():
            self._done.set_exception(exc or ConnectionError("the gateway closed a connection"))

    def _next(self) -> None:
        if self._left[0] <= 0:
            if not self._done.done():
                self._done.set_result(None)
            return
        self._left[0] -= 1
        self._sent_s = time.perf_counter()
        self._transport.write(self._request)  # type: ignore[attr-defined]


async def main(port: int, connections: int, count: int, fan_out: int) -> None:
    """Send `count` requests over so many connections and print what they took."""
    loop = asyncio.get_running_loop()
    left, times = [count], list[float]()
    done = [loop.create_future() for _ in range(connections)]
    started_s = time.perf_counter()
    for future in done:
        await loop.create_connection(lambda future=future: Client(left, fan_out, times, future), "127.0.0.1", port)
    await asyncio.gather(*done)
    took_s = time.perf_counter() - started_s
    times.sort()
    print(statistics.median(times) * 1000, times[int(len(times) * 0.99)] * 1000, took_s * 1000)


if __name__ == "__main__":
    uvloop.run(main(*map(int, sys.argv[1:])))
