"""The load of the macro benchmarks takes answers in any framing, and no wrong ones."""

import asyncio
import json
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from support.processes import free_port
from support.waiting import eventually

ROOT = Path(__file__).parents[2]


def parts(count: int) -> str:
    """The right answer to a fan-out."""
    return json.dumps(
        [
            {"target": f"/item/{number}", "items": [1, 2, 3, 4, 5], "price": 12.5, "name": "a small answer"}
            for number in range(count)
        ],
        separators=(",", ":"),
    )


def framed(body: str, status: str = "200 OK") -> bytes:
    """An answer with Content-Length."""
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()


def chunked(body: str) -> bytes:
    """An answer in chunks of a few bytes."""
    pieces = [body[at : at + 50] for at in range(0, len(body), 50)]
    chunks = "".join(f"{len(piece):x}\r\n{piece}\r\n" for piece in pieces)
    return f"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}0\r\n\r\n".encode()


@asynccontextmanager
async def answering(answer: bytes, piece_bytes: int = 1 << 20) -> AsyncIterator[int]:
    """A gateway that always gives the same answer, in segments of this size; its port."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                for at in range(0, len(answer), piece_bytes):
                    writer.write(answer[at : at + piece_bytes])
                    await writer.drain()
                    await asyncio.sleep(0)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]


async def program(module: str, *arguments: object) -> asyncio.subprocess.Process:
    """Start a program of the benchmarks."""
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        module,
        *map(str, arguments),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def load(port: int, *arguments: object) -> tuple[dict[str, Any], str]:
    """What a short load found, and the last line of its complaint."""
    options = ("--port", port, "--connections", 3, "--seconds", 0, "--warm-seconds", 0)
    process = await program("bench.macro.load", *options, *arguments)
    async with asyncio.timeout(20):
        output, errors = await process.communicate()
    assert process.returncode == (0 if output else 1)
    return (json.loads(output) if output else {}), errors.decode().strip().rpartition("\n")[2]


@pytest.mark.parametrize("answer", [framed(parts(3)), chunked(parts(3))], ids=["length", "chunked"])
async def test_right_answers_count(answer: bytes) -> None:
    """Content-Length or chunks, in segments of a few bytes: each of the connections has its answer."""
    async with answering(answer, piece_bytes=70) as port:
        found, _ = await load(port, "--fan-out", 3)
    assert found["count"] == 3
    assert found["wall_s"] > 0
    assert 0 < found["first_byte_ms"] <= found["p50_ms"] <= found["p99_ms"]


@pytest.mark.parametrize(
    ("answer", "complaint"),
    [
        (framed(parts(2)), "expected the answers of 3 upstreams"),
        (framed(parts(3).replace("/item/2", "/item/1")), "expected the answers of 3 upstreams"),
        (framed(parts(3), "502 Bad Gateway"), "expected status 200, got 502"),
        (framed("oops"), "expected the answers of 3 upstreams"),
        (b"nonsense\r\n\r\n", "HttpParser"),
    ],
    ids=["one missing", "one twice", "status", "not JSON", "not HTTP"],
)
async def test_wrong_answers_end_the_load(answer: bytes, complaint: str) -> None:
    """A wrong answer is named, and there is no figure beside it."""
    async with answering(answer) as port:
        found, said = await load(port, "--fan-out", 3)
    assert found == {}
    assert complaint in said


async def test_cpu_time_is_that_of_all_threads() -> None:
    """What a thread used counts when it has ended, to the nanosecond; the clock is that of any process."""
    script = """
import os, sys, threading, time
from bench.macro.accounting import cpu_ns

def burn():
    while time.thread_time_ns() < 30_000_000: pass

thread = threading.Thread(target=burn)
thread.start()
thread.join()
before_ns = time.process_time_ns()
read_ns = cpu_ns(os.getpid())
print(30_000_000 < before_ns <= read_ns <= time.process_time_ns(), cpu_ns(os.getppid()) > 0)
"""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(20):
        assert (await process.communicate())[0] == b"True True\n"


async def test_a_stream_is_compared_byte_for_byte() -> None:
    """What the upstream sends is taken, and the same with one byte less or another is not."""
    port = free_port()
    upstream = await program("bench.macro.upstream", port)
    try:
        await eventually(lambda: listens(port), what="the upstream listens")
        right = await body_of(port, "/bytes?size=600000")
        assert len(right) == 600_000
    finally:
        upstream.terminate()
        await upstream.wait()
    flipped = bytearray(right)
    flipped[500_000] ^= 1
    for body, complaint in (
        (right, ""),
        (right[:-1], "expected a stream of 600000 bytes, got 599999"),
        (bytes(flipped), "expected the upstream's bytes"),
    ):
        head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body)
        async with answering(head + body) as gateway:
            found, said = await load(gateway, "--bytes", 600_000)
        assert bool(found) is (not complaint)
        assert complaint in said


async def listens(port: int) -> bool:
    """Whether a connection can be opened."""
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    await writer.wait_closed()
    return True


async def body_of(port: int, target: str) -> bytes:
    """The body of an answer with Content-Length."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    head = await reader.readuntil(b"\r\n\r\n")
    length = re.search(rb"Content-Length: (\d+)", head)
    assert length is not None
    body = await reader.readexactly(int(length[1]))
    writer.close()
    await writer.wait_closed()
    return body
