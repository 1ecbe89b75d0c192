"""The load of the macro benchmarks: a closed loop of connections, each of which checks every answer.

`python -m bench.macro.load --port 8080 --pids 41,42 --connections 32 --fan-out 10 --seconds 1` prints one line of
JSON. Every connection warms up first, unless `--warm-seconds 0`; when all have, the clocks are read, and again when the
last answer is in. So neither the start of this program nor the opening of connections is part of what is measured.
Each connection asks at least once.
"""

import argparse
import asyncio
import json
import time

import httptools
import uvloop

from bench.macro.accounting import cpu_ns
from bench.macro.answers import Answer, Bytes, Parts, WrongAnswer


class Client(asyncio.Protocol):
    """One connection: the next request leaves when the answer to the last one is whole and right."""

    def __init__(self, target: str, answer: Answer) -> None:
        self._request = f"GET {target} HTTP/1.1\r\nHost: bench\r\nAccept: */*\r\n\r\n".encode()
        self._answer = answer
        self._parser = httptools.HttpResponseParser(self)
        self._done: asyncio.Future[None] | None = None
        self.latencies_s: list[float] = []
        self.first_bytes_s: list[float] = []

    def run(self, until_s: float) -> asyncio.Future[None]:
        """Ask at least once, and again until this time; done when the last answer is in, or with what went wrong."""
        self.latencies_s, self.first_bytes_s = [], []
        self._until_s = until_s
        self._done = asyncio.get_running_loop().create_future()
        if self._transport.is_closing():
            self._fail(ConnectionError("the gateway closed a connection"))
        else:
            self._ask()
        return self._done

    def close(self) -> None:
        """Close the connection; whoever waits for an answer has been told or never asks."""
        if self._done is not None and self._done.done() and not self._done.cancelled():
            self._done.exception()
        self._done = None
        self._transport.abort()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            cause = error.__context__ if isinstance(error.__context__, WrongAnswer) else error
            self._fail(cause)

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(exc or ConnectionError("the gateway closed a connection"))

    def on_body(self, data: bytes) -> None:
        if not self._begun:
            self._begun = True
            self.first_bytes_s.append(time.perf_counter() - self._asked_s)
        self._answer.piece(data)

    def on_message_complete(self) -> None:
        now_s = time.perf_counter()
        if self._parser.get_status_code() != 200:
            raise WrongAnswer(f"expected status 200, got {self._parser.get_status_code()}")
        self._answer.end()
        self.latencies_s.append(now_s - self._asked_s)
        if now_s < self._until_s:
            self._ask()
        elif self._done is not None and not self._done.done():
            self._done.set_result(None)

    def _ask(self) -> None:
        self._begun = False
        self._asked_s = time.perf_counter()
        self._transport.write(self._request)

    def _fail(self, error: BaseException) -> None:
        if self._done is not None and not self._done.done():
            self._done.set_exception(error)
        self._transport.abort()


async def main(options: argparse.Namespace) -> dict[str, float]:
    """Warm up, measure, and return what was found."""
    clients = [await _connected(options) for _ in range(options.connections)]
    if options.warm_seconds:
        await _run(clients, options.warm_seconds)
    started_ns, started_s = sum(map(cpu_ns, options.pids)), time.perf_counter()
    await _run(clients, options.seconds)
    wall_s = time.perf_counter() - started_s
    spent_ns = sum(map(cpu_ns, options.pids)) - started_ns
    latencies_s = sorted(latency_s for client in clients for latency_s in client.latencies_s)
    first_bytes_s = sorted(first_s for client in clients for first_s in client.first_bytes_s)
    return {
        "count": len(latencies_s),
        "wall_s": wall_s,
        "cpu_s": spent_ns / 1e9,
        "p50_ms": _percentile(latencies_s, 0.5) * 1000,
        "p99_ms": _percentile(latencies_s, 0.99) * 1000,
        "first_byte_ms": _percentile(first_bytes_s, 0.5) * 1000,
    }


async def _connected(options: argparse.Namespace) -> Client:
    if options.bytes:
        client = Client(f"/stream?bytes={options.bytes}", Bytes(options.bytes))
    else:
        client = Client(f"/?n={options.fan_out}", Parts(options.fan_out))
    await asyncio.get_running_loop().create_connection(lambda: client, "127.0.0.1", options.port)
    return client


async def _run(clients: list[Client], seconds: float) -> None:
    until_s = time.perf_counter() + seconds
    await asyncio.gather(*(client.run(until_s) for client in clients))


def _percentile(ordered: list[float], share: float) -> float:
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)]


def _pids(text: str) -> list[int]:
    return [int(pid) for pid in text.split(",")]


def parsed() -> argparse.Namespace:
    """The options of this program."""
    parser = argparse.ArgumentParser(prog="python -m bench.macro.load")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--pids", type=_pids, default=[], help="the processes whose CPU counts")
    parser.add_argument("--connections", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--warm-seconds", type=float, default=0.3)
    parser.add_argument("--fan-out", type=int, default=0)
    parser.add_argument("--bytes", type=int, default=0, help="ask for a stream of this size instead of a fan-out")
    return parser.parse_args()


if __name__ == "__main__":
    print(json.dumps(uvloop.run(main(parsed()))))
