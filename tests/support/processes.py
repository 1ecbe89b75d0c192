"""Real programs in tests: started in a session of their own, read while they run, ended at the end whatever happens.

    async with running_atoll("dev", "--port", "0", cwd=folder) as program:
        origin = await program.origin()
        ...
        program.interrupt()
        assert await program.ended() == 0
        assert program.family() == []

A program's family is every process of its session: children, their children, and orphans that any of them left.
"""

import asyncio
import os
import re
import signal
import socket
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from support.waiting import eventually

ROOT = Path(__file__).parents[2]
ORIGIN = re.compile(r"http://(?:\[[0-9a-f:]+\]|[^\s/:\"]+):\d+")
END_S = 5.0


class Program:
    """A started program; `lines` is what it has written so far, standard output and error together."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.pid = process.pid
        self.lines: list[str] = []
        self._reading = asyncio.create_task(self._read())

    @property
    def text(self) -> str:
        """Everything written so far."""
        return "\n".join(self.lines)

    async def line(self, pattern: str, within_s: float = 10.0, *, start: int = 0) -> str:
        """Wait for a line that matches the regular expression, among those from number `start` on."""

        def found() -> str | None:
            return next((line for line in self.lines[start:] if re.search(pattern, line)), None)

        try:
            # A program that ended may have left lines in the pipe: only when those are read is it silent for good.
            await eventually(lambda: found() or self._reading.done(), within_s, what=f"a line with {pattern!r}")
        except AssertionError as late:
            raise AssertionError(f"{late}\nwhat it wrote:\n{self.text}") from None
        line = found()
        assert line is not None, f"ended ({self._process.returncode}) with no line {pattern!r}; it wrote:\n{self.text}"
        return line

    async def origin(self, within_s: float = 10.0) -> str:
        """Wait for a line that names an address with its port, as ready lines do; the origin."""
        found = ORIGIN.search(await self.line(ORIGIN.pattern, within_s))
        assert found is not None
        return found.group()

    def send(self, number: int) -> None:
        """Send a signal to the program alone."""
        os.kill(self.pid, number)

    def interrupt(self) -> None:
        """Send SIGINT to the whole group, as Ctrl-C in a terminal does."""
        os.killpg(self.pid, signal.SIGINT)

    async def ended(self, within_s: float = 10.0) -> int:
        """Wait for the end; the exit status, negative for the signal that caused it."""
        async with asyncio.timeout(within_s):
            return await self._process.wait()

    @property
    def running(self) -> bool:
        """Whether it has not ended yet."""
        return self._process.returncode is None

    def family(self) -> list[int]:
        """The processes of its session that live, without the program itself."""
        return [pid for pid in session(self.pid) if pid != self.pid]

    async def aclose(self) -> None:
        """End the program, politely at first, and whatever is left of its family."""
        if self.running:
            self.send(signal.SIGTERM)
            with suppress(TimeoutError):
                await self.ended(END_S)
        for pid in session(self.pid):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        await self._process.wait()
        await self._reading

    async def _read(self) -> None:
        assert self._process.stdout is not None
        while line := await self._process.stdout.readline():
            self.lines.append(line.decode(errors="backslashreplace").rstrip("\r\n"))


@asynccontextmanager
async def running(
    *command: object, cwd: Path = ROOT, environ: Mapping[str, str] | None = None
) -> AsyncIterator[Program]:
    """Start a program in a new session (so it is the leader of a group, too), without a terminal."""
    process = await asyncio.create_subprocess_exec(
        *map(str, command),
        cwd=cwd,
        env={**os.environ, "PYTHONUNBUFFERED": "1", **(environ or {})},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        limit=16 * 1024 * 1024,
        start_new_session=True,
    )
    program = Program(process)
    try:
        yield program
    finally:
        await program.aclose()


@asynccontextmanager
async def running_atoll(
    *arguments: object, cwd: Path = ROOT, environ: Mapping[str, str] | None = None
) -> AsyncIterator[Program]:
    """Start `atoll` with these arguments, by the Python that runs the tests."""
    async with running(sys.executable, "-m", "atoll", *arguments, cwd=cwd, environ=environ) as program:
        yield program


@asynccontextmanager
async def running_upstream() -> AsyncIterator[str]:
    """Start `faulty_upstream.py`; its origin."""
    async with running(sys.executable, Path(__file__).parent / "faulty_upstream.py") as program:
        yield await program.origin()


def free_port() -> int:
    """A port that was free a moment ago; where a program can choose its own (`--port 0`), let it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def session(leader: int) -> list[int]:
    """The living processes of a session, zombies left out."""
    return [pid for pid in _processes() if (stat := _stat(pid)) and stat[3] == str(leader) and stat[0] not in "ZX"]


def children(pid: int) -> list[int]:
    """The living children of a process."""
    return [child for child in _processes() if (stat := _stat(child)) and stat[1] == str(pid) and stat[0] not in "ZX"]


def alive(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    stat = _stat(pid)
    return stat is not None and stat[0] not in "ZX"


def rss_bytes(pid: int) -> int:
    """Resident memory now."""
    return _status_kb(pid, "VmRSS") * 1024


def rss_bytes_max(pid: int) -> int:
    """The most resident memory there ever was."""
    return _status_kb(pid, "VmHWM") * 1024


def cpu_s(pid: int) -> float:
    """CPU time of user and system so far."""
    stat = _stat(pid)
    assert stat is not None, f"there is no process {pid}"
    return (int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK")


def open_files(pid: int) -> int:
    """How many file descriptors are open."""
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def _processes() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def _stat(pid: int) -> list[str] | None:
    """The fields of /proc/PID/stat from the state on: state 0, parent 1, group 2, session 3, utime 11, stime 12."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None


def _status_kb(pid: int, field: str) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1])
    raise AssertionError(f"there is no {field} for process {pid}")
