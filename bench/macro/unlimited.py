"""Atoll with its meter, its caps and its deadline taken out: what limits cost is measured beside it, and nothing else.

`python -m bench.macro.unlimited CONFIG PORT` serves in this one process. What is taken out: the metering of steps and
tasks (`kernel.meter`), and what every hop of a subrequest goes through before the client (`fetch.metered`).
"""

import asyncio
import socket
import sys
from collections.abc import Coroutine
from contextvars import Context
from pathlib import Path
from typing import Any

import uvloop

from atoll import config
from atoll.fetch.metered import Metered
from atoll.http.message import Request, Response
from atoll.kernel.invocation import Invocation
from atoll.kernel.meter import Meter
from atoll.ports import Observer
from atoll.serve.allocator import keep_freed_memory
from atoll.serve.assembly import open_gateway


async def _run(self: Meter, coro: Coroutine[Any, Any, Any], invocation: Invocation) -> Any:
    isolate = invocation.isolate
    if isolate is not None and self._stage.isolate is not isolate:
        self._stage.enter(isolate)
    return await coro


def _task_factory(
    self: Meter,
    loop: asyncio.AbstractEventLoop,
    coro: Coroutine[Any, Any, Any],
    context: Context | None = None,
    **named: Any,
) -> asyncio.Task[Any]:
    return asyncio.Task(coro, loop=loop, context=context, **named)


async def _fetch(self: Metered, request: Request) -> Response:
    return await self._inner.fetch(request)


async def main(file: Path, port: int) -> None:
    """Serve until killed."""
    read = config.read([file], cwd=file.parent)
    async with open_gateway(read, observer=Observer(), dev=False) as gateway:
        await gateway.serve(socket.create_server(("127.0.0.1", port), backlog=4096))
        gateway.settle()
        await asyncio.Event().wait()


if __name__ == "__main__":
    for owner, name, stand_in in (
        (Meter, "run", _run),
        (Meter, "task_factory", _task_factory),
        (Metered, "fetch", _fetch),
    ):
        setattr(owner, name, stand_in)
    keep_freed_memory()
    uvloop.run(main(Path(sys.argv[1]), int(sys.argv[2])))
