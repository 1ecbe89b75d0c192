"""Memory of the gateway per idle client connection, and per invocation that waits for its upstream.

Each figure is the growth of the resident memory of all processes of a fresh gateway, divided by how many were open.
An idle connection has had one answer before. An invocation in flight has a client connection and an upstream
connection of its own. The memory of the kernel's sockets is not in it.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, Final
from urllib.request import urlopen

import uvloop

from bench.macro.accounting import resident_bytes
from bench.macro.answers import Parts, WrongAnswer
from bench.macro.load import Client
from bench.macro.programs import Gateway, Site, raise_files_limit, running
from bench.macro.sampling import Load, LoadFailed, gateways_table
from bench.options import Options
from bench.peers.catalogue import ATOLL
from bench.report import Figure, Table

_OPEN_MAX: Final = 10_000
_SPARE_FILES: Final = 1_000
_WAVE: Final = 250
_DEADLINE_S: Final = 30.0
_POLL_S: Final = 0.02

_COLUMNS: Final = ("gateway", "idle", "KB/idle connection", "in flight", "KB/invocation in flight")

Growth = Callable[[Gateway, int, float], Coroutine[Any, Any, int]]
Opener = Callable[[int], Awaitable[list[asyncio.Future[None]]]]


def run(options: Options) -> list[Table]:
    """Open as many of each as the limit on open files allows, 10,000 at most."""
    files_max = raise_files_limit()
    table = Table("Memory", _COLUMNS)
    measured: dict[str, Gateway] = {}
    skipped: dict[str, str] = {}
    for peer in options.gateways:
        cells: list[Figure | str] = []
        for growth, files in zip((_of_idle, _of_in_flight), peer.files, strict=True):
            count = 60 if options.scale == "tiny" else min(_OPEN_MAX, (files_max - _SPARE_FILES) // files)
            # A fresh one each time: memory that was freed before would be used again.
            with running((peer,), connections_max=0) as site:
                skipped.update(site.skipped)
                for gateway in site.gateways:
                    measured[peer.name] = gateway
                    cells += [f"{count:,}", _measured(gateway, growth, count, table, options.sample_s)]
        if len(cells) == len(_COLUMNS) - 1:
            table.rows.append((peer.name, *cells))
    table.notes.append(
        f"The limit on open files is {files_max:,} (ulimit -Hn), and an invocation in flight needs at least two: "
        f"for {_OPEN_MAX:,} of them it has to be {_OPEN_MAX * 2 + _SPARE_FILES:,} or more."
    )
    return [gateways_table(Site(tuple(measured.values()), skipped)), table]


def _measured(gateway: Gateway, growth: Growth, count: int, table: Table, settle_s: float) -> Figure | str:
    try:
        Load(settle_s, connections=32, fan_out=1).sample(gateway)
        grown_bytes = uvloop.run(growth(gateway, count, settle_s))
    except TimeoutError:
        reason = f"{count:,} were not open within {_DEADLINE_S:g} s"
    except (LoadFailed, WrongAnswer, OSError) as error:
        reason = str(error)
    else:
        return Figure((grown_bytes / count / 1024,))
    if gateway.name == ATOLL.name:
        raise LoadFailed(reason)
    table.notes.append(f"{gateway.name} failed: {reason}")
    return "failed"


async def _of_idle(gateway: Gateway, count: int, settle_s: float) -> int:
    """Open connections, have an answer over each, and leave them open."""
    async with _opened(gateway, "/?n=0", 0) as open_more:
        before = _resident_bytes(gateway)
        for start in range(0, count, _WAVE):
            await asyncio.gather(*await open_more(min(_WAVE, count - start)))
        await asyncio.sleep(settle_s)
        return _resident_bytes(gateway) - before


async def _of_in_flight(gateway: Gateway, count: int, settle_s: float) -> int:
    """Have so many requests wait for the upstream; let them all be answered when the memory has been read."""
    async with _opened(gateway, "/?n=1", 1) as open_more:
        before = _resident_bytes(gateway)
        await _upstream(gateway, "hold")
        answers: list[asyncio.Future[None]] = []
        for start in range(0, count, _WAVE):
            answers += await open_more(min(_WAVE, count - start))
            while await _upstream(gateway, "hold") < len(answers):
                _raise_failed(answers)
                await asyncio.sleep(_POLL_S)
        await asyncio.sleep(settle_s)
        grown_bytes = _resident_bytes(gateway) - before
        await _upstream(gateway, "release")
        await asyncio.gather(*answers)
        return grown_bytes


@asynccontextmanager
async def _opened(gateway: Gateway, target: str, fan_out: int) -> AsyncIterator[Opener]:
    """What opens so many more connections, each of which asks once, and gives their answers to come.

    All are closed at the end; `TimeoutError` if that has not come within the deadline.
    """
    clients: list[Client] = []
    loop = asyncio.get_running_loop()

    async def open_more(count: int) -> list[asyncio.Future[None]]:
        answers = []
        for _ in range(count):
            client = Client(target, Parts(fan_out))
            await loop.create_connection(lambda client=client: client, "127.0.0.1", gateway.port)
            clients.append(client)
            answers.append(client.run(0))
        return answers

    try:
        async with asyncio.timeout(_DEADLINE_S):
            yield open_more
    finally:
        for client in clients:
            client.close()


def _raise_failed(answers: list[asyncio.Future[None]]) -> None:
    """Raise what went wrong with the first that ended early."""
    for answer in answers:
        if answer.done():
            answer.result()


async def _upstream(gateway: Gateway, order: str) -> int:
    """Give the upstream an order; how many requests it was holding."""
    url = f"http://127.0.0.1:{gateway.upstream_port}/{order}"
    return int(await asyncio.to_thread(lambda: urlopen(url, timeout=_DEADLINE_S).read()))


def _resident_bytes(gateway: Gateway) -> int:
    return sum(map(resident_bytes, gateway.pids))
