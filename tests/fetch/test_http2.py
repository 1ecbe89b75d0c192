"""Upstreams over HTTP/2: the same engine around another way out."""

import asyncio
import sys
from pathlib import Path

import pytest

from atoll import current
from atoll.config import FetchConfig
from atoll.errors import AddressDenied, BadAnswer, BodyBroken, ConfigError, ConnectFailed, FetchTimeout
from atoll.fetch.stack import build
from atoll.http.body import Body
from support.certificates import Authority
from support.http2 import Http2Upstream
from support.raw_upstream import ListSource
from support.subrequests import bytes_of, subrequests
from support.upstream import ScriptedUpstream, answer, refusing
from support.waiting import eventually


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


async def test_many_requests_share_one_connection(authority: Authority, tmp_path: Path) -> None:
    """Requests run at once on one connection, are counted like all others, and the fields are those of HTTP/1.1."""
    async with Http2Upstream(authority.server()) as upstream:
        settings = {"http2": (upstream.authority,), "ca_file": authority.write(tmp_path)}
        async with subrequests(**settings) as engine:
            await bytes_of(await engine.get(upstream.url("/first"), ("X-Own", "1"), ("Connection", "x-own")))
            answers = await asyncio.gather(*(engine.get(upstream.url(f"/{n}")) for n in range(20)))
            assert [await bytes_of(each) for each in answers] == [f"/{n}".encode() for n in range(20)]
            assert engine.budget.subrequests == 21
            assert not engine.invocation.held
        assert upstream.connections_ever == 1
        head = upstream.heads[0]
        assert (head[":authority"], head[":path"], head["accept"]) == (upstream.authority, "/first", "*/*")
        assert "x-own" not in head
        await eventually(lambda: upstream.connections_open == 0)


@pytest.mark.parametrize("streamed", [False, True])
async def test_bodies_go_both_ways(authority: Authority, tmp_path: Path, streamed: bool) -> None:
    """Bytes and sources of any size arrive whole; a source is closed."""
    payload = bytes(range(256)) * 4_000
    source = ListSource([payload[at : at + 100_000] for at in range(0, len(payload), 100_000)])
    async with Http2Upstream(authority.server()) as upstream:
        settings = {"http2": (upstream.authority,), "ca_file": authority.write(tmp_path)}
        async with subrequests(**settings) as engine:
            body = Body(source=source) if streamed else Body(payload)
            assert await bytes_of(await engine.send("POST", upstream.url("/echo"), body)) == payload
            assert source.closed is streamed


async def test_a_body_nobody_reads_does_not_fill_the_memory(authority: Authority, tmp_path: Path) -> None:
    """What is not read here is soon not sent there; a body left early costs the requests after it nothing."""
    async with Http2Upstream(authority.server()) as upstream:
        settings = {"http2": (upstream.authority,), "ca_file": authority.write(tmp_path)}
        async with subrequests(**settings) as engine:
            response = await engine.get(upstream.url("/endless"))
            seen = -1
            while seen != upstream.bytes_sent:
                seen = upstream.bytes_sent
                await asyncio.sleep(0.1)
            assert 0 < upstream.bytes_sent < 20 * 1024 * 1024
            assert response.body is not None
            response.body.close()
            assert await bytes_of(await engine.get(upstream.url("/after"))) == b"/after"
            await eventually(lambda: upstream.connections_open == 1)


async def test_failures_are_told_in_our_words(authority: Authority, tmp_path: Path) -> None:
    """httpcore's errors do not get out."""
    async with Http2Upstream(authority.server()) as upstream:
        settings = {"ca_file": authority.write(tmp_path), "headers_ms": 100}
        async with subrequests(http2=(upstream.authority,), **settings) as engine:
            response = await engine.get(upstream.url("/cut"))
            with pytest.raises(BodyBroken):
                await bytes_of(response)
            with pytest.raises(BadAnswer, match="header field that is not valid"):
                await engine.get(upstream.url("/bad"))
            with pytest.raises(FetchTimeout, match=r"within 100 ms \(fetch.headers_ms\)"):
                await engine.get(upstream.url("/silent"))
            source = ListSource([b"x", ValueError("the author's")])
            with pytest.raises(ValueError, match="the author's"):
                await engine.send("POST", upstream.url("/echo"), Body(source=source))
            assert source.closed
        async with subrequests(http2=(upstream.authority,)) as engine:
            with pytest.raises(ConnectFailed, match="certificate verify failed"):
                await engine.get(upstream.url())
    with refusing() as origin:
        async with subrequests(http2=(origin.removeprefix("http://"),)) as engine:
            with pytest.raises(ConnectFailed, match=r"no connection to https://127\.0\.0\.1"):
                await engine.get(origin.replace("http:", "https:"))


async def test_addresses_are_judged(authority: Authority, tmp_path: Path) -> None:
    """The address rules hold inside the connect, and every hop of a redirect is judged."""
    async with Http2Upstream(authority.server(), to="https://169.254.169.254/") as upstream:
        settings = {"http2": (upstream.authority, "169.254.169.254"), "ca_file": authority.write(tmp_path)}
        async with subrequests(**settings) as engine:
            with pytest.raises(AddressDenied, match="metadata"):
                await engine.get(upstream.url("/moved"))
        async with subrequests(**settings, deny=("127.0.0.0/8",)) as engine:
            with pytest.raises(AddressDenied, match=r"fetch\.deny"):
                await engine.get(upstream.url())
        assert upstream.connections_ever == 1


async def test_a_cancelled_request_and_the_end(authority: Authority, tmp_path: Path) -> None:
    """Cancelling frees the exchange and leaves the connection to others; what an invocation set is not seen by it."""
    async with Http2Upstream(authority.server()) as upstream:
        settings = {"http2": (upstream.authority,), "ca_file": authority.write(tmp_path)}
        async with subrequests(**settings) as engine:
            task = asyncio.create_task(engine.get(upstream.url("/silent")))
            await eventually(lambda: len(upstream.heads) == 1)
            (running,) = engine.stack._http2._running  # type: ignore[union-attr]
            assert current.invocation not in running.get_context() if sys.version_info >= (3, 12) else True
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await eventually(lambda: not engine.stack._http2._running)  # type: ignore[union-attr]
            assert await bytes_of(await engine.get(upstream.url("/after"))) == b"/after"


async def test_an_upstream_that_speaks_http_1_only(authority: Authority, tmp_path: Path) -> None:
    """A host that does not take up HTTP/2 is spoken to in HTTP/1.1."""
    async with ScriptedUpstream([answer(b"old")], tls=authority.server()) as upstream:
        hosts = (upstream.origin.removeprefix("https://"),)
        async with subrequests(http2=hosts, ca_file=authority.write(tmp_path)) as engine:
            assert await bytes_of(await engine.get(upstream.url())) == b"old"
        assert upstream.heads[0].startswith(b"GET / HTTP/1.1\r\n")


def test_without_the_extra_the_start_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the key, the package and what to do; without the key the package is not needed."""
    monkeypatch.setitem(sys.modules, "h2", None)
    monkeypatch.delitem(sys.modules, "atoll.fetch.http2", raising=False)
    with pytest.raises(ConfigError, match=r"fetch\.http2 needs .*\(h2\).*atoll\[http2\]"):
        build(FetchConfig(http2=("a.example",)))
    build(FetchConfig())
