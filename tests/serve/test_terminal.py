"""`atoll dev` at a terminal: single keys, colours, and the terminal as it was afterwards."""

import asyncio
import os
import pty
import signal
import sys
import termios
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from support.processes import session
from support.site import Site
from support.waiting import eventually


class Terminal:
    """A pseudo-terminal with `atoll dev` in its foreground."""

    def __init__(self, fd: int, process: "asyncio.subprocess.Process", modes: list[Any]) -> None:
        self.fd = fd
        self.process = process
        self.modes = modes
        self.text = ""
        asyncio.get_running_loop().add_reader(fd, self._read)

    def _read(self) -> None:
        try:
            self.text += os.read(self.fd, 65536).decode(errors="replace")
        except OSError:
            asyncio.get_running_loop().remove_reader(self.fd)

    def press(self, key: str) -> None:
        os.write(self.fd, key.encode())

    async def shows(self, text: str) -> None:
        await eventually(lambda: text in self.text, 10, what=f"{text!r} in {self.text!r}")


@asynccontextmanager
async def at_terminal(site: Site, **environ: str) -> AsyncIterator[Terminal]:
    ours, theirs = pty.openpty()
    modes = termios.tcgetattr(theirs)
    # The program becomes leader of a session whose terminal this is, as a shell would make it.
    start = "import os, sys, fcntl, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.argv[1], sys.argv[1:])"
    command = [sys.executable, "-c", start, sys.executable, "-m", "atoll", "dev", "--port", "0"]
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=site.folder,
        env={**os.environ, "TERM": "xterm", **environ},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    terminal = Terminal(ours, process, modes)
    try:
        await terminal.shows("[x] to exit")
        yield terminal
    finally:
        for pid in session(process.pid):
            os.kill(pid, signal.SIGKILL)
        await process.wait()
        asyncio.get_running_loop().remove_reader(ours)
        os.close(ours)
        os.close(theirs)


async def ended(terminal: Terminal) -> int:
    async with asyncio.timeout(10):
        status = await terminal.process.wait()
    assert session(terminal.process.pid) == []
    return status


@pytest.mark.parametrize("key", ["x", "q", "X"])
async def test_a_key_ends_the_server_and_restores_the_terminal(site: Site, key: str) -> None:
    """Single keys are read without Enter; the modes are as before when the program has gone."""
    async with at_terminal(site) as terminal:
        assert termios.tcgetattr(terminal.fd) != terminal.modes
        terminal.press(key)
        assert await ended(terminal) == 0
        assert termios.tcgetattr(terminal.fd) == terminal.modes


async def test_control_c_ends_the_server_and_restores_the_terminal(site: Site) -> None:
    """Ctrl-C reaches the whole group; only the supervisor answers, and no traceback is seen."""
    async with at_terminal(site) as terminal:
        terminal.press("\x03")
        assert await ended(terminal) == 0
        assert "Traceback" not in terminal.text
        assert termios.tcgetattr(terminal.fd) == terminal.modes


async def test_c_clears_and_h_helps(site: Site) -> None:
    """`c` wipes screen and scrollback; both print what the keys are."""
    async with at_terminal(site) as terminal:
        terminal.press("c")
        await terminal.shows("\x1b[2J\x1b[3J\x1b[H")
        terminal.text = ""
        terminal.press("h")
        await terminal.shows("[b] open a browser  [c] clear console  [x] to exit")


async def test_b_opens_a_browser_at_the_address(site: Site, tmp_path: Path) -> None:
    """The browser of the environment is called with the URL that the ready line named."""
    opened = tmp_path / "opened"
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" > {opened}\n')
    browser.chmod(0o755)
    async with at_terminal(site, BROWSER=str(browser)) as terminal:
        terminal.press("b")
        await eventually(lambda: opened.exists() and opened.read_text().endswith("\n"))
        url = opened.read_text().strip()
        assert url.startswith("http://localhost:")
        assert url in terminal.text


async def test_colours_at_a_terminal_unless_refused(site: Site) -> None:
    """A terminal gets colours; NO_COLOR takes them away."""
    async with at_terminal(site) as terminal:
        assert "\x1b[1mhttp://localhost" in terminal.text
    async with at_terminal(site, NO_COLOR="1") as terminal:
        assert "\x1b[" not in terminal.text
