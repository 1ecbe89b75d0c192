"""The supervisor's handle of one process: what it said, whether it lives, and how to end it.

A process is watched and signalled through its pidfd, which names it alone even when its number is used again.
"""

import asyncio
import os
import signal
import socket
import time
from typing import Final

import msgspec

from atoll.config import Config
from atoll.errors import AtollError
from atoll.serve import channel
from atoll.serve.channel import Drain, Leaving, Problem, Ready, Refused, Reload, Reloaded, Settings, Start
from atoll.serve.heartbeat import Heartbeat, Pulse
from atoll.serve.spawner import Spawned, Spawner

_LAST_WORDS_S: Final = 0.2


class NotServing(AtollError):
    """A process ended instead of serving; with `problems` when workers do not load."""

    def __init__(self, message: str, problems: list[Problem]) -> None:
        super().__init__(message)
        self.problems = problems


class Child:
    """One process, from its fork to its exit."""

    def __init__(self, spawned: Spawned, heartbeat: Heartbeat, listening: "channel.Channel[channel.Up, channel.Down]"):
        loop = asyncio.get_running_loop()
        self.pid = spawned.pid
        self.pulse = Pulse(heartbeat, time.monotonic())
        self.loading = True
        self.leaving = False
        self.stuck = False
        self.gone = asyncio.Event()
        """Set when it has exited, or has said that it leaves: time for another in its place."""
        self.exited = asyncio.Event()
        self._spawned = spawned
        self._heartbeat = heartbeat
        self._channel = listening
        self._ready: asyncio.Future[list[Problem]] = loop.create_future()
        self._reloads: list[asyncio.Future[list[Problem] | None]] = []
        loop.add_reader(spawned.pidfd, self._exit)
        self._hearing = asyncio.create_task(self._hear())

    @classmethod
    async def fork(cls, spawner: Spawner, sockets: list[socket.socket], config: Config, settings: Settings) -> "Child":
        """Fork a process and tell it what to serve; `ready` says when it does."""
        ours, theirs = socket.socketpair()
        heartbeat = Heartbeat.create()
        listening = await channel.above(ours)
        try:
            spawned = await spawner.spawn([theirs.fileno(), heartbeat.fd, *(sock.fileno() for sock in sockets)])
        except BaseException:
            # The end of the channel makes a process that was forked all the same leave.
            listening.close()
            heartbeat.close()
            raise
        finally:
            theirs.close()
        child = cls(spawned, heartbeat, listening)
        child._channel.send(Start.of(config, settings))
        return child

    @property
    def status(self) -> str:
        """How it ended, in words."""
        status = self._spawned.status
        if status is None:
            return "unknown"
        return f"signal {signal.Signals(-status).name}" if status < 0 else f"exit status {status}"

    async def ready(self) -> list[Problem]:
        """Wait until it serves; the workers that do not load. `NotServing` when it never will."""
        return await asyncio.shield(self._ready)

    async def reload(self) -> list[Problem] | None:
        """Have it read the code again; the workers that do not load, or None when it ended meanwhile."""
        if self.exited.is_set():
            return None
        done: asyncio.Future[list[Problem] | None] = asyncio.get_running_loop().create_future()
        self._reloads.append(done)
        self.loading = True
        self._channel.send(Reload())
        return await done

    def drain(self, timeout_s: float) -> None:
        """Tell it to finish what is in flight and exit."""
        self.leaving = True
        self._channel.send(Drain(timeout_s))

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to it, if it still lives."""
        if not self.exited.is_set():
            try:
                signal.pidfd_send_signal(self._spawned.pidfd, number)
            except ProcessLookupError:
                pass

    async def _hear(self) -> None:
        try:
            while (message := await self._channel.receive()) is not None:
                self._heed(message)
        except (msgspec.DecodeError, ValueError):
            # Only authors' code that writes to descriptors it does not own can cause this.
            self.signal(signal.SIGKILL)

    def _heed(self, message: "channel.Up") -> None:
        match message:
            case Ready(problems):
                self.loading = False
                if not self._ready.done():
                    self._ready.set_result(problems)
            case Refused(problems, error):
                self._fail(NotServing(error, problems))
            case Reloaded(problems):
                self.loading = False
                if self._reloads:
                    self._reloads.pop(0).set_result(problems)
            case Leaving():
                self.leaving = True
                self.gone.set()

    def _exit(self) -> None:
        asyncio.get_running_loop().remove_reader(self._spawned.pidfd)
        try:
            # Ours to reap only where the template died and this process adopts its orphans (as pid 1 does).
            found = os.waitid(os.P_PIDFD, self._spawned.pidfd, os.WEXITED | os.WNOHANG)
            if found is not None and self._spawned.status is None:
                self._spawned.status = found.si_status if found.si_code == os.CLD_EXITED else -found.si_status
        except ChildProcessError:
            pass
        self._finish = asyncio.create_task(self._close())

    async def _close(self) -> None:
        # What it said last is still in the channel, and says better than its status why it went.
        # A program that authors' code left behind may hold the channel open: hence the bound.
        await asyncio.wait([self._hearing], timeout=_LAST_WORDS_S)
        self._hearing.cancel()
        await self._channel.aclose()
        os.close(self._spawned.pidfd)
        self._heartbeat.close()
        self.exited.set()
        self.gone.set()
        self._fail(NotServing(f"Process {self.pid} ended before it served ({self.status}).", []))
        for done in self._reloads:
            if not done.done():
                done.set_result(None)

    def _fail(self, error: NotServing) -> None:
        if not self._ready.done():
            self._ready.set_exception(error)
            # Nobody may be waiting any more; that is no leak.
            self._ready.exception()
