"""`Expect: 100-continue`: a request's body waits until the upstream wants it, and is not sent when it does not."""

import asyncio

import pytest

from atoll.errors import BodyBroken
from atoll.fetch import upload
from atoll.http.body import Body
from support.raw_upstream import ListSource
from support.subrequests import Engine, bytes_of, subrequests
from support.upstream import ScriptedUpstream, answer, read_body
from support.waiting import eventually

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
EXPECT = ("Expect", "100-Continue")


def bodies() -> list[Body]:
    return [Body(b"hello"), Body(source=ListSource([b"hel", b"lo"]), length=5), Body(source=ListSource([b"hello"]))]


@pytest.mark.parametrize("number", range(3))
async def test_the_body_follows_the_leave(number: int) -> None:
    """Held or streamed, with a length or in chunks: nothing of it is sent before `100 Continue`, all of it after."""
    early: list[bytes] = []

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes) -> None:
        assert b"\r\nexpect: 100-continue\r\n" in head
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                early.append(await reader.read(1))
        writer.write(CONTINUE)
        writer.write(answer(await read_body(reader, head)))

    async with ScriptedUpstream(script) as upstream, subrequests() as engine:
        for _ in range(2):
            response = await engine.send("POST", upstream.url(), bodies()[number], EXPECT)
            assert await bytes_of(response) == b"hello"
        assert (early, upstream.connections_ever) == ([], 1)


async def test_an_answer_instead_of_the_leave(monkeypatch: pytest.MonkeyPatch) -> None:
    """A final answer is handed over, the body is never sent, and the connection, which waits for it, is not reused."""
    monkeypatch.setattr(upload, "CONTINUE_S", 60.0)
    source = ListSource([b"hello"])
    rest: list[bytes] = []

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes) -> None:
        writer.write(answer(b"too large", status="413 Content Too Large"))
        rest.append(await reader.read())

    async with ScriptedUpstream(script) as upstream, subrequests() as engine:
        response = await engine.send("POST", upstream.url(), Body(source=source), EXPECT)
        assert (response.status, await bytes_of(response)) == (413, b"too large")
        await eventually(lambda: source.closed and rest)
        assert (source.reads, rest) == (0, [b""])
        assert engine.stack.statistics().open == 0


async def test_a_server_that_does_not_know_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no leave comes, the body follows after a while all the same."""
    monkeypatch.setattr(upload, "CONTINUE_S", 0.05)

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes) -> None:
        writer.write(answer(await read_body(reader, head)))

    async with ScriptedUpstream(script) as upstream, subrequests() as engine:
        assert await bytes_of(await engine.send("PUT", upstream.url(), Body(b"hello"), EXPECT)) == b"hello"


@pytest.mark.parametrize(("method", "body", "expect"), [("GET", None, EXPECT), ("POST", Body(b"a"), ("Expect", "x"))])
async def test_no_other_expectation_leaves(method: str, body: Body | None, expect: tuple[str, str]) -> None:
    """Without a body there is nothing to wait for, and no other expectation is defined."""
    async with ScriptedUpstream([answer()]) as upstream, subrequests() as engine:
        await engine.send(method, upstream.url(), body, expect)
        assert b"expect" not in upstream.heads[0].lower()


async def test_leaving_while_the_body_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fetch that is cancelled before the leave closes source and connection."""
    monkeypatch.setattr(upload, "CONTINUE_S", 60.0)
    source = ListSource([b"hello"])

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes) -> None:
        await reader.read()

    async with ScriptedUpstream(script) as upstream, subrequests() as engine:
        task = asyncio.create_task(engine.send("POST", upstream.url(), Body(source=source), EXPECT))
        await eventually(lambda: upstream.requests == 1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await eventually(lambda: source.closed and upstream.connections_open == 0)


async def test_a_source_that_fails_after_the_leave() -> None:
    """What the source raises is what fetch raises, as without an expectation."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes) -> None:
        writer.write(CONTINUE)
        await reader.read()

    async def failing(engine: Engine, url: str) -> None:
        await engine.send("POST", url, Body(source=ListSource([BodyBroken("it broke")])), EXPECT)

    async with ScriptedUpstream(script) as upstream, subrequests() as engine:
        with pytest.raises(BodyBroken, match="it broke"):
            await failing(engine, upstream.url())
