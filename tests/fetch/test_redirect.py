"""Redirects: which are followed, with what, and where they must not lead."""

import asyncio
from typing import Any

import pytest

from atoll.errors import AbortError, AddressDenied, TooManySubrequests
from atoll.fetch.hop import Answer
from atoll.fetch.redirect import Redirected
from atoll.http.body import Body
from atoll.http.headers import Headers
from atoll.http.message import Request, Response
from atoll.http.url import parse
from atoll.limits import Limits
from support.raw_upstream import ListSource
from support.scripts import Endless
from support.subrequests import bytes_of, subrequests
from support.upstream import ScriptedUpstream, answer, read_body


def to(location: str, status: str = "302 Found", body: bytes = b"moved") -> bytes:
    return answer(body, status, [("Location", location)])


class Site:
    """A script that redirects by path and remembers the bodies."""

    def __init__(self, **moved: bytes) -> None:
        self.moved = {f"/{path}": raw for path, raw in moved.items()}
        self.bodies: list[bytes] = []

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes) -> None:
        self.bodies.append(await read_body(reader, head))
        path = head.split(b" ")[1].decode()
        writer.write(self.moved.get(path, answer(path.encode())))


@pytest.mark.parametrize("status", ["301 M", "302 F", "303 S", "307 T", "308 P"])
async def test_follows_and_counts_each_hop(status: str) -> None:
    """Every hop is a subrequest; the answer says where it came from, and one connection serves all."""
    site = Site(a=to("/b", status), b=to("c?x=1", status))
    async with ScriptedUpstream(site) as upstream, subrequests() as engine:
        response = await engine.get(upstream.url("/a#top"))
        assert (await bytes_of(response), response.status) == (b"/c?x=1", 200)
        assert (response.url, response.redirected) == (upstream.url("/c?x=1"), True)
        assert engine.budget.subrequests == 3
        assert upstream.connections_ever == 1


@pytest.mark.parametrize("status", ["300 Multiple", "304 Not Modified", "305 Use Proxy", "306 Unused"])
async def test_other_statuses_are_answers(status: str) -> None:
    """A Location alone makes no redirect."""
    async with ScriptedUpstream(Site(a=to("/b", status, b""))) as upstream, subrequests() as engine:
        response = await engine.get(upstream.url("/a"))
        assert (response.status, response.redirected) == (int(status[:3]), False)


async def test_a_redirect_without_a_location_is_an_answer() -> None:
    """There is nowhere to go, so the author gets it (fetch standard)."""
    async with ScriptedUpstream([answer(b"where?", "302 Found")]) as upstream, subrequests() as engine:
        response = await engine.get(upstream.url())
        assert (response.status, response.redirected, await bytes_of(response)) == (302, False, b"where?")


async def test_manual_and_error() -> None:
    """`manual` hands the redirect over untouched; `error` refuses it."""
    async with ScriptedUpstream(Site(a=to("/b"))) as upstream, subrequests() as engine:
        response = await engine.get(upstream.url("/a"), redirect="manual")
        assert (response.status, response.headers.get("location")) == (302, "/b")
        assert (await bytes_of(response), engine.budget.subrequests) == (b"moved", 1)
        with pytest.raises(AbortError, match="redirect is 'error'"):
            await engine.get(upstream.url("/a"), redirect="error")


METHODS = [
    ("301 M", "POST", "GET"),
    ("302 F", "POST", "GET"),
    ("303 S", "POST", "GET"),
    ("303 S", "PUT", "GET"),
    ("303 S", "HEAD", "HEAD"),
    ("301 M", "PUT", "PUT"),
    ("302 F", "DELETE", "DELETE"),
    ("307 T", "POST", "POST"),
    ("308 P", "PATCH", "PATCH"),
]


@pytest.mark.parametrize(("status", "method", "then"), METHODS)
async def test_methods_and_bodies(status: str, method: str, then: str) -> None:
    """Method and body change as the fetch standard says, and a dropped body takes its fields with it."""
    site = Site(a=to("/b", status, b""))
    body = None if method == "HEAD" else Body(b"payload")
    async with ScriptedUpstream(site) as upstream, subrequests() as engine:
        await bytes_of(
            await engine.send(
                method, upstream.url("/a"), body, ("Content-Type", "text/plain"), ("Content-Language", "de")
            )
        )
        assert upstream.heads[1].startswith(f"{then} /b HTTP/1.1\r\n".encode())
        kept = then == method
        assert (b"text/plain" in upstream.heads[1], b"Content-Language" in upstream.heads[1]) == (kept, kept)
        assert site.bodies == ([b"", b""] if body is None else [b"payload", b"payload" if kept else b""])


@pytest.mark.parametrize("status", ["301 M", "302 F", "307 T", "308 P"])
async def test_a_stream_cannot_be_sent_again(status: str) -> None:
    """A redirect that would need the body a second time fails; 303 needs none."""
    async with ScriptedUpstream(Site(a=to("/b", status), c=to("/d", "303 S"))) as upstream, subrequests() as engine:
        with pytest.raises(AbortError, match="stream, which cannot be sent again"):
            await engine.send("POST", upstream.url("/a"), Body(source=ListSource([b"x"])))
        response = await engine.send("POST", upstream.url("/c"), Body(source=ListSource([b"x"])))
        assert await bytes_of(response) == b"/d"


async def test_credentials_never_cross_an_origin() -> None:
    """All copies of Authorization, Cookie, Proxy-Authorization and Host are dropped, and do not come back."""
    secrets = [
        ("Authorization", "secret1"),
        ("authorization", "secret2"),
        ("Cookie", "secret3"),
        ("COOKIE", "secret4"),
        ("Proxy-Authorization", "secret5"),
        ("X-Kept", "yes"),
    ]
    async with ScriptedUpstream(Site()) as other:
        home = Site(a=to("/b"), b=to(other.url("/c")))
        async with ScriptedUpstream(home) as upstream, subrequests() as engine:
            other._script.moved["/c"] = to(upstream.url("/d"))  # type: ignore[attr-defined]
            response = await engine.get(upstream.url("/a"), *secrets)
            assert await bytes_of(response) == b"/d"
            same, back = upstream.heads[1], upstream.heads[2]
            assert same.count(b"secret") == 5
            for head in (other.heads[0], back):
                assert b"secret" not in head
                assert b"X-Kept: yes" in head
            assert f"host: 127.0.0.1:{other.port}".encode() in other.heads[0]


async def test_twenty_hops_and_no_more() -> None:
    """The twenty-first redirect is a TypeError; each hop was counted."""
    async with ScriptedUpstream(Site(a=to("/a"))) as upstream, subrequests() as engine:
        with pytest.raises(TypeError, match=r"^Too many redirects\.$"):
            await engine.get(upstream.url("/a"))
        assert (engine.budget.subrequests, upstream.requests) == (21, 21)


async def test_the_cap_ends_a_loop_before_anything_leaves() -> None:
    """A hop past the cap of subrequests is refused before it is sent."""
    async with ScriptedUpstream(Site(a=to("/a"))) as upstream, subrequests(Limits(subrequests=3)) as engine:
        with pytest.raises(TooManySubrequests):
            await engine.get(upstream.url("/a"))
        assert upstream.requests == 3


@pytest.mark.parametrize(
    ("location", "text"),
    [
        ("file:///etc/passwd", "'file' URL"),
        ("javascript:alert(1)", "'javascript' URL"),
        ("http://[", "not a valid URL"),
        ("http://user:pass@127.0.0.1/", "user name or password"),
        ("http://169.254.169.254/latest/", "169.254.169.254"),
        ("http://[::ffff:169.254.169.254]/", "link-local"),
    ],
)
async def test_bad_locations(location: str, text: str) -> None:
    """A redirect to where fetch itself must not go is an AbortError."""
    async with ScriptedUpstream(Site(a=to(location))) as upstream, subrequests() as engine:
        with pytest.raises(AbortError, match=text):
            await engine.get(upstream.url("/a"))


async def test_two_different_locations_are_refused() -> None:
    """Which of them is meant cannot be known."""
    raw = answer(b"", "302 Found", [("Location", "/a"), ("Location", "/b")])
    async with ScriptedUpstream([raw]) as upstream, subrequests() as engine:
        with pytest.raises(AbortError, match="2 different locations"):
            await engine.get(upstream.url())


@pytest.mark.parametrize(
    ("location", "target"),
    [
        ("b", "/x/b"),
        ("../b", "/b"),
        ("?q=1", "/x/a?q=1"),
        ("/b c", "/b%20c"),
        ("/\u00c3\u00a9", "/%C3%A9"),
        ("/%zz", "/%zz"),
        ("", "/x/a"),
    ],
)
async def test_locations_are_resolved_by_the_one_parser(location: str, target: str) -> None:
    """References are resolved as the URL standard says; bytes beyond ASCII are UTF-8."""
    seen: list[str] = []

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes) -> None:
        seen.append(head.split(b" ")[1].decode())
        writer.write(to(location) if len(seen) == 1 else answer())

    async with ScriptedUpstream(script) as upstream, subrequests() as engine:
        await engine.get(upstream.url("/x/a"))
        assert seen == ["/x/a", target]


async def test_the_body_of_a_hop_is_closed() -> None:
    """An endless body of a redirect is not read to its end, and holds no connection."""
    endless = Endless()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes) -> None:
        if head.startswith(b"GET /b "):
            writer.write(answer(b"here"))
            return
        writer.write(b"HTTP/1.1 302 Found\r\nLocation: /b\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
        await endless.peer_left.wait() if await reader.read(1) else endless.peer_left.set()

    async with ScriptedUpstream(script) as upstream, subrequests() as engine:
        assert await bytes_of(await engine.get(upstream.url("/a"))) == b"here"
        assert not engine.invocation.held
        await asyncio.wait_for(endless.peer_left.wait(), 5)


class FromPublic:
    """A fetcher that answers the first request as a public server would: with a redirect."""

    def __init__(self, location: str, inner: Any) -> None:
        self.location = location
        self.inner = inner

    async def fetch(self, request: Request) -> Response:
        if request.url.hostname == "public.test":
            headers = Headers([("Location", self.location)])
            return Answer(302, headers, None, "Found", request.url, public=True)
        return await self.inner.fetch(request)


async def test_a_public_server_must_not_lead_into_the_private_network() -> None:
    """Its redirect to a loopback address is refused, on a new connection and on one that is already open."""
    async with ScriptedUpstream([answer(b"private")]) as upstream, subrequests() as engine:
        fetcher = Redirected(FromPublic(upstream.url("/admin"), engine.fetcher._inner))  # type: ignore[attr-defined]
        request = Request("GET", parse("http://public.test/"))
        with pytest.raises(AddressDenied, match="public server redirected there"):
            await fetcher.fetch(request)
        assert upstream.connections_ever == 0
        assert await bytes_of(await engine.get(upstream.url())) == b"private"
        with pytest.raises(AddressDenied, match="public server redirected there"):
            await fetcher.fetch(request)
        assert (upstream.requests, engine.stack.statistics().idle) == (1, 1)


async def test_what_a_public_server_began_stays_judged() -> None:
    """A detour over a second hop does not lift the rule; naming the network in fetch.allow does."""
    async with ScriptedUpstream(Site(a=to("/b"))) as upstream:
        request = Request("GET", parse("http://public.test/"))
        async with subrequests(allow=("127.0.0.0/8",)) as engine:
            fetcher = Redirected(FromPublic(upstream.url("/a"), engine.fetcher._inner))  # type: ignore[attr-defined]
            assert await bytes_of(await fetcher.fetch(request)) == b"/b"
