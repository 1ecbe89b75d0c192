"""Where log lines go: a descriptor that neither blocks the event loop nor ends the server.

A line is written at once, for what a process said before it was killed matters most. Only when the reader does
not keep up are lines kept, up to `KEPT_BYTES_MAX`, and past that dropped and counted. A reader that has gone
(EPIPE) ends the log, not the server.
"""

import asyncio
import contextvars
import os
import select
import stat
import threading
from typing import Final

KEPT_BYTES_MAX: Final = 4 << 20
CLOSE_S: Final = 1.0


class Sink:
    """Whole lines to one descriptor; safe to use from any thread."""

    def __init__(self, fd: int = 1, dropped: bytes = b"log_lines_dropped lines=%d\n") -> None:
        self._fd, self._own = _reopened(fd)
        self._dropped_line = dropped
        self._kept = bytearray()
        self._dropped = 0
        self._dead = False
        self._waiting = False
        self._loop = _running_loop()
        self._lock = threading.Lock()

    def write(self, line: bytes) -> None:
        """Write a line (its end included), or keep it until the reader has room; never raises."""
        with self._lock:
            if self._dead:
                return
            if self._kept:
                self._keep(line)
                return
            rest = self._try(line)
            if rest:
                self._kept += rest
                self._wait()

    def close(self) -> None:
        """Write what was kept, if the reader takes it within `CLOSE_S`, and give the descriptor back."""
        with self._lock:
            self._stop_waiting()
            self._wait_here(CLOSE_S)
            self._dead = True
            if self._own:
                os.close(self._fd)

    def _try(self, data: bytes) -> bytes:
        """Write what goes at once; what is left."""
        try:
            while data:
                data = data[os.write(self._fd, data) :]
        except BlockingIOError:
            return data
        except OSError:
            # EPIPE, or EIO of a terminal that was closed: nobody reads this log any more.
            self._dead = True
        return b""

    def _keep(self, line: bytes) -> None:
        if len(self._kept) + len(line) > KEPT_BYTES_MAX:
            self._dropped += 1
        else:
            self._kept += line

    def _wait(self) -> None:
        if self._loop is None or self._loop.is_closed():
            # Nobody is held up but the one who writes.
            self._wait_here()
        elif not self._waiting:
            # The writer may be a thread, or authors' code whose invocation must not live on in this callback.
            self._waiting = True
            self._loop.call_soon_threadsafe(
                self._loop.add_writer, self._fd, self._resume, context=contextvars.Context()
            )

    def _wait_here(self, timeout_s: float | None = None) -> None:
        poll = select.poll()
        poll.register(self._fd, select.POLLOUT)
        while self._kept and not self._dead:
            if not poll.poll(None if timeout_s is None else timeout_s * 1000):
                return
            self._kept = bytearray(self._try(bytes(self._kept)))

    def _resume(self) -> None:
        with self._lock:
            self._kept = bytearray(self._try(bytes(self._kept)))
            if self._dropped and not self._kept:
                self._kept += self._dropped_line % self._dropped
                self._dropped = 0
            elif not self._kept:
                self._stop_waiting()

    def _stop_waiting(self) -> None:
        if self._waiting and self._loop is not None and not self._loop.is_closed():
            self._loop.remove_writer(self._fd)
        self._waiting = False


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def _reopened(fd: int) -> tuple[int, bool]:
    """The same file under an open file description of our own, which may be non-blocking; and whether it is.

    The one we inherited is shared with the shell and every process of the gateway: O_NONBLOCK on it would reach
    them too. Sockets and some containers' descriptors cannot be reopened; they are used as they are. So are files,
    which never make a writer wait, and whose position must stay shared with whoever else writes to them.
    """
    mode = os.fstat(fd).st_mode
    if not (stat.S_ISFIFO(mode) or stat.S_ISCHR(mode)):
        return fd, False
    flags = os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
    try:
        return os.open(f"/proc/self/fd/{fd}", flags), True
    except OSError:
        return fd, False
