"""ctx and wait_until."""

import asyncio
from typing import Any

import pytest

from atoll.workers.context import Context, wait_until
from atoll.workers.faces import AuthorsFaces
from support.invoked import running


async def test_wait_until_hands_the_awaitable_to_the_invocation() -> None:
    """By every name it has."""
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    with running() as invoked:
        ctx = AuthorsFaces().context(invoked)
        ctx.wait_until(future)
        ctx.waitUntil(future)
        wait_until(future)
    assert invoked.waited == [future, future, future]
    future.cancel()


@pytest.mark.parametrize("given", [None, 5, asyncio.sleep, object()])
def test_what_cannot_be_awaited_is_a_type_error(given: Any) -> None:
    """A coroutine function that was not called is the usual slip."""
    with running() as invoked, pytest.raises(TypeError, match="wait_until needs an awaitable"):
        Context(invoked).wait_until(given)
    assert invoked.waited == []


def test_the_rest_of_ctx() -> None:
    """props are empty, exports are None, and the pass-through is remembered."""
    with running() as invoked:
        ctx = Context(invoked)
    assert (ctx.props, ctx.exports, ctx.passes_through) == ({}, None, False)
    ctx.passThroughOnException()
    assert ctx.passes_through
