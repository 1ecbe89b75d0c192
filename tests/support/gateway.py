"""A gateway in the test's own process: worker files from strings, a real socket, a real client."""

import asyncio
import json
import logging
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import dedent
from typing import Any, Literal

import aiohttp

from atoll import config
from atoll.outcome import Outcome
from atoll.ports import Invoked, Observer
from atoll.serve.assembly import Gateway, open_gateway
from atoll.suspension import Suspension


@dataclass
class Recorder(Observer):
    """Remembers what was observed; `ends` is set again at each end of an invocation."""

    ended_facts: list[dict[str, Any]] = field(default_factory=list)
    failures: list[tuple[str, BaseException]] = field(default_factory=list)
    warnings: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    lines: list[tuple[str, str]] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def printed(self, invocation: Invoked, stream: Literal["stdout", "stderr", "log"], level: str, text: str) -> None:
        self.lines.append((invocation.id, text))

    def ended(self, invocation: Invoked, outcome: Outcome, facts: Mapping[str, Any]) -> None:
        self.ended_facts.append({"outcome": str(outcome), "worker": invocation.worker, **facts})
        self._changed()

    def refused(self, request_id: str, worker: str, outcome: Outcome, facts: Mapping[str, Any]) -> None:
        self.ended_facts.append({"outcome": str(outcome), "worker": worker, **facts})
        self._changed()

    def failed(self, invocation: Invoked | None, error: BaseException, where: str) -> None:
        self.failures.append((where, error))
        self._changed()

    def warned(self, event: str, **facts: Any) -> None:
        self.warnings.append((event, facts))
        self._changed()

    def _changed(self) -> None:
        self.changed.set()

    async def until(self, condition: Any, timeout_s: float = 5.0) -> None:
        """Wait until a condition on what was observed holds."""
        async with asyncio.timeout(timeout_s):
            while not condition(self):
                self.changed.clear()
                if not condition(self):
                    await self.changed.wait()


@dataclass
class Running:
    """An open gateway, where it listens, and a client for it."""

    gateway: Gateway
    port: int
    seen: Recorder
    client: aiohttp.ClientSession
    folder: Path
    config: config.Config

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def text(self, path: str = "/", **named: Any) -> str:
        """Ask and read a 200's body as text."""
        async with self.client.get(self.url + path, **named) as response:
            text = await response.text()
            assert response.status == 200, f"{response.status}: {text}"
            return text

    async def json(self, path: str = "/", **named: Any) -> Any:
        """Ask and read a 200's body as JSON."""
        return json.loads(await self.text(path, **named))

    async def status(self, path: str = "/", **named: Any) -> int:
        """Ask and tell the status alone."""
        async with self.client.get(self.url + path, **named) as response:
            await response.read()
            return response.status


@asynccontextmanager
async def opened(
    folder: Path,
    files: Mapping[str, str],
    toml: str = "",
    *,
    dev: bool = False,
    settle: bool = True,
    suspension: Suspension | None = None,
) -> AsyncIterator[Running]:
    """Write the files (`entry.py` is the main one unless `toml` has workers of its own) and serve them."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(text))
    toml = dedent(toml)
    if "[[worker]]" not in toml:
        toml = f'name = "w"\nmain = "entry.py"\n{toml}'
    (folder / "wrangler-like.toml").write_text(toml)
    read = config.read(None, cwd=folder)
    seen = Recorder()
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]
        async with open_gateway(read, observer=seen, dev=dev, suspension=suspension) as gateway:
            if settle:
                gateway.settle()
            await gateway.serve(sock)
            # Handlers' loggers would write to the test's stderr through the last-resort handler.
            logging.getLogger().addHandler(logging.NullHandler())
            async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as client:
                yield Running(gateway, port, seen, client, folder, read)
