"""Stale connections: when a request is repeated, and when never."""

import asyncio

import pytest

from atoll.errors import ConnectionBroken
from atoll.http.body import Body
from atoll.limits import Limits
from support.raw_upstream import ListSource
from support.scripts import reset
from support.subrequests import bytes_of, subrequests
from support.upstream import ScriptedUpstream, answer, read_body


class Stale:
    """A script whose connections answer once, and at their second request do `then` instead."""

    def __init__(self, then: bytes = b"", *, by_reset: bool = False, always: bool = False) -> None:
        self.then = then
        self.by_reset = by_reset
        self.always = always
        self.seen: set[asyncio.StreamWriter] = set()
        self.bodies: list[bytes] = []

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes) -> None:
        self.bodies.append(await read_body(reader, head))
        if writer not in self.seen and not (self.always and len(self.seen) == 1):
            self.seen.add(writer)
            writer.write(answer(b"fresh"))
            return
        writer.write(self.then)
        if self.by_reset:
            await writer.drain()
            reset(writer)
        else:
            writer.close()


@pytest.mark.parametrize("by_reset", [False, True])
@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "PUT", "DELETE"])
async def test_an_idempotent_request_is_repeated_once(method: str, by_reset: bool) -> None:
    """A reused connection that ends without a byte: sent again on a new one, and counted again."""
    script = Stale(by_reset=by_reset)
    body = Body(b"payload" * 20_000) if method == "PUT" else None
    async with ScriptedUpstream(script) as upstream, subrequests() as engine:
        await bytes_of(await engine.get(upstream.url()))
        response = await engine.send(method, upstream.url("/again"), body)
        assert (response.status, engine.budget.subrequests, upstream.connections_ever) == (200, 3, 2)
        if body is not None:
            assert script.bodies[1:] == [b"payload" * 20_000] * 2


async def test_a_post_is_never_sent_twice() -> None:
    """Nobody knows whether the upstream has acted on it."""
    async with ScriptedUpstream(Stale()) as upstream, subrequests() as engine:
        await bytes_of(await engine.get(upstream.url()))
        with pytest.raises(ConnectionBroken, match="closed the connection before"):
            await engine.send("POST", upstream.url(), Body(b"order"))
        assert (upstream.requests, engine.budget.subrequests) == (2, 2)


async def test_a_stream_is_never_sent_twice() -> None:
    """Its bytes are gone."""
    async with ScriptedUpstream(Stale()) as upstream, subrequests() as engine:
        await bytes_of(await engine.get(upstream.url()))
        with pytest.raises(ConnectionBroken):
            await engine.send("PUT", upstream.url(), Body(source=ListSource([b"a"]), length=1))
        assert upstream.requests == 2


async def test_no_repetition_after_the_first_byte() -> None:
    """One byte of an answer shows that the request was taken up."""
    async with ScriptedUpstream(Stale(then=b"H")) as upstream, subrequests() as engine:
        await bytes_of(await engine.get(upstream.url()))
        with pytest.raises(ConnectionBroken):
            await engine.get(upstream.url())
        assert upstream.requests == 2


async def test_no_repetition_on_a_new_connection() -> None:
    """An upstream that closes at once is not stale but broken."""

    async def closes(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes) -> None:
        writer.close()

    async with ScriptedUpstream(closes) as upstream, subrequests() as engine:
        with pytest.raises(ConnectionBroken):
            await engine.get(upstream.url())
        assert (upstream.requests, engine.budget.subrequests) == (1, 1)


async def test_at_most_one_repetition() -> None:
    """The second failure is the author's to see."""
    async with ScriptedUpstream(Stale(always=True)) as upstream, subrequests() as engine:
        await bytes_of(await engine.get(upstream.url()))
        with pytest.raises(ConnectionBroken):
            await engine.get(upstream.url())
        assert (upstream.requests, engine.budget.subrequests) == (3, 3)


async def test_past_the_cap_the_first_failure_stands() -> None:
    """A repetition costs a subrequest; without one left nothing more is sent."""
    async with ScriptedUpstream(Stale()) as upstream, subrequests(Limits(subrequests=2)) as engine:
        await bytes_of(await engine.get(upstream.url()))
        with pytest.raises(ConnectionBroken):
            await engine.get(upstream.url())
        assert upstream.requests == 2


async def test_a_connection_that_was_closed_while_idle_is_not_tried() -> None:
    """The pool knows of the close before the next request: a POST goes out on a new connection and succeeds."""

    async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes) -> None:
        await read_body(reader, head)
        writer.write(answer(b"x"))
        writer.close()

    async with ScriptedUpstream(once) as upstream, subrequests() as engine:
        for _ in range(3):
            assert await bytes_of(await engine.send("POST", upstream.url(), Body(b"order"))) == b"x"
            while engine.stack.statistics().open:
                await asyncio.sleep(0)
        assert engine.budget.subrequests == 3
