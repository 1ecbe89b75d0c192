"""A folder with one worker, and `atoll` as real processes that serve it."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from textwrap import dedent

import httpx

from support.processes import Program, alive, children, running_atoll
from support.waiting import eventually

HANDLER = """
import asyncio, os
from workers import Response, WorkerEntrypoint

WORD = "{word}"

class Default(WorkerEntrypoint):
    async def fetch(self, request):
        if request.url.endswith("/slow"):
            print("slow began")
            await asyncio.sleep(1.0)
        if request.url.endswith("/stuck"):
            sum(range(10**13))
        return Response(f"{{WORD}} {{os.getpid()}}")
"""


class Site:
    """A folder with one worker, and what a client gets from it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.program: Program
        self.client: httpx.AsyncClient
        self.configure()
        self.say("one")

    def configure(self, toml: str = "") -> None:
        (self.folder / "wrangler-like.toml").write_text(f'name = "hello"\nmain = "hello.py"\n{dedent(toml)}')

    def say(self, word: str) -> None:
        """Save a worker that answers with this word and the process's number."""
        (self.folder / "hello.py").write_text(HANDLER.format(word=word))

    async def ask(self, path: str = "/") -> tuple[str, int]:
        """The word and the process that answered."""
        response = await self.client.get(path)
        assert response.status_code == 200, response.text
        word, pid = response.text.split()
        return word, int(pid)

    async def asked(self, path: str = "/") -> tuple[str, int] | None:
        """The same, or None while there is no good answer."""
        try:
            return await self.ask(path)
        except (AssertionError, httpx.TransportError):
            return None

    @property
    def template(self) -> int:
        (pid,) = children(self.program.pid)
        return pid

    @property
    def processes(self) -> list[int]:
        """The processes that serve."""
        return children(self.template)

    async def nobody_left(self, pids: list[int], within_s: float = 5.0) -> None:
        """Wait until none of these lives, nor anything else of the program's session."""
        await eventually(lambda: not self.program.family(), within_s, what="an empty session")
        assert not [pid for pid in pids if alive(pid)]

    async def slow(self) -> "asyncio.Task[tuple[str, int]]":
        """A request that a handler is working on."""
        seen = len(self.program.lines)
        task = asyncio.create_task(self.ask("/slow"))
        await self.program.line("slow began", start=seen)
        return task


@asynccontextmanager
async def serving(site: Site, *arguments: object, port: int = 0) -> AsyncIterator[Site]:
    """Run `atoll` with these arguments in the site's folder; it is ready when this yields."""
    async with running_atoll(*arguments, "--port", port, cwd=site.folder) as program:
        site.program = program
        # Out of a line for people or one for machines.
        found = re.search(r"http://[\w.\[\]:-]+:\d+", await program.line("http://"))
        assert found is not None
        limits = httpx.Limits(max_keepalive_connections=0)
        async with httpx.AsyncClient(base_url=found.group(), limits=limits, timeout=20) as site.client:
            yield site
