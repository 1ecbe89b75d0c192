"""Thousands of invocations that wait for an upstream at once, on one real `atoll serve` process."""

import asyncio
import resource
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from textwrap import dedent
from typing import cast

import pytest

from support.processes import children, cpu_s, rss_bytes, running_atoll, running_upstream
from support.waiting import eventually

WAITING_MAX = 10_000
SPARE_FILES = 500
BYTES_PER_WAITING_MAX = 150_000
BATCH = 500
WITHIN_S = 60.0

WORKER = """
from workers import Response, fetch

async def on_fetch(request, env, ctx):
    held = await fetch(env.UPSTREAM + "/hold")
    return Response(await held.text())
"""
TOML = """
name = "w"
main = "entry.py"
vars = {{ UPSTREAM = "{origin}" }}

[limits]
wall_ms = 300_000

[gateway]
in_flight = 50_000
connections = 50_000
"""


class Asker(asyncio.Protocol):
    """A client of few bytes that asks again and again on one connection; made for being there in thousands."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._answered: asyncio.Future[bytes] | None = None
        self._got = b""

    def ask(self, path: str = "/") -> "asyncio.Future[bytes]":
        """Send a request; its body, for one whose status is 200 and which has a Content-Length."""
        self._answered = asyncio.get_running_loop().create_future()
        self._got = b""
        self._transport.write(b"GET %b HTTP/1.1\r\nHost: gateway\r\n\r\n" % path.encode())
        return self._answered

    def data_received(self, data: bytes) -> None:
        self._got += data
        head, ended, body = self._got.partition(b"\r\n\r\n")
        if not ended or self._answered is None or self._answered.done():
            return
        if not head.startswith(b"HTTP/1.1 200"):
            self._answered.set_exception(AssertionError(self._got.decode("latin-1")))
            return
        length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
        if len(body) >= length:
            self._answered.set_result(body)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._answered is not None and not self._answered.done():
            self._answered.set_exception(ConnectionError(f"the gateway left: {exc}"))

    def close(self) -> None:
        self._transport.abort()


class Scene:
    """A gateway of one process, its upstream, and as many clients as are asked for."""

    def __init__(self, gateway: str, upstream: str, pid: int) -> None:
        self.pid = pid
        self._gateway = gateway
        self._upstream = upstream
        self._askers: list[Asker] = []
        self._control: Asker

    async def start(self) -> None:
        """Connect to the upstream, to ask for its books and to let go."""
        self._control = await connected(self._upstream)

    async def connect(self, count: int) -> None:
        """Have at least this many clients connected, a batch at a time, for a listener's queue is bounded."""
        while len(self._askers) < count:
            batch = min(BATCH, count - len(self._askers))
            self._askers += await asyncio.gather(*(connected(self._gateway) for _ in range(batch)))

    async def ask(self, count: int) -> "list[asyncio.Future[bytes]]":
        """Make this many requests, and wait until each of their handlers waits for the upstream."""
        asked = [asker.ask() for asker in self._askers[:count]]

        async def all_held() -> bool:
            failed = [future.exception() for future in asked if future.done()]
            assert not failed, failed[:3]
            return int(await self._control.ask("/held")) == count

        await eventually(all_held, WITHIN_S, what=f"{count} waiting")
        return asked

    async def release(self, asked: "list[asyncio.Future[bytes]]") -> None:
        """Let the upstream answer all of them."""
        assert int(await self._control.ask("/release")) == len(asked)
        async with asyncio.timeout(WITHIN_S):
            assert set(await asyncio.gather(*asked)) == {b"released"}

    def close(self) -> None:
        for asker in (*self._askers, self._control):
            asker.close()


async def connected(origin: str) -> Asker:
    host, _, port = origin.removeprefix("http://").partition(":")
    return (await asyncio.get_running_loop().create_connection(Asker, host, int(port)))[1]


@asynccontextmanager
async def scene(folder: Path) -> AsyncIterator[Scene]:
    """Start the programs."""
    async with running_upstream() as upstream:
        (folder / "entry.py").write_text(dedent(WORKER))
        (folder / "wrangler-like.toml").write_text(TOML.format(origin=upstream))
        arguments = ("serve", "--ip", "127.0.0.1", "--port", 0, "--processes", 1)
        async with running_atoll(*arguments, cwd=folder) as program:
            gateway = await program.origin()
            (template,) = children(program.pid)
            (process,) = children(template)
            there = Scene(gateway, upstream, process)
            await there.start()
            try:
                yield there
            finally:
                there.close()


@pytest.fixture
def files_max() -> Iterator[int]:
    """As many open files as this process, and every one it starts, may have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield hard
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.slow
async def test_ten_thousand_wait(tmp_path: Path, files_max: int) -> None:
    """All are answered when the upstream lets go, and each that waits takes little memory."""
    # The gateway has two sockets for each: the client's and the upstream's.
    count = min(WAITING_MAX, (files_max - SPARE_FILES) // 2)
    async with scene(tmp_path) as there:
        await there.connect(100)
        await there.release(await there.ask(100))
        before = rss_bytes(there.pid)
        started_s, cpu_before_s = time.monotonic(), cpu_s(there.pid)
        await there.connect(count)
        asked = await there.ask(count)
        waiting_s, each = time.monotonic() - started_s, (rss_bytes(there.pid) - before) / count
        await there.release(asked)
        took_s, took_cpu_s = time.monotonic() - started_s, cpu_s(there.pid) - cpu_before_s
        print(f"{count} waited after {waiting_s:.1f} s, {each / 1000:.1f} KB each; all answered after {took_s:.1f} s,")
        print(f"with {took_cpu_s / count * 1000:.2f} ms of CPU each")
        assert each < BYTES_PER_WAITING_MAX
        # What was idle is used again: the gateway is as it was.
        await there.release(await there.ask(100))


@pytest.mark.slow
@pytest.mark.timing
async def test_waiting_together_costs_no_more(tmp_path: Path, files_max: int) -> None:
    """A request among 1,000 that wait takes less than twice the CPU time of one among 10."""
    requests = 3_000

    async def cost_ms(there: Scene, together: int) -> float:
        await there.release(await there.ask(together))  # Connects.
        began_s = cpu_s(there.pid)
        for _ in range(requests // together):
            await there.release(await there.ask(together))
        return (cpu_s(there.pid) - began_s) / requests * 1000

    async with scene(tmp_path) as there:
        await there.connect(1_000)
        pairs = [(await cost_ms(there, 10), await cost_ms(there, 1_000)) for _ in range(3)]
    print("ms of CPU a request, among 10 and among 1,000:", [f"{few:.2f} {many:.2f}" for few, many in pairs])
    assert min(many / few for few, many in pairs) < 2
