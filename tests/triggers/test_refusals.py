"""What is not HTTP, or more of it than is taken: a status, one line, one log event, no echo, the connection closed."""

import json
from pathlib import Path

import pytest

from support.gateway import opened
from support.raw import connected, request

ENTRY = {
    "entry.py": """\
    from workers import Response

    async def on_fetch(request, env, ctx):
        return Response(request.method + " " + request.url + " " + request.headers.get("Host", "-"))
    """
}
MARK = "s3cr3t"

MALFORMED = {
    "no version": b"GET /s3cr3t\r\nHost: a\r\n\r\n",
    "0.9": b"GET /s3cr3t HTTP/0.9\r\nHost: a\r\n\r\n",
    "1.2": b"GET /s3cr3t HTTP/1.2\r\nHost: a\r\n\r\n",
    "9.9": b"GET /s3cr3t HTTP/9.9\r\nHost: a\r\n\r\n",
    "no host": b"GET /s3cr3t HTTP/1.1\r\n\r\n",
    "two hosts": b"GET / HTTP/1.1\r\nHost: s3cr3t\r\nHost: b\r\n\r\n",
    "empty host": b"GET /s3cr3t HTTP/1.1\r\nHost:\r\n\r\n",
    "host with userinfo": b"GET / HTTP/1.1\r\nHost: s3cr3t@b\r\n\r\n",
    "host with path": b"GET / HTTP/1.1\r\nHost: b/s3cr3t\r\n\r\n",
    "host with comma": b"GET / HTTP/1.1\r\nHost: b,s3cr3t\r\n\r\n",
    "host with backslash": b"GET / HTTP/1.1\r\nHost: b\\s3cr3t\r\n\r\n",
    "host with a bad port": b"GET / HTTP/1.1\r\nHost: s3cr3t:99999\r\n\r\n",
    "host beyond ascii": b"GET / HTTP/1.1\r\nHost: s3cr3t\xe4\r\n\r\n",
    "host that decodes to userinfo": b"GET / HTTP/1.1\r\nHost: s3cr3t%40b\r\n\r\n",
    "absolute form with a bad host field": b"GET http://s3cr3t/ HTTP/1.1\r\nHost: b/c\r\n\r\n",
    "absolute form with userinfo": b"GET http://s3cr3t@b/ HTTP/1.1\r\nHost: b\r\n\r\n",
    "absolute form without authority": b"GET http:///s3cr3t HTTP/1.1\r\nHost: b\r\n\r\n",
    "absolute form of another scheme": b"GET file://b/s3cr3t HTTP/1.1\r\nHost: b\r\n\r\n",
    "relative target": b"GET s3cr3t HTTP/1.1\r\nHost: b\r\n\r\n",
    "asterisk for GET": b"GET * HTTP/1.1\r\nHost: s3cr3t\r\n\r\n",
    "fragment": b"GET /s3cr3t#x HTTP/1.1\r\nHost: b\r\n\r\n",
    "empty fragment": b"GET /s3cr3t# HTTP/1.1\r\nHost: b\r\n\r\n",
    "NUL in the path": b"GET /s3cr3t\0 HTTP/1.1\r\nHost: b\r\n\r\n",
    "tab in the path": b"GET /s3c\tr3t HTTP/1.1\r\nHost: b\r\n\r\n",
    "no UTF-8 in the path": b"GET /s3cr3t\xff HTTP/1.1\r\nHost: b\r\n\r\n",
    "UTF-8 in the path": b"GET /s3cr3t\xc3\xa9 HTTP/1.1\r\nHost: b\r\n\r\n",
    "overlong UTF-8 in the path": b"GET /s3cr3t\xc0\xaf HTTP/1.1\r\nHost: b\r\n\r\n",
    "unknown method": b"S3CR3T / HTTP/1.1\r\nHost: b\r\n\r\n",
    "NUL in a field": b"GET / HTTP/1.1\r\nHost: b\r\nX: s3cr3t\0\r\n\r\n",
    "bare CR in a field": b"GET / HTTP/1.1\r\nHost: b\r\nX: s3\rcr3t\r\n\r\n",
    "bare LF": b"GET /s3cr3t HTTP/1.1\nHost: b\n\n",
    "obs-fold": b"GET / HTTP/1.1\r\nHost: b\r\nX: a\r\n s3cr3t\r\n\r\n",
    "space before the colon": b"GET / HTTP/1.1\r\nHost: b\r\nS3cr3t : a\r\n\r\n",
    "field without a name": b"GET / HTTP/1.1\r\nHost: b\r\n: s3cr3t\r\n\r\n",
    "field without a colon": b"GET / HTTP/1.1\r\nHost: b\r\ns3cr3t\r\n\r\n",
    "length and chunks": b"POST /s3cr3t HTTP/1.1\r\nHost: b\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
    "chunks and length": b"POST /s3cr3t HTTP/1.1\r\nHost: b\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n",
    "two lengths": b"POST /s3cr3t HTTP/1.1\r\nHost: b\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\n",
    "list of lengths": b"POST /s3cr3t HTTP/1.1\r\nHost: b\r\nContent-Length: 3, 3\r\n\r\n",
    "signed length": b"POST /s3cr3t HTTP/1.1\r\nHost: b\r\nContent-Length: +3\r\n\r\n",
    "negative length": b"POST /s3cr3t HTTP/1.1\r\nHost: b\r\nContent-Length: -3\r\n\r\n",
    "endless length": b"POST /s3cr3t HTTP/1.1\r\nHost: b\r\nContent-Length: 99999999999999999999999\r\n\r\n",
    "length of no digits": b"POST /s3cr3t HTTP/1.1\r\nHost: b\r\nContent-Length: \r\n\r\n",
    "empty coding": b"POST /s3cr3t HTTP/1.1\r\nHost: b\r\nTransfer-Encoding:\r\n\r\n",
    "unknown coding": b"POST /s3cr3t HTTP/1.1\r\nHost: b\r\nTransfer-Encoding: xchunked\r\n\r\n",
    "coding below chunked": b"POST /s3cr3t HTTP/1.1\r\nHost: b\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
    "chunked twice": b"POST /s3cr3t HTTP/1.1\r\nHost: b\r\nTransfer-Encoding: chunked, chunked\r\n\r\n",
    "chunked not last": b"POST /s3cr3t HTTP/1.1\r\nHost: b\r\nTransfer-Encoding: chunked, identity\r\n\r\n",
    "coding in 1.0": b"POST /s3cr3t HTTP/1.0\r\nHost: b\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03s3cr3t",
    "chunk size of no digits": request("POST", "/", "Transfer-Encoding: chunked", body=b"s3cr3t\r\n"),
    "chunk size with a sign": request("POST", "/", "Transfer-Encoding: chunked", body=b"+3\r\nabc\r\n0\r\n\r\n"),
    "chunk size with 0x": request("POST", "/", "Transfer-Encoding: chunked", body=b"0x3\r\nabc\r\n0\r\n\r\n"),
    "chunk size of 65 bits": request("POST", "/", "Transfer-Encoding: chunked", body=b"1" + b"0" * 16 + b"\r\n"),
    "chunk longer than its size": request("POST", "/", "Transfer-Encoding: chunked", body=b"3\r\nabcd\r\n0\r\n\r\n"),
    "chunk with bare LF": request("POST", "/", "Transfer-Encoding: chunked", body=b"3\nabc\n0\n\n"),
}


@pytest.mark.parametrize("raw", MALFORMED.values(), ids=MALFORMED.keys())
async def test_what_is_not_http_is_refused(tmp_path: Path, raw: bytes) -> None:
    """400 and the end of the connection; not a byte comes back, one bounded event is logged, no handler fails."""
    async with opened(tmp_path, ENTRY) as running, connected(running.port) as client:
        await client.send(raw + request("GET", "/smuggled"))
        answer = await client.answer()
        assert answer.status == 400
        assert answer.get("connection") == "close"
        assert answer.get("atoll-request-id")
        assert await client.rest() == b""
        assert MARK not in (answer.body.decode() + str(answer.fields)).lower()
        assert [event for event, _ in running.seen.warnings] == ["request_refused"]
        assert MARK not in str(running.seen.warnings).lower()
        assert len(str(running.seen.warnings)) < 1000
        assert running.seen.failures == []


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"CONNECT b:443 HTTP/1.1\r\nHost: b:443\r\n\r\n", 501),
        (b"TRACE / HTTP/1.1\r\nHost: b\r\n\r\n", 405),
        (b"GET / HTTP/2.0\r\nHost: b\r\n\r\n", 505),
        (b"POST / HTTP/1.1\r\nHost: b\r\nContent-Length: 3\r\nExpect: 200-ok\r\n\r\n", 417),
    ],
)
async def test_what_is_http_and_not_done_here(tmp_path: Path, raw: bytes, status: int) -> None:
    """Methods, versions and expectations that are not supported have each its status, and the connection ends."""
    async with opened(tmp_path, ENTRY) as running, connected(running.port) as client:
        await client.send(raw)
        answer = await client.answer()
        assert (answer.status, answer.get("connection")) == (status, "close")
        assert (answer.get("allow") is not None) == (status == 405)
        assert await client.rest() == b""


@pytest.mark.parametrize(
    ("target", "host", "url"),
    [
        ("/", "A.Example:80", "http://a.example/ a.example"),
        ("/", "a.example:8080", "http://a.example:8080/ a.example:8080"),
        ("/", "[::0001]:80", "http://[::1]/ [::1]"),
        ("http://good.example/x?y", "evil.example", "http://good.example/x?y good.example"),
        ("HTTPS://good.example/x", "evil.example", "http://good.example/x good.example"),
        ("http://good.example", "evil.example", "http://good.example/ good.example"),
        ("http://good.example?x@y", "evil.example", "http://good.example/?x@y good.example"),
        ("//evil.example/x", "a.example", "http://a.example//evil.example/x a.example"),
        ("/a/../b/./c", "a.example", "http://a.example/b/c a.example"),
        ("/a/%2e%2e/b/%2E/c", "a.example", "http://a.example/b/c a.example"),
        ("/../../etc/passwd", "a.example", "http://a.example/etc/passwd a.example"),
        ("/a\\..\\b", "a.example", "http://a.example/b a.example"),
        ("/a%2fb%00;c", "a.example", "http://a.example/a%2fb%00;c a.example"),
        ("/x@y:z", "a.example", "http://a.example/x@y:z a.example"),
    ],
)
async def test_one_normal_form(tmp_path: Path, target: str, host: str, url: str) -> None:
    """Whatever form a target comes in, the handler sees one URL and a Host field that says the same."""
    async with opened(tmp_path, ENTRY) as running, connected(running.port) as client:
        await client.send(request("GET", target, f"Host: {host}"))
        answer = await client.answer()
        assert (answer.status, answer.body.decode()) == (200, f"GET {url}")


async def test_options_for_the_whole_server(tmp_path: Path) -> None:
    """`OPTIONS *` reaches the handler as the root of its host."""
    async with opened(tmp_path, ENTRY) as running, connected(running.port) as client:
        await client.send(request("OPTIONS", "*"))
        assert (await client.answer()).body == b"OPTIONS http://a.example/ a.example"


async def test_http_1_0_needs_no_host(tmp_path: Path) -> None:
    """A client of 1.0 may leave Host out."""
    async with opened(tmp_path, ENTRY) as running, connected(running.port) as client:
        await client.send(b"GET /x HTTP/1.0\r\n\r\n")
        assert (await client.answer()).body == b"GET http://localhost/x -"


TOO_LARGE = {
    "url": (b"GET /" + b"x" * 1100 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414),
    "one field": (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 2100 + b"\r\n\r\n", 431),
    "a field's name": (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"x" * 2100 + b": a\r\n\r\n", 431),
    "many fields": (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 257 + b"\r\n", 431),
    "all fields": (b"GET / HTTP/1.1\r\nHost: a\r\n" + (b"X: " + b"y" * 500 + b"\r\n") * 5 + b"\r\n", 431),
    "no end": (b"GET / HTTP/1.1\r\nHost: a\r\n" + (b"X: " + b"y" * 500 + b"\r\n") * 8, 431),
}


@pytest.mark.parametrize("piece_bytes", [0, 1])
@pytest.mark.parametrize(("raw", "status"), TOO_LARGE.values(), ids=TOO_LARGE.keys())
async def test_heads_are_bounded(tmp_path: Path, raw: bytes, status: int, piece_bytes: int) -> None:
    """A URL or head that is too large is refused, in one segment or byte by byte, and what follows is not heard."""
    toml = "[gateway]\nurl_kb = 1\nheaders_kb = 2"
    async with opened(tmp_path, ENTRY, toml) as running, connected(running.port) as client:
        await client.send(raw, piece_bytes=piece_bytes)
        answer = await client.answer()
        assert (answer.status, answer.get("connection")) == (status, "close")
        assert await client.rest() == b""
        assert [event for event, _ in running.seen.warnings] == ["request_refused"]


async def test_a_large_url_is_told_from_a_large_head_when_both_may_be_as_large(tmp_path: Path) -> None:
    """414 and 431 stay apart when both bounds are one number."""
    async with opened(tmp_path, ENTRY, "[gateway]\nurl_kb = 2\nheaders_kb = 2") as running:
        for raw, status in ((TOO_LARGE["one field"][0], 431), (b"GET /" + b"x" * 2100 + b" HTTP/1.1\r\n\r\n", 414)):
            async with connected(running.port) as client:
                await client.send(raw)
                assert (await client.answer()).status == status


async def test_a_head_as_large_as_allowed_is_taken(tmp_path: Path) -> None:
    """The bounds are not passed by what just fits, in whatever segments it comes; the next head starts anew."""
    async with (
        opened(tmp_path, ENTRY, "[gateway]\nurl_kb = 1\nheaders_kb = 2") as running,
        connected(running.port) as client,
    ):
        for _ in range(3):
            await client.send(request("GET", "/" + "x" * 1000, "X: " + "y" * 2000), piece_bytes=500)
            assert (await client.answer()).status == 200


async def test_a_head_that_grows_behind_a_running_request_is_bounded(tmp_path: Path) -> None:
    """A head that never ends is refused after the answer to the request before it, which does not suffer."""
    entry = {
        "entry.py": """\
        import asyncio
        from workers import Response

        async def on_fetch(request, env, ctx):
            await asyncio.sleep(0.2)
            return Response("slow")
        """
    }
    async with (
        opened(tmp_path, entry, "[gateway]\nurl_kb = 1\nheaders_kb = 2") as running,
        connected(running.port) as client,
    ):
        await client.send(request())
        await client.send(
            b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\r\n" * 120, piece_bytes=300
        )
        assert (await client.answer()).body == b"slow"
        assert (await client.answer()).status == 431
        assert await client.rest() == b""


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("", "text/plain;charset=UTF-8"),
        ("Accept: */*", "text/plain;charset=UTF-8"),
        ("Accept: application/json", "application/json"),
        ("Accept: application/problem+json", "application/json"),
        ("Accept: text/html,application/xhtml+xml,*/*;q=0.8", "text/html;charset=UTF-8"),
    ],
)
async def test_failures_are_told_in_the_clients_format(tmp_path: Path, accept: str, kind: str) -> None:
    """JSON, HTML or a line of text; with a status, a code, the request id, and no traceback."""
    entry = {"entry.py": "async def on_fetch(request, env, ctx):\n    raise ValueError('<b>inside</b>')\n"}
    async with opened(tmp_path, entry) as running, connected(running.port) as client:
        await client.send(request("GET", "/", accept) + request("HEAD", "/", accept))
        answer = await client.answer()
        text, request_id = answer.body.decode(), answer.get("atoll-request-id")
        assert (answer.status, answer.get("content-type"), answer.get("cache-control")) == (500, kind, "no-store")
        assert request_id
        assert "1101" in text
        assert "Traceback" not in text
        assert "inside" not in text
        if kind == "application/json":
            assert json.loads(text)["request_id"] == request_id
        elif "html" in kind:
            assert request_id in text
        head = await client.answer("HEAD")
        assert (head.status, head.get("content-type")) == (500, kind)
        assert await running.status() == 500


async def test_no_worker_for_this_address(tmp_path: Path) -> None:
    """404 with a request id that the log has too, and the connection goes on."""
    toml = 'routes = ["/here/*"]\n'
    async with opened(tmp_path, ENTRY, toml) as running, connected(running.port) as client:
        await client.send(request("GET", "/there", "Accept: application/json") + request("GET", "/here/x"))
        answer = await client.answer()
        assert answer.status == 404
        (event, facts), *more = running.seen.warnings
        assert (event, facts["status"], more) == ("request_refused", 404, [])
        assert facts["request_id"] == answer.get("atoll-request-id") == json.loads(answer.body)["request_id"]
        assert (await client.answer()).status == 200


async def test_load_is_shed_with_a_time_to_come_back(tmp_path: Path) -> None:
    """Past `gateway.in_flight` the answer is 503 with Retry-After, and the connection is kept."""
    entry = {
        "entry.py": """\
        import asyncio
        from workers import Response

        async def on_fetch(request, env, ctx):
            await asyncio.sleep(0.3)
            return Response("slow")
        """
    }
    async with (
        opened(tmp_path, entry, "[gateway]\nin_flight = 1") as running,
        connected(running.port) as first,
        connected(running.port) as second,
    ):
        await first.send(request())
        await second.send(request())
        answers = [await first.answer(), await second.answer()]
        assert sorted(answer.status for answer in answers) == [200, 503]
        shed = max(answers, key=lambda answer: answer.status)
        assert (shed.get("retry-after"), shed.get("connection")) == ("1", None)
