"""One OS process of the gateway: an event loop, the channel to the supervisor, a drain and an exit status.

The supervisor says what to serve; the end of its channel means that it has gone, and then the process drains
quickly and goes too. SIGTERM to this process alone makes it drain and be replaced. SIGUSR2 prints the stack of
every thread, even while C code holds the interpreter: the supervisor asks for it before it ends a stuck process.
"""

import asyncio
import faulthandler
import resource
import signal
import socket
import sys
import traceback
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path
from typing import Final, Protocol

import uvloop

from atoll.config import Config
from atoll.errors import AtollError, ScriptError
from atoll.observe import json_lines, pretty
from atoll.observe.log import open_log
from atoll.observe.output import capture
from atoll.ports import Observer
from atoll.serve.allocator import keep_freed_memory
from atoll.serve.channel import (
    Channel,
    Down,
    Drain,
    Leaving,
    Problem,
    Ready,
    Refused,
    Reload,
    Reloaded,
    Start,
    Up,
    below,
)
from atoll.serve.heartbeat import BEAT_S, Heartbeat
from atoll.serve.inspecting import inspected
from atoll.suspension import Suspension
from atoll.trace import authors_trace

WARM: Final = (json_lines, pretty)
"""What is imported on demand elsewhere, and here so that the template has it and no fork waits for it."""

ORPHAN_DRAIN_S: Final = 2.0
EXIT_OK: Final = 0
EXIT_REFUSED: Final = 1


class Gateway(Protocol):
    """What a process needs of the gateway that assembly opens."""

    @property
    def problems(self) -> Mapping[str, ScriptError]: ...

    async def serve(self, sock: socket.socket) -> None: ...

    async def reload(self, config: Config) -> None: ...

    async def drain(self, timeout_s: float) -> None: ...

    def settle(self) -> None: ...

    def show(self, marks: "memoryview[int]") -> None: ...

    def rest(self) -> None: ...


class OpenGateway(Protocol):
    """Opens the gateway: `assembly.open_gateway`, or a test's own."""

    def __call__(
        self, config: Config, *, observer: Observer, dev: bool, suspension: Suspension
    ) -> AbstractAsyncContextManager[Gateway]: ...


def run(fds: list[int], open_gateway: OpenGateway) -> int:
    """Be one process; `fds` are the channel, the heartbeat and the listening sockets. The exit status."""
    channel, heartbeat, *listeners = fds
    name("atoll-process")
    faulthandler.enable(file=2)
    faulthandler.register(signal.SIGUSR2, file=2, all_threads=True)
    _raise_file_limit()
    keep_freed_memory()
    sockets = [socket.socket(fileno=fd) for fd in listeners]
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        loop = runner.get_loop()
        living = loop.create_task(_live(socket.socket(fileno=channel), Heartbeat(heartbeat), sockets, open_gateway))
        return _through(loop, living)


def _through(loop: asyncio.AbstractEventLoop, living: asyncio.Task[int]) -> int:
    """Run the loop to the task's end, whatever author code does to stop it: SystemExit in a callback would."""
    while True:
        try:
            return loop.run_until_complete(living)
        except (SystemExit, KeyboardInterrupt) as exit_:
            if living.done():
                raise
            why = f"author code raised {type(exit_).__name__} outside of a task\n{authors_trace(exit_)}"
        except RuntimeError:
            # "Event loop stopped before Future completed", by code that got past the guards.
            if living.done() or loop.is_closed():
                raise
            why = "author code stopped it"
        # The loop is as it was, and goes on where it was left.
        print(f"The event loop was interrupted and goes on: {why}", file=sys.__stderr__)


async def _live(
    sock: socket.socket, heartbeat: Heartbeat, listeners: list[socket.socket], open_gateway: OpenGateway
) -> int:
    channel = await below(sock)
    start = await channel.receive()
    if not isinstance(start, Start):
        return EXIT_OK
    beating = _Beating(heartbeat)
    beating.beat()
    try:
        return await _Process(channel, start, listeners, beating).live(open_gateway)
    except AtollError as error:
        channel.send(Refused([], str(error)))
    except Exception:
        # The process's edge: whatever it was, an operator reads it, and the supervisor sees the status.
        traceback.print_exc(file=sys.__stderr__)
        channel.send(Refused([], "The process failed while it started or stopped; the traceback stands above."))
    finally:
        await channel.aclose()
    return EXIT_REFUSED


class _Process:
    """The life of one process between `Start` and its exit."""

    def __init__(
        self, channel: Channel[Down, Up], start: Start, listeners: list[socket.socket], beating: "_Beating"
    ) -> None:
        self._beating = beating
        self._channel = channel
        self._settings = start.settings
        self._config = start.config()
        self._listeners = listeners
        self._drained: asyncio.Task[None] | None = None
        self._over = asyncio.Event()

    async def live(self, open_gateway: OpenGateway) -> int:
        """Open the gateway, serve, obey, drain."""
        settings = self._settings
        log = open_log(settings.log, level=settings.level, colour=settings.colour, dev=settings.dev)
        suspension = Suspension(settings.inspect)
        with inspected(suspension, self._beating.heartbeat, log), capture(log, level=settings.level) as observer:
            sys.unraisablehook = partial(_unraisable, observer)
            async with open_gateway(
                self._config, observer=observer, dev=settings.dev, suspension=suspension
            ) as gateway:
                problems = _problems(gateway)
                if problems and not settings.dev:
                    self._channel.send(Refused(problems, ""))
                    return EXIT_REFUSED
                for listener in self._listeners:
                    await gateway.serve(listener)
                gateway.settle()
                gateway.show(self._beating.heartbeat.marks)
                self._beating.rest = gateway.rest
                self._channel.send(Ready(problems))
                # A group, so that a failure to obey or to drain ends the process: it would be deaf otherwise.
                async with asyncio.TaskGroup() as self._tasks:
                    self._heed_sigterm(gateway)
                    obeying = self._tasks.create_task(self._obey(gateway))
                    await self._over.wait()
                    obeying.cancel()
        log.close()
        return EXIT_OK

    async def _obey(self, gateway: Gateway) -> None:
        while (message := await self._channel.receive()) is not None:
            match message:
                case Reload():
                    await gateway.reload(self._config)
                    self._channel.send(Reloaded(_problems(gateway)))
                case Drain(timeout_s):
                    self._drain(gateway, timeout_s)
        self._drain(gateway, ORPHAN_DRAIN_S)

    def _heed_sigterm(self, gateway: Gateway) -> None:
        def leave() -> None:
            self._channel.send(Leaving())
            self._drain(gateway, self._config.gateway.drain_s)

        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, leave)

    def _drain(self, gateway: Gateway, timeout_s: float) -> None:
        if self._drained is not None:
            self._drained.cancel()
        self._drained = self._tasks.create_task(self._drain_within(gateway, timeout_s))

    async def _drain_within(self, gateway: Gateway, timeout_s: float) -> None:
        await gateway.drain(timeout_s)
        self._over.set()


def name(of_process: str) -> None:
    """Name this process for `ps` and `top`; 15 characters count."""
    try:
        Path("/proc/self/comm").write_text(of_process)
    except OSError:
        pass


def _unraisable(observer: Observer, unraisable: "sys.UnraisableHookArgs") -> None:
    """An exception that nobody could catch, such as one in `__del__`, or of a coroutine that refused to be ended."""
    why = f"{type(unraisable.exc_value).__name__}: {unraisable.exc_value}"
    observer.warned("exception_ignored", why=why, where=repr(unraisable.object)[:200])


def _problems(gateway: Gateway) -> list[Problem]:
    return [
        Problem(worker, str(error), error.file, error.line, error.detail) for worker, error in gateway.problems.items()
    ]


class _Beating:
    """Says about every `BEAT_S` that the loop turns, and that whatever step ran before is over."""

    def __init__(self, heartbeat: Heartbeat) -> None:
        self.heartbeat = heartbeat
        self.rest: Callable[[], None] = _nothing

    def beat(self) -> None:
        self.rest()
        self.heartbeat.beat()
        asyncio.get_running_loop().call_later(BEAT_S, self.beat)


def _nothing() -> None:
    """There is no gateway yet."""


def _raise_file_limit() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except (OSError, ValueError):
        # A sandbox may forbid it; the soft limit then stands.
        pass
