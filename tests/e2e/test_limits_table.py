"""The table of limits: what a client gets, what the log says, and how it ended, one row a limit."""

import asyncio
import json
import re
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from support.gateway import Running, opened
from support.scripts import bytes_then_silence
from support.upstream import ScriptedUpstream

ENTRY = """
import asyncio, time
from workers import Response, fetch, wait_until

async def for_ever(every_s):
    while True:
        yield "part "
        await asyncio.sleep(every_s)

async def on_fetch(request, env, ctx):
    match request.url.rpartition("/")[2]:
        case "subrequests":
            for _ in range(3):
                await fetch(env.UPSTREAM)
        case "caught":
            try:
                await fetch(env.UPSTREAM)
                await fetch(env.UPSTREAM)
            except Exception as error:
                return Response(str(error))
        case "cpu":
            ends = time.perf_counter() + 0.1
            while time.perf_counter() < ends:
                pass
            await asyncio.sleep(0)
        case "sleep":
            await asyncio.sleep(3600)
        case "fetch":
            await fetch(env.SILENT)
        case "silent":
            return Response(for_ever(3600))
        case "long":
            return Response(for_ever(0.01))
        case "upload":
            await request.text()
        case "wait_until":
            wait_until(asyncio.sleep(3600))
        case "loop":
            await fetch(env.LOOP)
        case "raises":
            raise ValueError("broken")
        case "exits":
            raise SystemExit(3)
    return Response("x")
"""

CUT = 0


class Row(NamedTuple):
    path: str
    limits: str
    status: int
    code: int | None
    outcome: str
    cause: str = ""
    """Of what a failure's text names, in dev."""


ROWS = {
    "none": Row("", "", 200, None, "ok"),
    "subrequests": Row("subrequests", "subrequests = 1", 500, 1101, "exception", "limits.subrequests"),
    "subrequests caught": Row("caught", "subrequests = 1", 200, None, "ok"),
    "cpu_ms": Row("cpu", "cpu_ms = 20", 503, 1102, "exceededCpu", "limits.cpu_ms"),
    "wall_ms": Row("sleep", "wall_ms = 100", 504, 1102, "exceededWallTime", "limits.wall_ms"),
    "wall_ms, a subrequest": Row("fetch", "wall_ms = 100", 504, 1102, "exceededWallTime", "limits.wall_ms"),
    "body_idle_ms": Row("silent", "body_idle_ms = 100", CUT, None, "exceededWallTime"),
    "body_ms": Row("long", "body_ms = 100", CUT, None, "exceededWallTime"),
    "wait_until_s": Row("wait_until", "wait_until_s = 0", 200, None, "ok"),
    "redirects": Row("loop", "", 500, 1101, "exception"),
    "exception": Row("raises", "", 500, 1101, "exception", "ValueError"),
    "exit": Row("exits", "", 500, 1101, "exception", "SystemExit"),
}


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer requests: those to /loop by a redirect to where they went."""
    try:
        while head := await reader.readuntil(b"\r\n\r\n"):
            first = b"302 Found\r\nLocation: /loop" if b"/loop" in head else b"200 OK"
            writer.write(b"HTTP/1.1 " + first + b"\r\nContent-Length: 0\r\n\r\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def asked(running: Running, path: str, accept: str) -> tuple[int, str, Any]:
    """Status (0 when the stream was cut), text and headers."""
    async with running.client.get(f"{running.url}/{path}", headers={"Accept": accept}) as response:
        try:
            return response.status, await response.text(), response.headers
        except Exception:
            return CUT, "", response.headers


@pytest.mark.parametrize("dev", [False, True], ids=["serve", "dev"])
@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
async def test_past_a_limit(tmp_path: Path, row: Row, dev: bool) -> None:
    """Status, code and request id in each of the three forms; outcome and what was spent in the log line."""
    async with (
        ScriptedUpstream(bytes_then_silence(b"")) as silent,
        await asyncio.start_server(serve, "127.0.0.1", 0) as upstream,
    ):
        origin = f"http://127.0.0.1:{upstream.sockets[0].getsockname()[1]}"
        given = f'UPSTREAM = "{origin}", SILENT = "{silent.origin}", LOOP = "{origin}/loop"'
        toml = f"vars = {{ {given} }}\n[limits]\n{row.limits}\n"
        async with opened(tmp_path, {"entry.py": ENTRY}, toml, dev=dev) as running:
            for number, accept in enumerate(("application/json", "text/html", "*/*"), 1):
                status, text, headers = await asked(running, row.path, accept)
                assert status == row.status
                if status >= 400:
                    _check_form(accept, text, headers, row, dev)
                if dev:
                    assert headers["Atoll-Request-Id"]
                    assert re.match(r"cpu;dur=[\d.]+, wall;dur=[\d.]+", headers["Server-Timing"])
                await running.seen.until(lambda seen, count=number: len(seen.ended_facts) >= count)
                facts = running.seen.ended_facts[-1]
                assert (facts["outcome"], facts["status"]) == (row.outcome, row.status or 200)
                assert {"cpu_ms", "wall_ms", "subrequests", "subrequests_max"} <= facts.keys()
            assert running.gateway.in_flight == 0


def _check_form(accept: str, text: str, headers: Any, row: Row, dev: bool) -> None:
    request_id = headers["Atoll-Request-Id"]
    assert "limits." not in text or dev
    assert not dev or row.cause in text
    assert ("Retry-After" in headers) is (row.status == 503)
    if accept == "application/json":
        answer = json.loads(text)
        assert (answer["status"], answer["code"], answer["request_id"]) == (row.status, row.code, request_id)
        assert answer["error"]
    elif accept == "text/html":
        assert f"<h1>{row.status} " in text
        assert f"Code {row.code}." in text
        assert request_id in text
    else:
        assert text.startswith(f"{row.status} ")
        assert f"(code {row.code})" in text


@pytest.mark.parametrize(
    ("head", "toml", "status", "outcome"),
    [
        ("POST /upload HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n", "[limits]\nrequest_body_mb = 0\n", 413, None),
        ("POST /upload HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n", "[limits]\nbody_idle_ms = 50\n", 408,
         "exceededWallTime"),
        (f"GET /{'x' * 2000} HTTP/1.1\r\nHost: x\r\n", "[gateway]\nurl_kb = 1\n", 414, None),
        (f"GET / HTTP/1.1\r\nHost: x\r\nX: {'x' * 2000}\r\n", "[gateway]\nheaders_kb = 1\n", 431, None),
        ("GET /elsewhere HTTP/1.1\r\nHost: x\r\n", 'route = "/only"\n', 404, None),
    ],
    ids=["request_body_mb", "body_idle_ms", "url_kb", "headers_kb", "route"],
)  # fmt: skip
async def test_a_request_past_its_bounds(
    tmp_path: Path, head: str, toml: str, status: int, outcome: str | None
) -> None:
    """What a client sent too much or too slowly of is answered with its status."""
    async with opened(tmp_path, {"entry.py": ENTRY}, toml) as running:
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
        writer.write(head.encode() + b"\r\n")
        assert (await reader.readline()).split()[1] == str(status).encode()
        writer.close()
        if outcome is not None:
            await running.seen.until(lambda seen: seen.ended_facts)
            assert running.seen.ended_facts[-1]["outcome"] == outcome


async def test_a_worker_past_its_startup_does_not_start(tmp_path: Path) -> None:
    """The error names the limit, and the file."""
    entry = "import time\nends = time.perf_counter() + 0.3\nwhile time.perf_counter() < ends:\n    pass\n" + ENTRY
    async with opened(tmp_path, {"entry.py": entry}, "[limits]\nstartup_ms = 50\n") as running:
        (problem,) = running.gateway.problems.values()
        assert "limits.startup_ms" in str(problem)
        assert problem.file.endswith("entry.py")


async def test_load_is_shed(tmp_path: Path) -> None:
    """Past `gateway.in_flight`: 503, Retry-After, a request id, outcome loadShed."""
    async with opened(tmp_path, {"entry.py": ENTRY}, "[limits]\nwall_ms = 500\n[gateway]\nin_flight = 1\n") as running:
        first = asyncio.create_task(running.status("/sleep"))
        while not running.gateway.in_flight:
            await asyncio.sleep(0.001)
        status, text, headers = await asked(running, "", "application/json")
        assert (status, headers["Retry-After"]) == (503, "1")
        assert json.loads(text)["request_id"] == headers["Atoll-Request-Id"]
        assert running.seen.ended_facts[-1]["outcome"] == "loadShed"
        assert await first == 504
