"""The supervisor's side of the template: keeps one running and asks it for processes.

The template is started before anything else, so that it imports the runtime while the supervisor reads the
configuration: this file imports little, and `start` needs no event loop.
"""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from atoll.errors import StartError
from atoll.serve.template import FDS_MAX, GROUP_SIGNALS, ORPHANS_S_MAX, PACKET_BYTES_MAX

# -P: what lies in the current directory must not be importable in place of the runtime's own modules.
TEMPLATE: Final = (sys.executable, "-P", "-m", "atoll.serve.template")


class Spawned:
    """A process that was forked: `pidfd` is ours to close; `status` is known soon after its exit, or never."""

    def __init__(self, pid: int, pidfd: int) -> None:
        self.pid = pid
        self.pidfd = pidfd
        self.status: int | None = None


class Spawner:
    """Forks processes from a warm template, which it replaces when it dies."""

    def __init__(
        self,
        command: Sequence[str] = TEMPLATE,
        on_lost: Callable[[int], None] | None = None,
        *,
        stdin: bool = False,
    ) -> None:
        self.on_lost = on_lost
        """Called with the exit status of a template that died after it had been warm."""
        self._command = command
        self._stdin = stdin
        """Processes read standard input: a debugger's prompt does."""
        self._popen: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._warm = False
        self._asked: deque[asyncio.Future[Spawned]] = deque()
        self._spawned: dict[int, Spawned] = {}

    @property
    def template_pid(self) -> int | None:
        return self._popen.pid if self._popen else None

    def start(self) -> None:
        """Start a template; returns at once, while it still imports."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        # A blocked signal stays blocked in the new program until it has decided to ignore it.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, GROUP_SIGNALS)
        try:
            self._popen = subprocess.Popen(
                [*self._command, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=None if self._stdin else subprocess.DEVNULL,
            )
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            theirs.close()
        ours.setblocking(False)
        self._control = ours
        self._warm = False

    def attach(self) -> None:
        """Listen to the template on the running event loop."""
        if self._control is not None:
            asyncio.get_running_loop().add_reader(self._control, self._hear)

    async def spawn(self, fds: Sequence[int]) -> Spawned:
        """Fork a process that inherits these descriptors; `StartError` when no template comes up."""
        assert len(fds) <= FDS_MAX, "the template reads no more descriptors than this at once"
        if self._control is None:
            self.start()
            self.attach()
        assert self._control is not None
        answer: asyncio.Future[Spawned] = asyncio.get_running_loop().create_future()
        self._asked.append(answer)
        try:
            socket.send_fds(self._control, [b"spawn"], fds)
        except OSError:
            # The template has just died: `_hear` fails this answer when the loop turns.
            pass
        return await answer

    def close(self) -> None:
        """Let the template go; it waits for its processes and ends what does not leave. Returns when it has gone."""
        if self._popen is None:
            return
        if self._control is not None:
            self._detach(self._control)
        try:
            # A template that is still importing has no process to wait for.
            if not self._warm:
                self._popen.kill()
            self._popen.wait(ORPHANS_S_MAX + 2)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            self._popen.wait()
        self._popen = None

    def _hear(self) -> None:
        assert self._control is not None
        try:
            message, fds, _, _ = socket.recv_fds(self._control, PACKET_BYTES_MAX, 1)
        except BlockingIOError:
            return
        except OSError:
            message, fds = b"", []
        for fd in fds:
            os.set_inheritable(fd, False)
        match message.split():
            case [b"spawned", pid]:
                self._answer(Spawned(int(pid), fds[0]))
            case [b"exited", pid, status]:
                if (gone := self._spawned.pop(int(pid), None)) is not None:
                    gone.status = int(status)
            case [b"warm"]:
                self._warm = True
            case _:
                self._lost()

    def _answer(self, spawned: Spawned) -> None:
        answer = self._asked.popleft()
        if answer.done():
            # Whoever asked has stopped waiting; the process leaves by itself at the end of its channel.
            os.close(spawned.pidfd)
        else:
            self._spawned[spawned.pid] = spawned
            answer.set_result(spawned)

    def _lost(self) -> None:
        assert self._control is not None
        assert self._popen is not None
        self._detach(self._control)
        self._popen.kill()
        status = self._popen.wait()
        self._popen = None
        failed, self._asked = self._asked, deque()
        self._spawned.clear()
        if self._warm:
            # The processes live on without it; the next one to fall is replaced from the new template.
            if self.on_lost is not None:
                self.on_lost(status)
            self.start()
            self.attach()
        for answer in failed:
            if not answer.done():
                answer.set_exception(
                    StartError(
                        f"The process that forks the others ended (exit status {status}) before it forked one. "
                        "What it said stands above; if it says nothing, the machine may be out of memory."
                    )
                )

    def _detach(self, control: socket.socket) -> None:
        try:
            asyncio.get_running_loop().remove_reader(control)
        except RuntimeError:
            # No loop runs: nothing was attached.
            pass
        control.close()
        self._control = None
