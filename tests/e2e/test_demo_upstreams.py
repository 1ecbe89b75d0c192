"""The demo's upstreams answer as its `--help` says, and live and die with the command beside them."""

import asyncio
import hashlib
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator

import httpx
import pytest

from support.processes import ROOT, Program, alive, rss_bytes_max, running
from support.waiting import eventually

UPSTREAMS = [sys.executable, str(ROOT / "demo" / "upstreams.py")]
SERVICES = ["catalogue", "prices", "stock", "recommendations", "reviews"]

# Tells its pid, then what it is told; ends by itself on SIGTERM and SIGINT, with a status to recognise.
CHILD = """
import os, signal, sys, time
for number, status in ((signal.SIGTERM, 7), (signal.SIGINT, 9)):
    signal.signal(number, lambda got, _, status=status: (print("got", got), os._exit(status)))
print("child", os.getpid())
while True: time.sleep(60)
"""


@pytest.fixture(scope="module")
async def upstreams() -> AsyncIterator[Program]:
    async with running(*UPSTREAMS, "--port", "0", "--latency", "all=0") as program:
        await program.origin()
        yield program


@pytest.fixture
async def client(upstreams: Program) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=await upstreams.origin(), timeout=10) as client:
        yield client


@pytest.mark.parametrize("service", SERVICES)
async def test_a_service_knows_thirteen_products_and_is_deterministic(client: httpx.AsyncClient, service: str) -> None:
    """The same id gives the same facts each time, another id gives others, and an unknown one gives 404."""
    answers = [(await client.get(f"/{service}/{product}")).json() for product in range(1, 13)]
    assert [answer["id"] for answer in answers] == [str(product) for product in range(1, 13)]
    assert (await client.get(f"/{service}/5")).json() == answers[4]
    assert len({repr(answer | {"id": ""}) for answer in answers}) > 6
    unknown = await client.get(f"/{service}/13")
    assert (unknown.status_code, "11, 12, 42" in unknown.json()["error"]) == (404, True)


async def test_services_differ_in_transport(client: httpx.AsyncClient) -> None:
    """Reviews are chunked, recommendations are compressed only for those who accept it, the rest have a length."""
    reviews = await client.get("/reviews/1")
    assert reviews.headers["transfer-encoding"] == "chunked"
    assert "content-length" not in reviews.headers
    zipped = await client.get("/recommendations/1", headers={"Accept-Encoding": "gzip"})
    plain = await client.get("/recommendations/1", headers={"Accept-Encoding": "identity"})
    assert zipped.headers["content-encoding"] == "gzip"
    assert "content-encoding" not in plain.headers
    assert zipped.json() == plain.json()
    assert int((await client.get("/stock/1")).headers["content-length"]) > 0


async def test_a_request_can_turn_the_knobs_for_itself(client: httpx.AsyncClient) -> None:
    """`latency_ms`, `fail` and `size_kb` of a query change that answer and no other."""
    started = time.monotonic()
    assert (await client.get("/stock/1?latency_ms=80")).status_code == 200
    assert time.monotonic() - started >= 0.08
    assert (await client.get("/prices/1?fail=1")).status_code == 503
    assert (await client.get("/prices/1")).status_code == 200
    assert len((await client.get("/catalogue/1?size_kb=300")).content) == 300 * 1024
    for wrong in ("fail=2", "fail=often", "latency_ms=-1", "size_kb=nan"):
        answer = await client.get(f"/stock/1?{wrong}")
        assert (answer.status_code, wrong.split("=")[0] in answer.text) == (400, True)


async def test_knobs_are_turned_while_it_runs_and_failures_are_spread_evenly(client: httpx.AsyncClient) -> None:
    """PUT /knobs sets a service's behaviour; a quarter of failures is each fourth request, not a lottery."""
    assert (await client.put("/knobs/stock?fail=0.25")).json()["stock"]["fail"] == 0.25
    statuses = [(await client.get("/stock/1")).status_code for _ in range(8)]
    assert statuses == [200, 200, 200, 503] * 2
    await client.put("/knobs/stock?fail=0")
    assert (await client.get("/knobs")).json()["stock"]["fail"] == 0
    assert (await client.put("/knobs/nothing?fail=1")).status_code == 404


@pytest.mark.parametrize("query", ["", "&chunked=1", "&chunk_kb=1", "&chunk_kb=1000"])
async def test_bytes_are_what_their_digest_says(client: httpx.AsyncClient, query: str) -> None:
    """However the bytes are framed and cut, they are the same ones, and `/bytes/sha256` is their digest."""
    size = 3 * 1024 * 1024 + 17
    got = await client.get(f"/bytes?size={size}{query}")
    told = (await client.get(f"/bytes/sha256?size={size}")).json()
    assert told == {"size": len(got.content), "sha256": hashlib.sha256(got.content).hexdigest()}
    assert ("content-length" in got.headers) == ("chunked" not in query)


async def test_bytes_stream_in_constant_memory(upstreams: Program, client: httpx.AsyncClient) -> None:
    """256 MB leave without the program's memory growing by more than a fraction of it, also for a slow reader."""
    before = rss_bytes_max(upstreams.pid)
    received = 0
    async with client.stream("GET", "/bytes?size=256m&chunk_kb=1024") as response:
        async for chunk in response.aiter_raw():
            received += len(chunk)
    assert received == 256 * 1024 * 1024
    async with client.stream("GET", "/bytes?size=1g") as response:
        await anext(response.aiter_raw())
    assert rss_bytes_max(upstreams.pid) - before < 32 * 1024 * 1024


async def test_echo_tells_what_came(client: httpx.AsyncClient) -> None:
    """Method, target, repeated headers in order and the digest of a streamed body come back."""

    async def body() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield b"0123456789" * 1000

    sent = [(b"X-Twice", b"one"), (b"X-Twice", b"two"), (b"X-Latin", b"caf\xe9")]
    told = (await client.patch("/echo?a=b%20c", content=body(), headers=sent)).json()
    assert (told["method"], told["target"], told["body_bytes"]) == ("PATCH", "/echo?a=b%20c", 1_000_000)
    assert told["sha256"] == hashlib.sha256(b"0123456789" * 100_000).hexdigest()
    assert [line for line in told["headers"] if line[0].startswith("X-")] == [
        ["X-Twice", "one"],
        ["X-Twice", "two"],
        ["X-Latin", "café"],
    ]


async def test_redirects_are_as_many_as_asked_for(client: httpx.AsyncClient) -> None:
    """`n` hops lead to `to`, each with the status asked for."""
    answer = await client.get("/redirect?n=3&to=/healthz&status=307", follow_redirects=True)
    assert [hop.status_code for hop in answer.history] == [307, 307, 307]
    assert (answer.text, answer.url.path) == ("ok\n", "/healthz")


async def test_any_status_can_be_had(client: httpx.AsyncClient) -> None:
    """`/status` answers with the status named, without a body where none is allowed."""
    for code in (200, 204, 304, 404, 418, 503):
        answer = await client.get(f"/status/{code}")
        assert (answer.status_code, answer.text == "") == (code, code in (204, 304))


async def test_a_slow_stream_comes_line_by_line(client: httpx.AsyncClient) -> None:
    """The first line is there long before the last."""
    async with client.stream("GET", "/slow-stream?lines=3&interval_ms=60") as response:
        times = [(line, time.monotonic()) async for line in response.aiter_lines()]
    assert [line for line, _ in times] == ["line 1 of 3", "line 2 of 3", "line 3 of 3"]
    assert times[-1][1] - times[0][1] >= 0.1


async def test_a_client_that_leaves_ends_its_request_silently(upstreams: Program, client: httpx.AsyncClient) -> None:
    """A stream that nobody reads any more is ended, and nothing is written about it."""
    written = len(upstreams.lines)
    before = (await client.get("/stats")).json()["in_flight"]
    async with client.stream("GET", "/bytes?size=100g") as response:
        await anext(response.aiter_raw())

    async def ended() -> bool:
        return bool((await client.get("/stats")).json()["in_flight"] == before)

    await eventually(ended)
    assert upstreams.lines[written:] == []


async def test_it_serves_before_the_command_starts_and_passes_its_status_on() -> None:
    """The command finds the upstreams ready, and its exit status is theirs."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    fetch = f"import urllib.request as r, sys; r.urlopen('http://127.0.0.1:{port}/healthz'); sys.exit(5)"
    async with running(*UPSTREAMS, "--port", port, "--", sys.executable, "-c", fetch) as program:
        assert await program.ended() == 5


@pytest.mark.parametrize(
    ("command", "status", "said"),
    [(["no-such-command"], 127, "there is no such command"), (["/etc/passwd"], 126, "cannot be run")],
)
async def test_a_command_that_cannot_be_run_is_named(command: list[str], status: int, said: str) -> None:
    """The statuses are a shell's, the message is one line."""
    async with running(*UPSTREAMS, "--port", "0", "--", *command) as program:
        assert await program.ended() == status
        assert command[0] in await program.line(said)
        assert len(program.lines) == 2


async def test_ctrl_c_is_left_to_the_command() -> None:
    """SIGINT to the group ends the command, and only with it the upstreams."""
    async with running(*UPSTREAMS, "--port", "0", "--", sys.executable, "-c", CHILD) as program:
        await program.line("^child")
        program.interrupt()
        assert await program.ended() == 9
        assert program.family() == []


async def test_ctrl_c_to_the_upstreams_alone_does_not_end_them() -> None:
    """SIGINT of the parent alone is ignored: the command decides."""
    async with running(*UPSTREAMS, "--port", "0", "--", sys.executable, "-c", CHILD) as program:
        await program.line("^child")
        program.send(signal.SIGINT)
        async with httpx.AsyncClient(base_url=await program.origin()) as client:
            assert (await client.get("/healthz")).text == "ok\n"
        assert program.running


async def test_sigterm_is_forwarded() -> None:
    """SIGTERM comes to the command, whose status is passed on."""
    async with running(*UPSTREAMS, "--port", "0", "--", sys.executable, "-c", CHILD) as program:
        await program.line("^child")
        program.send(signal.SIGTERM)
        assert await program.ended() == 7
        assert f"got {signal.SIGTERM:d}" in program.text


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child of its parent's death")
async def test_a_killed_parent_leaves_no_orphan() -> None:
    """After kill -9 of the upstreams the kernel ends the command."""
    async with running(*UPSTREAMS, "--port", "0", "--", sys.executable, "-c", CHILD) as program:
        child = int((await program.line("^child")).split()[1])
        program.send(signal.SIGKILL)
        await eventually(lambda: not alive(child))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_without_a_command_a_signal_ends_it(number: signal.Signals) -> None:
    """Either signal is a clean end, also while a stream is open."""
    async with (
        running(*UPSTREAMS, "--port", "0") as program,
        httpx.AsyncClient(base_url=await program.origin()) as client,
    ):
        async with client.stream("GET", "/bytes?size=1g"):
            program.send(number)
            assert await program.ended(5) == 0
        assert len(program.lines) == 1


async def test_a_port_in_use_is_one_clear_line() -> None:
    """The message names the port and what to do, and the status is 1."""
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        async with running(*UPSTREAMS, "--port", port) as program:
            assert await program.ended() == 1
        assert len(program.lines) == 1
        assert f"port {port} of 127.0.0.1 is in use" in program.lines[0]
        assert "--port" in program.lines[0]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--latency", "nothing=3"], "SERVICE one of all, catalogue"),
        (["--fail", "stock=2"], "not a number from 0 to 1"),
        (["--port", "70000"], "not a port from 0 to 65535"),
    ],
)
async def test_a_wrong_option_says_what_was_expected(arguments: list[str], said: str) -> None:
    """Usage errors are status 2 and name what is allowed."""
    async with running(*UPSTREAMS, *arguments) as program:
        assert await program.ended() == 2
        assert said in program.text
