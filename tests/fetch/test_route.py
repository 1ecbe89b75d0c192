"""Proxies and Unix sockets: which way a subrequest goes, and what is judged on it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from atoll.config import ProxyConfig
from atoll.errors import AddressDenied, ConnectFailed, FetchTimeout
from atoll.fetch.route import Routes
from atoll.http.body import Body
from atoll.http.url import parse
from support.certificates import Authority
from support.proxy import TunnelProxy
from support.subrequests import bytes_of, subrequests
from support.upstream import ScriptedUpstream, answer, read_body
from support.waiting import eventually


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


def proxy_at(port: int, authorization: str | None = "Basic dTpw") -> ProxyConfig:
    origin = f"http://127.0.0.1:{port}"
    return ProxyConfig(hostname="127.0.0.1", port=port, origin=origin, authorization=authorization)


@asynccontextmanager
async def unix_upstream(path: Path, raw: bytes) -> AsyncIterator[list[bytes]]:
    heads: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                heads.append(await reader.readuntil(b"\r\n\r\n"))
                writer.write(raw)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async with await asyncio.start_unix_server(serve, path):
        yield heads


def test_which_way() -> None:
    """Sockets first, then what no_proxy names, then the proxy; the key tells them apart."""
    routes = Routes(proxy_at(1), ["direct.example", "*.near.example", "10.0.0.0/8"], {"http://docker": Path("/run/d")})
    ways = {
        "http://docker/x": "http://docker at unix:/run/d",
        "https://docker/x": "https://docker via http://127.0.0.1:1",
        "http://direct.example:81/": "http://direct.example:81",
        "https://a.near.example/": "https://a.near.example",
        "http://10.1.2.3/": "http://10.1.2.3",
        "http://far.example/": "http://far.example via http://127.0.0.1:1",
    }
    assert {url: routes.of(parse(url)).key for url in ways} == ways
    assert Routes().of(parse("http://a.example/")).straight


async def test_http_through_a_proxy() -> None:
    """The whole URL stands in the request line, our credentials replace the author's, and nothing is resolved here."""
    async with ScriptedUpstream([answer(b"from afar")]) as proxy:
        async with subrequests(proxy=proxy_at(proxy.port)) as engine:
            for _ in range(2):
                response = await engine.get("http://no-such-host.test/a?b#c", ("Proxy-Authorization", "author's"))
                assert await bytes_of(response) == b"from afar"
            assert proxy.connections_ever == 1
        lines = proxy.heads[0].decode().split("\r\n")
        assert lines[:2] == ["GET http://no-such-host.test/a?b HTTP/1.1", "host: no-such-host.test"]
        assert [line for line in lines if "proxy-auth" in line.lower()] == ["proxy-authorization: Basic dTpw"]


async def test_https_through_a_proxy(authority: Authority, tmp_path: Path) -> None:
    """CONNECT makes a tunnel, TLS goes end to end inside it, credentials go to the proxy alone; it is reused."""
    payload = bytes(range(256)) * 2_000

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes) -> None:
        writer.write(answer(await read_body(reader, head)))

    tls = authority.server("secure.test")
    async with ScriptedUpstream(echo, tls=tls) as upstream, TunnelProxy(upstream.port) as proxy:
        async with subrequests(proxy=proxy_at(proxy.port), ca_file=authority.write(tmp_path)) as engine:
            for body in (b"small", payload):
                assert await bytes_of(await engine.send("POST", "https://secure.test/p", Body(body))) == body
        head = b"CONNECT secure.test:443 HTTP/1.1\r\nhost: secure.test:443\r\nproxy-authorization: Basic dTpw\r\n\r\n"
        assert proxy.heads == [head]
        assert all(head.startswith(b"POST /p HTTP/1.1") and b"proxy-auth" not in head for head in upstream.heads)
        await eventually(lambda: proxy.open == 0)


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", r"asks for credentials \(407\)"),
        (b"HTTP/1.1 403 Forbidden\r\n\r\nno", "refused a tunnel to secure.test: 403 'Forbidden'"),
        (b"HTTP/1.1 200 OK\r\n\r\n\x16", "bytes into the tunnel"),
        (b"SSH-2.0-x\r\n\r\n", "expected HTTP/1.1 and a status"),
        (b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 4_000, "sent more than 16384 bytes"),
    ],
)
async def test_a_proxy_that_gives_no_tunnel(said: bytes, told: str) -> None:
    """The error names fetch.proxy and what it said; no socket stays open."""
    async with TunnelProxy(answer=said) as proxy:
        async with subrequests(proxy=proxy_at(proxy.port)) as engine:
            with pytest.raises(ConnectFailed, match=rf"127.0.0.1:{proxy.port} \(fetch.proxy\).*{told}"):
                await engine.get("https://secure.test/")
        await eventually(lambda: proxy.open == 0)


async def test_a_proxy_that_stalls() -> None:
    """The tunnel is part of what fetch.connect_ms bounds, and goes with a cancelled request."""
    async with TunnelProxy(answer=b"HTTP/1.1 ") as proxy:
        async with subrequests(proxy=proxy_at(proxy.port), connect_ms=80) as engine:
            with pytest.raises(FetchTimeout, match=r"https://secure.test via http://127.* within 80 ms"):
                await engine.get("https://secure.test/")
        await eventually(lambda: proxy.open == 0)
        async with subrequests(proxy=proxy_at(proxy.port)) as engine:
            task = asyncio.create_task(engine.get("https://secure.test/"))
            await eventually(lambda: proxy.open == 1)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await eventually(lambda: proxy.open == 0)


async def test_what_is_judged_through_a_proxy() -> None:
    """Names and addresses written into the URL are judged as ever; a redirect counts as a public server's."""
    moved = answer(status="302 Found", headers=[("Location", "http://10.0.0.1/")])
    async with ScriptedUpstream([moved]) as proxy:
        settings = {"proxy": proxy_at(proxy.port), "deny": ("denied.test",)}
        async with subrequests(**settings) as engine:
            for url in ("http://denied.test/", "http://169.254.169.254/latest", "http://[::ffff:169.254.169.254]/"):
                with pytest.raises(AddressDenied):
                    await engine.get(url)
            assert proxy.requests == 0
            with pytest.raises(AddressDenied, match="not public, and a public server redirected there"):
                await engine.get("http://public.test/")


async def test_an_upstream_at_a_unix_socket(tmp_path: Path) -> None:
    """An origin can be at a socket file; its connections are reused, and other origins are not there."""
    path = tmp_path / "docker.sock"
    async with unix_upstream(path, answer(b"[]")) as heads:
        async with subrequests(unix={"http://docker": path}) as engine:
            for _ in range(2):
                assert await bytes_of(await engine.get("http://docker/containers/json")) == b"[]"
            assert engine.stack.statistics().reused_total == 1
        assert heads[0].startswith(b"GET /containers/json HTTP/1.1\r\nhost: docker\r\n")
        async with subrequests(unix={"http://docker": tmp_path / "none.sock"}) as engine:
            with pytest.raises(ConnectFailed, match=r"http://docker at unix:.*none.sock: No such file"):
                await engine.get("http://docker/")


async def test_a_public_server_cannot_redirect_to_a_unix_socket(tmp_path: Path) -> None:
    """A socket of this machine is as private as can be; fetch.allow may say otherwise."""
    path = tmp_path / "docker.sock"
    moved = answer(status="302 Found", headers=[("Location", "http://docker/stop")])
    async with ScriptedUpstream([moved]) as proxy, unix_upstream(path, answer(b"stopped")) as heads:
        ways = {"proxy": proxy_at(proxy.port), "unix": {"http://docker": path}}
        async with subrequests(**ways) as engine:
            await bytes_of(await engine.get("http://docker/"))  # An idle connection makes no difference.
            with pytest.raises(AddressDenied, match=r"http://docker is a Unix socket \(fetch.unix\)"):
                await engine.get("http://public.test/")
        assert len(heads) == 1
        async with subrequests(**ways, allow=("docker",)) as engine:
            assert await bytes_of(await engine.get("http://public.test/")) == b"stopped"
