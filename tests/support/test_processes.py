"""The helpers for real programs find what a program writes, costs and leaves behind."""

import os
import signal
import sys

import pytest

from support.processes import alive, children, cpu_s, open_files, rss_bytes, rss_bytes_max, running, session
from support.waiting import eventually

# Says the pid of a child that outlives its parent, then waits.
PARENT = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
print("child", child.pid)
print("on stderr", file=sys.stderr)
input() if len(sys.argv) > 1 else child.wait()
"""


async def test_lines_of_both_streams_are_read_while_a_program_runs() -> None:
    """`line` finds what was written to standard output and to standard error, and waits for it."""
    async with running(sys.executable, "-c", PARENT) as program:
        child = int((await program.line("^child")).split()[1])
        await program.line("on stderr")
        assert program.running
        assert children(program.pid) == [child] == program.family()


async def test_a_line_that_never_comes_fails_with_what_came() -> None:
    """A program that ends without the line is an AssertionError that shows its output and its status."""
    async with running(sys.executable, "-c", "print('something else'); raise SystemExit(3)") as program:
        with pytest.raises(AssertionError, match=r"ended \(3\)(?s:.*)something else"):
            await program.line("ready")
        assert await program.ended() == 3


async def test_orphans_are_found_and_ended() -> None:
    """A child that outlived the program is one of its family, and the end of the block ends it."""
    async with running(sys.executable, "-c", PARENT) as program:
        child = int((await program.line("^child")).split()[1])
        program.send(signal.SIGKILL)
        assert await program.ended() == -signal.SIGKILL
        assert program.family() == [child]
        assert alive(child)
    await eventually(lambda: not alive(child))


async def test_interrupt_reaches_the_whole_group() -> None:
    """SIGINT comes to the program and to its child, as from a terminal."""
    async with running(sys.executable, "-c", PARENT) as program:
        await program.line("^child")
        program.interrupt()
        assert await program.ended() != 0
        await eventually(lambda: program.family() == [])


async def test_what_a_process_costs_is_read_from_the_kernel() -> None:
    """Memory, CPU time and open files of a process are those of the kernel's books."""
    pid = os.getpid()
    assert rss_bytes_max(pid) >= rss_bytes(pid) > 5_000_000
    assert cpu_s(pid) > 0
    before = open_files(pid)
    with open(os.devnull) as held:  # noqa: ASYNC230, PTH123
        assert open_files(pid) == before + 1
        assert held.readable()
    assert pid in session(os.getsid(0))
    assert not alive(2**22)
