"""Answers made of an upstream's answer: its coding goes out only with the bytes that it is the coding of."""

import gzip
import zlib
from pathlib import Path

import pytest

from support.gateway import opened
from support.raw import connected, request
from support.upstream import ScriptedUpstream, answer, chunked_answer

TEXT = b"hello, " * 1000
ENTRY = """\
from workers import Response, fetch

async def on_fetch(request, env, ctx):
    r = await fetch("{origin}/")
    match request.url.split("/", 3)[3]:
        case "same":
            return r
        case "body":
            return Response(r.body, headers=r.headers)
        case "bare":
            return Response(r.body)
        case "text":
            return Response(await r.text(), headers=r.headers)
        case "bytes":
            return Response(await r.bytes(), headers=r.headers)
        case "stream":
            async def again():
                async for chunk in r.body:
                    yield chunk
            return Response(again(), headers=r.headers)
        case "new":
            return r.replace_body("new")
        case "status":
            return Response(r.body, status=203, headers={{"X-Own": "1"}})
"""
CODED = {"gzip": gzip.compress(TEXT), "deflate": zlib.compress(TEXT)}


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("coding", ["gzip", "deflate"])
@pytest.mark.parametrize("path", ["same", "body", "bare", "text", "bytes", "stream", "new", "status"])
async def test_a_coding_goes_out_with_its_bytes_only(tmp_path: Path, path: str, coding: str, chunked: bool) -> None:
    """Passed on under its headers a body stays as it came; read, or without them, it leaves decoded."""
    coded = CODED[coding]
    fields = [("Content-Encoding", coding), ("Content-Type", "text/x-special"), ("Vary", "Accept-Encoding")]
    raw = chunked_answer(coded[:20], coded[20:], headers=fields) if chunked else answer(coded, headers=fields)
    async with ScriptedUpstream([raw]) as upstream:
        entry = {"entry.py": ENTRY.format(origin=upstream.origin)}
        async with opened(tmp_path, entry) as running, connected(running.port) as client:
            for method in ("GET", "GET", "HEAD"):
                await client.send(request(method, f"/{path}", f"Accept-Encoding: br, {coding}"))
                got = await client.answer(method)
                as_it_came = path in ("same", "body")
                assert got.get("content-encoding") == (coding if as_it_came else None)
                body = {"new": b"new"}.get(path, coded if as_it_came else TEXT)
                length = str(len(body)) if as_it_came or path in ("text", "bytes", "new") else None
                # A short chunked body may have come whole before its head was passed on.
                assert got.get("content-length") in ((length, None) if chunked else (length,))
                if method == "GET":
                    assert got.body == body
                    assert len(got.all("date")) == 1


@pytest.mark.parametrize(
    "accept", ["", "Accept-Encoding: identity", "Accept-Encoding: gzip;q=0, *", "Accept-Encoding: br"]
)
@pytest.mark.parametrize("path", ["same", "body"])
async def test_a_client_that_does_not_read_a_coding_gets_it_decoded(tmp_path: Path, path: str, accept: str) -> None:
    """The fetch asks for gzip on its own account; a client that did not gets plain bytes, with fields that fit."""
    coded = CODED["gzip"]
    raw = answer(coded, headers=[("Content-Encoding", "gzip"), ("ETag", '"strong"')])
    async with ScriptedUpstream([raw]) as upstream:
        entry = {"entry.py": ENTRY.format(origin=upstream.origin)}
        async with opened(tmp_path, entry) as running, connected(running.port) as client:
            for method in ("GET", "HEAD", "GET"):
                await client.send(request(method, f"/{path}", accept))
                got = await client.answer(method)
                assert (got.get("content-encoding"), got.get("content-length")) == (None, None)
                assert got.get("etag") == 'W/"strong"'
                assert got.body == (TEXT if method == "GET" else b"")


async def test_what_must_not_be_transformed_is_not(tmp_path: Path) -> None:
    """Under `Cache-Control: no-transform` the bytes go out as they came, whoever asked."""
    raw = answer(CODED["gzip"], headers=[("Content-Encoding", "gzip"), ("Cache-Control", "no-transform")])
    async with ScriptedUpstream([raw]) as upstream:
        entry = {"entry.py": ENTRY.format(origin=upstream.origin)}
        async with opened(tmp_path, entry) as running, connected(running.port) as client:
            await client.send(request("GET", "/same"))
            got = await client.answer()
            assert (got.get("content-encoding"), got.body) == ("gzip", CODED["gzip"])


async def test_an_answer_cut_by_the_upstream_is_cut_for_the_client(tmp_path: Path) -> None:
    """An upstream that breaks off in the middle is never passed on as a whole answer."""
    raw = answer(b"half", length=10)

    async def script(reader, writer, head) -> None:  # type: ignore[no-untyped-def]
        writer.write(raw)
        writer.close()

    async with ScriptedUpstream(script) as upstream:
        entry = {"entry.py": ENTRY.format(origin=upstream.origin)}
        async with opened(tmp_path, entry) as running, connected(running.port) as client:
            await client.send(request("GET", "/same"))
            _, _, fields = await client.head()
            assert dict(fields)["Content-Length"] == "10"
            assert await client.rest() == b"half"
            await running.seen.until(lambda seen: seen.ended_facts)
            assert running.seen.ended_facts[0]["outcome"] == "responseStreamDisconnected"


@pytest.mark.parametrize("break_it", ["pairs.append(('X', '\\u20ac'))", "pairs.append(('X', '\\ud800'))", "reason"])
@pytest.mark.parametrize("body", ["'x'", "stream()"])
async def test_a_head_that_cannot_be_sent_is_a_clean_failure(tmp_path: Path, break_it: str, body: str) -> None:
    """A head that does not fit into latin-1, however it came about, is a 500 and no hang; the worker goes on."""
    change = "_inner.reason = '\\u20ac'" if break_it == "reason" else f"_inner.headers.{break_it}"
    entry = {
        "entry.py": f"""\
        from workers import Response

        async def stream():
            yield b"x"

        async def on_fetch(request, env, ctx):
            response = Response({body})
            if "bad" in request.url:
                response.{change}
            return response
        """
    }
    async with opened(tmp_path, entry) as running, connected(running.port) as client:
        await client.send(request("GET", "/bad", "Accept: application/json") + request("GET", "/good"))
        got = await client.answer()
        assert (got.status, got.get("content-type")) == (500, "application/json")
        assert got.get("atoll-request-id")
        assert (await client.answer()).body == b"x"
        await running.seen.until(lambda seen: len(seen.ended_facts) == 2)
        assert [facts["outcome"] for facts in running.seen.ended_facts] == ["internalError", "ok"]
        assert running.seen.failures[0][0] == "response_head_failed"
        assert running.gateway.in_flight == 0
