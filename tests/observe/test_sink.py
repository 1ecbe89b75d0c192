"""The sink: lines leave at once, and neither a slow nor a gone reader harms the server."""

import asyncio
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from atoll.observe.sink import KEPT_BYTES_MAX, Sink
from support.waiting import eventually

LINE = b"x" * 99 + b"\n"


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reader, writer = os.pipe()
    yield reader, writer
    for fd in (reader, writer):
        try:
            os.close(fd)
        except OSError:
            pass


def test_a_line_is_there_when_write_returns(pipe: tuple[int, int]) -> None:
    """What was written before the process is killed is not lost: nothing waits in a buffer."""
    reader, writer = pipe
    sink = Sink(writer)
    sink.write(b"one\n")
    assert os.read(reader, 100) == b"one\n"
    sink.close()


def test_the_inherited_descriptor_stays_blocking(pipe: tuple[int, int]) -> None:
    """The shell that shares the descriptor does not find it non-blocking."""
    _, writer = pipe
    sink = Sink(writer)
    assert not fcntl.fcntl(writer, fcntl.F_GETFL) & os.O_NONBLOCK
    sink.close()


async def test_a_reader_that_does_not_read_holds_nobody_up(pipe: tuple[int, int]) -> None:
    """Lines past the pipe's room are kept and come in order once the reader reads; none is torn."""
    reader, writer = pipe
    sink = Sink(writer)
    for number in range(10_000):
        sink.write(b"%098d\n\n" % number)
    os.set_blocking(reader, False)
    got = bytearray()

    def all_read() -> bool:
        try:
            got.extend(os.read(reader, 1 << 20))
        except BlockingIOError:
            pass
        return len(got) == 10_000 * 100

    await eventually(all_read)
    assert [int(line) for line in got.split()] == list(range(10_000))
    sink.close()


async def test_a_thread_that_prints_holds_up_nobody_else(pipe: tuple[int, int]) -> None:
    """With nobody reading, a thread's line is kept like any other, and the loop's own writes return."""
    reader, writer = pipe
    sink = Sink(writer)
    async with asyncio.timeout(5):
        await asyncio.to_thread(lambda: [sink.write(LINE) for _ in range(10_000)])
        sink.write(b"last\n")
    os.set_blocking(reader, False)
    got = bytearray()

    def all_read() -> bool:
        try:
            got.extend(os.read(reader, 1 << 20))
        except BlockingIOError:
            pass
        return got.endswith(b"last\n")

    await eventually(all_read)
    assert len(got) == 10_000 * len(LINE) + 5
    sink.close()


async def test_what_is_kept_is_bounded_and_what_is_dropped_is_counted(pipe: tuple[int, int]) -> None:
    """Past KEPT_BYTES_MAX lines are dropped, and one line says how many."""
    reader, writer = pipe
    sink = Sink(writer)
    written = 2 * KEPT_BYTES_MAX // len(LINE)
    for _ in range(written):
        sink.write(LINE)
    os.set_blocking(reader, False)
    got = bytearray()

    def told() -> bool:
        try:
            got.extend(os.read(reader, 1 << 20))
        except BlockingIOError:
            pass
        return b"log_lines_dropped lines=" in got and got.endswith(b"\n")

    await eventually(told)
    *lines, last = got.decode().splitlines()
    assert len(lines) + int(last.partition("=")[2]) == written
    assert len(lines) * len(LINE) < 1.1 * KEPT_BYTES_MAX
    sink.close()


def test_a_reader_that_has_gone_ends_the_log_and_not_the_server(pipe: tuple[int, int]) -> None:
    """EPIPE raises nothing, now or later."""
    reader, writer = pipe
    sink = Sink(writer)
    os.close(reader)
    sink.write(LINE)
    sink.write(LINE)
    sink.close()


def test_a_file_is_shared_with_whoever_else_writes_to_it(tmp_path: Path) -> None:
    """Lines of several writers on one open file follow each other instead of overwriting."""
    path = tmp_path / "log"
    fd = os.open(path, os.O_WRONLY | os.O_CREAT)
    sink = Sink(fd)
    sink.write(b"one\n")
    os.write(fd, b"two\n")
    sink.write(b"three\n")
    sink.close()
    os.close(fd)
    assert path.read_bytes() == b"one\ntwo\nthree\n"
