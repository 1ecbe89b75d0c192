"""A running invocation for tests of the authors' API: real, small, with a Fetcher that answers from a function."""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from atoll import current
from atoll.http.message import Request, Response
from atoll.limits import Budget, Limits
from atoll.ports import Closable
from atoll.workers.faces import AuthorsFaces

Answer = Callable[[Request], Awaitable[Response]]


class FunctionFetcher:
    """Answers every request by calling a function, and keeps what was asked."""

    def __init__(self, answer: Answer) -> None:
        self.asked: list[Request] = []
        self._answer = answer

    async def fetch(self, request: Request) -> Response:
        self.asked.append(request)
        return await self._answer(request)


class PlainInvoked:
    """`ports.Invoked` without a kernel around it."""

    def __init__(self, answer: Answer, env: Any = None) -> None:
        self.id = "test"
        self.worker = "test"
        self.budget = Budget(Limits())
        self.fetcher = FunctionFetcher(answer)
        self.env = env
        self.waited: list[Awaitable[Any]] = []
        self.held: list[Closable] = []

    def wait_until(self, awaitable: Awaitable[Any]) -> None:
        self.waited.append(awaitable)

    def hold(self, resource: Closable) -> None:
        self.held.append(resource)

    def release(self, resource: Closable) -> None:
        self.held.remove(resource)

    def begin_wait(self) -> asyncio.Task[Any]:
        task = asyncio.current_task()
        assert task is not None
        return task

    def was_cut(self, task: asyncio.Task[Any]) -> bool:
        return False

    def end_wait(self, task: asyncio.Task[Any]) -> None:
        return None

    def timed(self, name: str, started_s: float, head_s: float) -> None:
        return None


async def no_answer(request: Request) -> Response:
    """The answer of a fetcher that a test does not expect to be asked."""
    raise AssertionError(f"{request!r} was not expected")


@contextmanager
def running(answer: Answer = no_answer, env: Any = None) -> Iterator[PlainInvoked]:
    """Run the block as part of an invocation."""
    invoked = PlainInvoked(answer, env)
    token = current.invocation.set(invoked)
    try:
        yield invoked
    finally:
        current.invocation.reset(token)


def isolate(source: str, name: str = "x") -> ModuleType:
    """Run a worker's source as the kernel does: with a facade of its own as `workers`."""
    module = ModuleType(name)
    mine = AuthorsFaces().modules()
    before = {other: sys.modules.get(other) for other in mine}
    sys.modules.update(mine)
    try:
        exec(compile(source, f"{name}.py", "exec", dont_inherit=True), module.__dict__)
    finally:
        for other, was in before.items():
            if was is None:
                del sys.modules[other]
            else:
                sys.modules[other] = was
    return module
