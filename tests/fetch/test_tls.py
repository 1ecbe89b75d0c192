"""https: certificates are checked, names are checked, and the handshake has a bound."""

import asyncio
import ssl
from pathlib import Path

import pytest

from atoll.config import FetchConfig
from atoll.errors import ConfigError, ConnectFailed, FetchTimeout
from atoll.fetch.stack import build
from atoll.fetch.tls import SESSIONS_MAX, Sessions, trust
from atoll.http.body import Body
from support.certificates import Authority
from support.subrequests import bytes_of, subrequests
from support.upstream import ScriptedUpstream, answer, read_body
from support.waiting import eventually


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


async def test_a_trusted_upstream(authority: Authority, tmp_path: Path) -> None:
    """An authority named by fetch.ca_file is trusted; connections are reused, bodies go both ways."""
    payload = bytes(range(256)) * 4_096

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes) -> None:
        writer.write(answer(await read_body(reader, head)))

    async with ScriptedUpstream(echo, tls=authority.server()) as upstream:
        async with subrequests(ca_file=authority.write(tmp_path)) as engine:
            for body in (b"small", payload, b"again"):
                assert await bytes_of(await engine.send("POST", upstream.url(), Body(body))) == body
            assert upstream.connections_ever == 1
        await eventually(lambda: upstream.connections_open == 0)


async def test_an_unknown_authority_is_refused(authority: Authority) -> None:
    """The error names the host, the reason and the key that would help; nothing stays open."""
    async with ScriptedUpstream([answer()], tls=authority.server()) as upstream, subrequests() as engine:
        with pytest.raises(ConnectFailed, match=r"https://localhost:\d+ .*unable to get local issuer.*fetch.ca_file"):
            await engine.get(upstream.url())
        assert engine.stack.statistics().open == 0
        assert upstream.requests == 0


async def test_a_certificate_for_another_host_is_refused(authority: Authority, tmp_path: Path) -> None:
    """A certificate counts only for the name in the URL."""
    server = authority.server("other.test")
    async with ScriptedUpstream([answer()], tls=server) as upstream:
        async with subrequests(ca_file=authority.write(tmp_path)) as engine:
            with pytest.raises(ConnectFailed, match=r"Hostname mismatch.*localhost"):
                await engine.get(upstream.url())
        assert upstream.requests == 0


async def test_plain_http_where_https_was_expected(authority: Authority) -> None:
    """A port that does not speak TLS is a failed connect, and closed."""
    left = asyncio.Event()

    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer(b"use plain http", status="400 Bad Request"))
        while await reader.read(1_000):
            pass
        left.set()
        writer.close()

    server = await asyncio.start_server(plain, "127.0.0.1", 0)
    async with server, subrequests() as engine:
        with pytest.raises(ConnectFailed, match=r"TLS handshake with https://127"):
            await engine.get(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/")
        await asyncio.wait_for(left.wait(), 5)


async def test_a_stalled_handshake_has_a_bound() -> None:
    """An upstream that accepts and says nothing is left after fetch.connect_ms, or with the request's cancellation."""
    came = left = 0

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal came, left
        await reader.readexactly(100)
        came += 1
        await reader.read()
        left += 1
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    async with server:
        async with subrequests(connect_ms=80) as engine:
            with pytest.raises(FetchTimeout, match=r"within 80 ms \(fetch.connect_ms\)"):
                await engine.get(url)
        await eventually(lambda: left == 1)
        async with subrequests() as engine:
            task = asyncio.create_task(engine.get(url))
            await eventually(lambda: came == 2)
            assert engine.stack.statistics().connecting == 1
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await eventually(lambda: left == 2)


async def test_flow_control_holds_over_tls(authority: Authority, tmp_path: Path) -> None:
    """An endless body over TLS that nobody reads does not fill the memory."""
    sent = 0

    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes) -> None:
        nonlocal sent
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            writer.write(b"x" * 65_536)
            await writer.drain()
            sent += 65_536

    upstream = ScriptedUpstream(endless, tls=authority.server())
    async with upstream, subrequests(ca_file=authority.write(tmp_path)) as engine:
        response = await engine.get(upstream.url())
        seen = -1
        while seen != sent:
            seen = sent
            await asyncio.sleep(0.1)
        assert 0 < sent < 16 * 1024 * 1024
        assert response.body is not None
        response.body.close()
        await eventually(lambda: upstream.connections_open == 0)


def test_the_context_checks_names_and_offers_http_1() -> None:
    """Verification is on, whatever else the settings say."""
    context = trust()
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)


@pytest.mark.parametrize(
    "anyio_backend", [("asyncio", {"use_uvloop": True}), ("asyncio", {"use_uvloop": False})], ids=["uvloop", "asyncio"]
)
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("close", [False, True])
async def test_a_session_is_resumed(authority: Authority, tmp_path: Path, version: ssl.TLSVersion, close: bool) -> None:
    """The next connection on a route takes up the session of the last one, whether that still lives or not."""
    resumed: list[bool] = []

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes) -> None:
        resumed.append(writer.get_extra_info("ssl_object").session_reused)
        writer.write(answer(b"x", headers=[("Connection", "close")] if close else []))

    server, other = authority.server(), authority.server()
    server.minimum_version = server.maximum_version = version
    async with ScriptedUpstream(script, tls=server) as upstream, ScriptedUpstream(script, tls=other) as elsewhere:
        async with subrequests(ca_file=authority.write(tmp_path)) as engine:
            await engine.get(upstream.url())
            if not close:
                await asyncio.gather(engine.get(upstream.url()), engine.get(upstream.url()))
            else:
                await engine.get(upstream.url())
            await engine.get(elsewhere.url())
        assert resumed[0] is False
        assert resumed.count(True) == 1
        assert resumed[-1] is False  # Another port is another route.


def test_sessions_are_bounded() -> None:
    """The route that was used longest ago is forgotten first, and a session that is too old is not taken up."""

    class Session:
        time = 0
        timeout = 10**12

    class Tls:
        session = Session()

    sessions = Sessions()
    for n in range(SESSIONS_MAX + 10):
        sessions.keep(f"https://{n}", Tls())  # type: ignore[arg-type]
    assert len(sessions) == SESSIONS_MAX
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    assert sessions.resuming(context, "https://0") is context
    assert sessions.resuming(context, "https://20") is not context
    Session.timeout = 1
    assert sessions.resuming(context, "https://20") is context


async def test_a_ca_file_that_cannot_be_used_stops_the_start(tmp_path: Path) -> None:
    """The error names the key and the file."""
    with pytest.raises(ConfigError, match=r"fetch.ca_file = .*missing.pem"):
        build(FetchConfig(ca_file=tmp_path / "missing.pem"))
    garbage = tmp_path / "garbage.pem"
    garbage.write_text("garbage")
    with pytest.raises(ConfigError, match=r"expected a file of PEM certificates"):
        build(FetchConfig(ca_file=garbage))
