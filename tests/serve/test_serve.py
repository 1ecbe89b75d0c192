"""`atoll serve`: the production gateway's start, its log, and how it refuses to start."""

import asyncio
import json
import os
import signal
import socket
import sys

import httpx
import pytest

from support.processes import free_port, running_atoll, session
from support.site import Site, serving
from support.waiting import eventually


async def failed(site: Site, *arguments: object) -> str:
    """What `atoll` writes when it does not start; it exits 1, without a traceback, and leaves nobody."""
    async with running_atoll(*arguments, cwd=site.folder) as program:
        assert await program.ended() == 1
        assert program.family() == []
        # The program has ended, but its last lines may still be in the pipe.
        await eventually(lambda: program._reading.done())
        assert "Traceback" not in program.text
        return program.text


async def test_a_worker_that_does_not_load_stops_the_start(site: Site) -> None:
    """In production nothing is half started: exit 1, and the message names worker, file, line and source."""
    (site.folder / "hello.py").write_text("a = 1\nbroken = (\n")
    text = await failed(site, "serve", "--port", 0, "--processes", 2)
    assert 'atoll: Worker "hello" does not load' in text
    assert "hello.py:2" in text
    assert text.count("does not load") == 1


async def test_a_port_in_use_stops_the_start(site: Site) -> None:
    """The message names the port, its holder and what to do."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for verb in ("serve", "dev"):
            text = await failed(site, verb, "--ip", "127.0.0.1", "--port", port)
            assert f"port {port} is in use by process {os.getpid()} (" in text
            assert "--port" in text


async def test_a_bad_configuration_stops_the_start(site: Site) -> None:
    """The configuration's own message is all that is written."""
    site.configure("[limits]\nsubrequests = -1\n")
    text = await failed(site, "serve", "--port", 0)
    assert text.startswith("atoll: ")
    assert "limits.subrequests" in text


async def test_every_request_is_one_json_line(site: Site) -> None:
    """Event, method, path, status, outcome, times, subrequests, request id and worker."""
    async with serving(site, "serve", "--processes", 1):
        await site.client.get("/a?b=c")
        event = json.loads(await site.program.line("request_finished"))
        assert (event["method"], event["status"], event["outcome"], event["worker"]) == ("GET", 200, "ok", "hello")
        assert event["path"].startswith("/a")
        assert (event["subrequests"], event["subrequests_max"]) == (0, 50)
        assert event["wall_ms"] > 0
        assert event["cpu_ms"] > 0
        assert event["request_id"]


async def test_the_log_can_be_switched_off(site: Site) -> None:
    """With `--log off` not a line is written, from the start to the end."""
    port = free_port()
    async with running_atoll("serve", "--port", port, "--processes", 1, "--log", "off", cwd=site.folder) as program:
        await eventually(lambda: get(port))
        program.send(signal.SIGTERM)
        assert await program.ended() == 0
        assert program.text == ""


async def test_a_reader_of_the_log_that_goes_does_not_end_the_server(site: Site) -> None:
    """`atoll serve | head -1`: requests are answered after the pipe is closed, and the end is a clean one."""
    port = free_port()
    reader, writer = os.pipe()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "atoll", "serve", "--port", str(port), "--processes", "1"),
        cwd=site.folder,
        stdout=writer,
        start_new_session=True,
    )
    try:
        os.close(writer)
        assert b"gateway_ready" in await asyncio.to_thread(os.read, reader, 65536)
        os.close(reader)
        assert [await get(port) for _ in range(3)] == [200, 200, 200]
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(5):
            assert await process.wait() == 0
    finally:
        for pid in session(process.pid):
            os.kill(pid, signal.SIGKILL)
        await process.wait()


@pytest.mark.parametrize("level", ["warning", "error"])
async def test_the_log_level_filters(site: Site, level: str) -> None:
    """Requests are told at info: above it they are not."""
    port = free_port()
    arguments = ("serve", "--port", port, "--processes", 1, "--log-level", level)
    async with running_atoll(*arguments, cwd=site.folder) as program:
        await eventually(lambda: get(port))
        program.send(signal.SIGTERM)
        assert await program.ended() == 0
        assert "request_finished" not in program.text


async def get(port: int) -> int | None:
    """The status of a GET, None where nobody answers."""
    async with httpx.AsyncClient() as client:
        try:
            return (await client.get(f"http://127.0.0.1:{port}/")).status_code
        except httpx.TransportError:
            return None
