"""What a handler, and its client, see of an upstream that misbehaves; nothing is left hanging or open."""

import time
from pathlib import Path

import aiohttp
import pytest

from support.gateway import opened
from support.scripts import bytes_then_close, bytes_then_reset, bytes_then_silence, chunked_cut, truncated
from support.upstream import Script, ScriptedUpstream, refusing
from support.waiting import eventually

CATCHES = """
    from workers import Response, fetch
    async def on_fetch(request, env, ctx):
        try:
            response = await fetch(env.UPSTREAM)
            text = await response.text()
        except OSError as error:
            return Response(f"{type(error).__name__}: {error}", status=502)
        return Response(text)
    """
PASSES_ON = """
    from workers import fetch
    async def on_fetch(request, env, ctx):
        return await fetch(env.UPSTREAM)
    """
BAD: dict[str, tuple[Script, str]] = {
    "reset at once": (bytes_then_reset(), "ConnectionBroken"),
    "closed at once": (bytes_then_close(b""), "ConnectionBroken"),
    "half a head": (bytes_then_close(b"HTTP/1.1 200 OK\r\nContent-"), "ConnectionBroken"),
    "garbage": (bytes_then_close(b"\x16\x03\x01 this is not HTTP\r\n\r\n"), "BadAnswer"),
    "status 999": (bytes_then_close(b"HTTP/1.1 999 No\r\nContent-Length: 0\r\n\r\n"), "BadAnswer"),
    "two lengths": (
        bytes_then_close(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx"),
        "BadAnswer",
    ),
    "body cut": (truncated(b"only a part"), "BodyBroken"),
    "chunks cut": (chunked_cut([b"a", b"b"]), "BodyBroken"),
    "reset in the body": (bytes_then_reset(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"), "BodyBroken"),
    "silent": (bytes_then_silence(b""), "FetchTimeout"),
    "silent in the head": (bytes_then_silence(b"HTTP/1.1 200 OK\r\n"), "FetchTimeout"),
}


@pytest.mark.parametrize("fault", BAD)
async def test_a_handler_can_catch_it(tmp_path: Path, fault: str) -> None:
    """Each fault is one OSError whose text names the upstream; the handler answers, and no connection stays open."""
    script, error = BAD[fault]
    async with ScriptedUpstream(script) as upstream:
        toml = f'vars = {{ UPSTREAM = "{upstream.origin}" }}\n[limits]\nwall_ms = 700\n'
        async with opened(tmp_path, {"entry.py": CATCHES}, toml) as running:
            started = time.monotonic()
            async with running.client.get(running.url) as response:
                said = await response.text()
            assert response.status == 502, said
            assert said.startswith(f"{error}: ")
            assert "Traceback" not in said
            assert time.monotonic() - started < 2
            await eventually(lambda: running.gateway.in_flight == 0)
            await eventually(lambda: upstream.connections_open == 0)
            assert running.seen.failures == []


@pytest.mark.parametrize("fault", [fault for fault in BAD if "body" not in fault and "chunks" not in fault])
async def test_a_handler_that_does_not_catch_it_fails_clearly(tmp_path: Path, fault: str) -> None:
    """Uncaught it is 500 with code 1101, or 504 for a timeout; the next request is served."""
    script, error = BAD[fault]
    async with ScriptedUpstream(script) as upstream:
        toml = f'vars = {{ UPSTREAM = "{upstream.origin}" }}\n[limits]\nwall_ms = 700\n'
        async with opened(tmp_path, {"entry.py": PASSES_ON}, toml) as running:
            async with running.client.get(running.url) as response:
                said = await response.text()
            assert response.status == (504 if error == "FetchTimeout" else 500)
            assert ("1102" if error == "FetchTimeout" else "1101") in said
            assert upstream.origin not in said
            await eventually(lambda: running.gateway.in_flight == 0)
            await eventually(lambda: upstream.connections_open == 0)


async def test_an_upstream_that_refuses(tmp_path: Path) -> None:
    """A closed port is a ConnectFailed that names the origin."""
    with refusing() as origin:
        toml = f'vars = {{ UPSTREAM = "{origin}" }}\n'
        async with (
            opened(tmp_path, {"entry.py": CATCHES}, toml) as running,
            running.client.get(running.url) as response,
        ):
            said = await response.text()
        assert said.startswith("ConnectFailed: ")
        assert origin.removeprefix("http://") in said


async def test_a_stream_that_stalls_is_cut_for_the_client_too(tmp_path: Path) -> None:
    """An upstream that goes silent in the middle of a body that is passed on: the client sees it break off."""
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nthe first part"
    async with ScriptedUpstream(bytes_then_silence(head)) as upstream:
        toml = f'vars = {{ UPSTREAM = "{upstream.origin}" }}\n[limits]\nbody_idle_ms = 300\n'
        async with opened(tmp_path, {"entry.py": PASSES_ON}, toml) as running:
            async with running.client.get(running.url) as response:
                assert response.status == 200
                with pytest.raises(aiohttp.ClientError):
                    await response.read()
            await eventually(lambda: running.gateway.in_flight == 0)
            await eventually(lambda: upstream.connections_open == 0)
            assert running.seen.ended_facts[0]["outcome"] == "exceededWallTime"
