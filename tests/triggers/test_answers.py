"""What an answer looks like on the wire: framing, fields, and the connection after it."""

import asyncio
from pathlib import Path

import pytest

from support.gateway import Running, opened
from support.raw import connected, request

ENTRY = {
    "entry.py": """\
    import asyncio
    from workers import Response

    async def chunks(*parts):
        try:
            for part in parts:
                yield part
        finally:
            print("generator closed")

    async def on_fetch(request, env, ctx):
        path = request.url.split("/", 3)[3]
        match path:
            case "held":
                return Response("held " + request.method)
            case "stream":
                return Response(chunks(b"one", b"two"))
            case "none":
                return Response(None)
            case "fixed":
                return Response(chunks(b"one", b"two"), headers={"Content-Length": "6"})
            case "longer":
                return Response(chunks(b"one", b"two"), headers={"Content-Length": "5"})
            case "shorter":
                return Response(chunks(b"one", b"two"), headers={"Content-Length": "7"})
            case "lie":
                return Response("abc", headers={"Content-Length": "5"})
            case "broken":
                async def broken():
                    yield b"one"
                    raise ValueError("broken")
                return Response(broken())
            case "hop":
                return Response("x", headers={
                    "Connection": "keep-alive, X-Private", "X-Private": "1", "Keep-Alive": "timeout=9",
                    "Transfer-Encoding": "gzip", "Upgrade": "h2c", "TE": "x", "Trailer": "y", "X-Kept": "2",
                })
            case "fields":
                response = Response(b"x", headers=[
                    ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2"), ("X-Latin", "caf\\xe9"), ("date", "then"),
                    ("Date", "now"), ("X-Empty", ""),
                ])
                return response
            case "reason":
                return Response("x", status=299, status_text="Quite Fine")
            case "latin":
                return Response("x", headers={"X-Back": request.headers["X-Latin"]})
            case "later":
                async def later():
                    await asyncio.sleep(60)
                ctx.wait_until(later())
                return Response(chunks(b"one"))
            case _ if path.isdigit():
                return Response(None, status=int(path), headers={"Content-Length": "3"})
    """
}


async def test_a_connection_is_kept_and_pipelined_requests_are_answered_in_order(tmp_path: Path) -> None:
    """Requests sent all at once are answered one after another, each with its own framing."""
    async with opened(tmp_path, ENTRY) as running, connected(running.port) as client:
        paths = ["held", "stream", "none", "fixed", "held", "missing"] * 12
        await client.send(b"".join(request("GET", f"/{path}") for path in paths))
        bodies = {"held": b"held GET", "stream": b"onetwo", "none": b"", "fixed": b"onetwo"}
        for path in paths:
            answer = await client.answer()
            assert answer.get("connection") is None
            if path == "missing":
                assert answer.status == 500
            else:
                assert (answer.status, answer.body) == (200, bodies[path])


async def test_a_stream_is_chunked_and_a_held_body_has_a_length(tmp_path: Path) -> None:
    """Framing follows from what is known when the head leaves."""
    async with opened(tmp_path, ENTRY) as running, connected(running.port) as client:
        await client.send(request("GET", "/stream"))
        streamed = await client.answer()
        assert (streamed.get("transfer-encoding"), streamed.get("content-length")) == ("chunked", None)
        assert streamed.chunks == (b"one", b"two")
        await client.send(request("GET", "/held"))
        held = await client.answer()
        assert (held.get("transfer-encoding"), held.get("content-length")) == (None, "8")
        await client.send(request("GET", "/none"))
        assert (await client.answer()).get("content-length") == "0"


async def test_http_1_0_streams_end_with_the_connection(tmp_path: Path) -> None:
    """A client of 1.0 gets no chunks; it keeps the connection only when it asked and the length is known."""
    async with opened(tmp_path, ENTRY) as running:
        async with connected(running.port) as client:
            await client.send(request("GET", "/stream", "Connection: keep-alive", version="HTTP/1.0"))
            answer = await client.answer()
            assert answer.body == b"onetwo"
            assert (answer.get("transfer-encoding"), answer.get("connection")) == (None, "close")
        async with connected(running.port) as client:
            await client.send(request("GET", "/held", "Connection: keep-alive", version="HTTP/1.0"))
            assert (await client.answer()).get("connection") == "keep-alive"
            await client.send(request("GET", "/held", version="HTTP/1.0"))
            assert (await client.answer()).get("connection") == "close"
            assert await client.rest() == b""


async def test_http_1_0_clients_can_tell_that_a_stream_broke(tmp_path: Path) -> None:
    """Where only the connection's end ends a body, a broken one is ended by a reset."""
    async with opened(tmp_path, ENTRY) as running, connected(running.port) as client:
        await client.send(request("GET", "/broken", version="HTTP/1.0"))
        with pytest.raises(ConnectionError):
            await client.answer()


@pytest.mark.parametrize("path", ["held", "stream", "none", "fixed", "longer"])
async def test_head_has_the_fields_of_get_and_no_body(
    tmp_path: Path, path: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """HEAD answers with what GET would, its body ended unread, and the connection goes on."""
    async with opened(tmp_path, ENTRY) as running, connected(running.port) as client:
        await client.send(request("HEAD", f"/{path}") + request("HEAD", f"/{path}") + request("GET", "/held"))
        for _ in range(2):
            answer = await client.answer("HEAD")
            assert answer.status == 200
            lengths = {"held": "9", "stream": None, "none": None, "fixed": None, "longer": None}
            assert answer.get("content-length") == lengths[path]
        assert (await client.answer()).body == b"held GET"
        await running.seen.until(lambda seen: len(seen.ended_facts) == 3)
        assert running.gateway.in_flight == 0
        assert capsys.readouterr().out.count("generator closed") == (2 if path in ("stream", "fixed", "longer") else 0)


@pytest.mark.parametrize(("status", "length"), [(204, None), (205, "0"), (304, "3")])
async def test_statuses_without_a_body(tmp_path: Path, status: int, length: str | None) -> None:
    """204 has no length, 205 says 0, 304 tells what a 200 would have; none is followed by a byte of body."""
    async with opened(tmp_path, ENTRY) as running, connected(running.port) as client:
        await client.send(request("GET", f"/{status}") + request("GET", "/held"))
        answer = await client.answer()
        assert (answer.status, answer.get("content-length"), answer.get("transfer-encoding")) == (status, length, None)
        assert (await client.answer()).body == b"held GET"


async def test_101_without_a_websocket_is_a_failure(tmp_path: Path) -> None:
    """A client is never told to switch to a protocol that nobody speaks."""
    async with opened(tmp_path, ENTRY) as running, connected(running.port) as client:
        await client.send(request("GET", "/101") + request("GET", "/held"))
        answer = await client.answer()
        assert answer.status == 500
        assert b"1101" in answer.body
        assert (await client.answer()).body == b"held GET"
        await running.seen.until(lambda seen: len(seen.ended_facts) == 2)
        assert running.seen.ended_facts[0]["outcome"] == "exception"


@pytest.mark.parametrize("path", ["fixed", "longer", "shorter"])
async def test_a_length_that_the_author_gives_for_a_stream_is_not_believed(tmp_path: Path, path: str) -> None:
    """What comes of an iterator is as long as it turns out: it is sent in chunks, whole, whatever was said of it."""
    async with opened(tmp_path, ENTRY) as running, connected(running.port) as client:
        await client.send(request("GET", f"/{path}"))
        answer = await client.answer()
        assert (answer.body, answer.get("content-length")) == (b"onetwo", None)
        await running.seen.until(lambda seen: len(seen.ended_facts) == 1)
        assert running.seen.ended_facts[0]["outcome"] == "ok"


async def test_the_length_of_a_held_body_is_its_own(tmp_path: Path) -> None:
    """An author's Content-Length that does not fit a body that is there does not get out."""
    async with opened(tmp_path, ENTRY) as running, connected(running.port) as client:
        await client.send(request("GET", "/lie"))
        answer = await client.answer()
        assert (answer.body, answer.get("content-length")) == (b"abc", "3")


async def test_a_broken_stream_has_no_last_chunk(tmp_path: Path) -> None:
    """After the first byte an error can only cut the stream."""
    async with opened(tmp_path, ENTRY) as running, connected(running.port) as client:
        await client.send(request("GET", "/broken"))
        with pytest.raises(asyncio.IncompleteReadError):
            await client.answer()


async def test_fields_about_the_connection_are_the_gateways(tmp_path: Path) -> None:
    """Hop-by-hop fields of the author, and those that his Connection field names, do not get out."""
    async with opened(tmp_path, ENTRY) as running, connected(running.port) as client:
        await client.send(request("GET", "/hop"))
        answer = await client.answer()
        names = {name.lower() for name, _ in answer.fields}
        assert names == {"content-type", "x-kept", "content-length", "date"}


async def test_fields_of_the_author_come_as_he_gave_them(tmp_path: Path) -> None:
    """Repeated, latin-1 and empty fields stay what they are; Date stands there once; nothing is added."""
    async with opened(tmp_path, ENTRY) as running, connected(running.port) as client:
        await client.send(request("GET", "/fields"))
        answer = await client.answer()
        assert answer.all("set-cookie") == ["a=1", "b=2"]
        assert answer.get("x-latin") == "café"
        assert answer.get("x-empty") == ""
        assert answer.get("date") is not None
        names = {name.lower() for name, _ in answer.fields}
        assert names == {"set-cookie", "x-latin", "x-empty", "date", "content-length"}


async def test_latin_1_comes_in_and_goes_out(tmp_path: Path) -> None:
    """A field's bytes beyond ASCII are latin-1 on the way in and the way out."""
    async with opened(tmp_path, ENTRY) as running, connected(running.port) as client:
        await client.send(request("GET", "/latin", "X-Latin: \xe9\xff\x80"))
        assert (await client.answer()).get("x-back") == "\xe9\xff\x80"


async def test_reason_phrases(tmp_path: Path) -> None:
    """The author's phrase, the known one, or none."""
    async with opened(tmp_path, ENTRY) as running, connected(running.port) as client:
        await client.send(request("GET", "/reason") + request("GET", "/held") + request("GET", "/598"))
        answers = [await client.answer() for _ in range(3)]
        assert [(answer.status, answer.reason) for answer in answers] == [(299, "Quite Fine"), (200, "OK"), (598, "")]


async def test_the_connection_is_free_while_wait_until_runs(tmp_path: Path) -> None:
    """The next request is answered though the first one's invocation is still open; leaving does not cancel that."""
    async with opened(tmp_path, ENTRY, "[limits]\nwait_until_s = 1") as running:
        async with connected(running.port) as client:
            await client.send(request("GET", "/later") + request("GET", "/held"))
            assert (await client.answer()).body == b"one"
            assert (await client.answer()).body == b"held GET"
            await running.seen.until(lambda seen: len(seen.ended_facts) == 1)
            assert running.gateway.in_flight == 1
        await running.seen.until(lambda seen: len(seen.ended_facts) == 2)
        assert running.seen.ended_facts[1]["outcome"] == "ok"


async def test_server_timing_is_there_in_dev_alone(tmp_path: Path) -> None:
    """In dev the head has it, and a chunked body's trailer for clients that take trailers; outside of dev neither."""
    asks = (
        request("GET", "/stream", "TE: trailers") + request("GET", "/held", "TE: trailers") + request("GET", "/stream")
    )

    async def asked(running: Running) -> list[tuple[bool, str | None, bool]]:
        async with connected(running.port) as client:
            await client.send(asks)
            answers = [await client.answer() for _ in range(3)]
        return [
            (answer.get("server-timing") is not None, answer.get("trailer"), bool(answer.trailers))
            for answer in answers
        ]

    async with opened(tmp_path, ENTRY, dev=True) as running:
        assert await asked(running) == [(True, "Server-Timing", True), (True, None, False), (True, None, False)]
    async with opened(tmp_path, ENTRY) as running:
        assert await asked(running) == [(False, None, False)] * 3
