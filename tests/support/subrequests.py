"""The subrequest engine for tests: a stack of its own, a running invocation, and its books.

    async with subrequests() as engine:
        response = await engine.get(upstream.url("/"))
        assert await text_of(response) == "hello"

When the block ends without an error, everything must have been given back: connections, slots and bodies.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from atoll import current
from atoll.config import FetchConfig
from atoll.fetch.stack import Stack, build
from atoll.http.body import Body
from atoll.http.headers import Headers
from atoll.http.message import RedirectMode, Request, Response
from atoll.http.url import parse
from atoll.limits import Budget, Limits
from atoll.ports import Closable


class CountedInvocation:
    """`ports.Invoked` without a kernel: it counts what it holds and when subrequests came back."""

    def __init__(self, limits: Limits) -> None:
        self.id = "test"
        self.worker = "test"
        self.budget = Budget(limits)
        self.env: Any = None
        self.held: dict[Closable, None] = {}
        self.timings: list[tuple[str, float, float]] = []

    def wait_until(self, awaitable: Awaitable[Any]) -> None:
        raise AssertionError("no subrequest asks for this")

    def hold(self, resource: Closable) -> None:
        self.held[resource] = None

    def release(self, resource: Closable) -> None:
        del self.held[resource]

    def begin_wait(self) -> asyncio.Task[Any]:
        task = asyncio.current_task()
        assert task is not None
        return task

    def was_cut(self, task: asyncio.Task[Any]) -> bool:
        return False

    def end_wait(self, task: asyncio.Task[Any]) -> None:
        return None

    def timed(self, name: str, started_s: float, head_s: float) -> None:
        self.timings.append((name, started_s, head_s))


class Engine:
    """A stack, and requests made through it under one invocation."""

    def __init__(self, stack: Stack, invocation: CountedInvocation) -> None:
        self.stack = stack
        self.fetcher = stack.fetcher
        self.invocation = invocation
        self.budget = invocation.budget

    async def get(self, url: str, *headers: tuple[str, str], redirect: RedirectMode = "follow") -> Response:
        return await self.fetcher.fetch(Request("GET", parse(url), Headers(headers), redirect=redirect))

    async def send(
        self,
        method: str,
        url: str,
        body: Body | None = None,
        *headers: tuple[str, str],
        redirect: RedirectMode = "follow",
    ) -> Response:
        return await self.fetcher.fetch(Request(method, parse(url), Headers(headers), body, redirect))


@asynccontextmanager
async def subrequests(
    limits: Limits | None = None, *, clock: Callable[[], float] | None = None, **config: Any
) -> AsyncIterator[Engine]:
    """Open an engine with these `[fetch]` settings; at the end no connection and no slot may be left."""
    stack = build(FetchConfig(**config), **({} if clock is None else {"clock": clock}))
    invocation = CountedInvocation(limits or Limits(subrequests=10_000, connections=100))
    token = current.invocation.set(invocation)  # type: ignore[arg-type]
    try:
        yield Engine(stack, invocation)
        assert invocation.budget.waiting == 0
        assert stack.statistics().connecting == 0
    finally:
        current.invocation.reset(token)
        await stack.aclose()
    assert stack.statistics().open == 0
    assert stack.statistics().origins == 0


async def bytes_of(response: Response) -> bytes:
    """The whole body, decoded."""
    return b"" if response.body is None else await response.body.read_all()
