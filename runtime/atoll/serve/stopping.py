"""The wish to stop: the first signal asks for a clean end, the second insists on one at once."""

import asyncio
import signal
import socket
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, Final, TypeVar

from atoll.observe.log import Log
from atoll.serve.supervisor import Supervisor

EXIT_OK: Final = 0
EXIT_UNCLEAN: Final = 1
SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

_Result = TypeVar("_Result")


class AtOnce(Exception):
    """The second signal came; `status` is what a shell expects of a program that a signal ended."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.status = 128 + number


class Asked(Exception):
    """The first signal came while something else was awaited."""


class Stopping:
    """Whether this program was asked to stop, and how urgently."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self._insisted: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    def ask(self, number: int = 0) -> None:
        """Ask, or insist when it has been asked before."""
        if not self.asked.is_set():
            self.asked.set()
        elif not self._insisted.done():
            self._insisted.set_result(number)

    async def unless_asked(self, work: Coroutine[Any, Any, _Result]) -> _Result:
        """Await something, but no longer than until the first signal: it is then cancelled and `Asked` raised."""
        asked = asyncio.create_task(self.asked.wait())
        try:
            return await _first(work, asked)
        except _Overtaken:
            raise Asked from None
        finally:
            asked.cancel()

    async def unless_insisted(self, work: Coroutine[Any, Any, _Result]) -> _Result:
        """Await something, but no longer than until the second signal: it is then cancelled and `AtOnce` raised."""
        try:
            return await _first(work, self._insisted)
        except _Overtaken:
            raise AtOnce(self._insisted.result()) from None


class _Overtaken(Exception):
    """The signal came first."""


async def _first(work: Coroutine[Any, Any, _Result], signalled: asyncio.Future[Any]) -> _Result:
    task = asyncio.create_task(work)
    try:
        await asyncio.wait([task, signalled], return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise _Overtaken
        return task.result()
    finally:
        if not task.done():
            task.cancel()
            await asyncio.wait([task])


@contextmanager
def heeding_signals(stopping: Stopping) -> Iterator[None]:
    """Let signals ask while the context lasts; one that was ignored from the start (nohup) stays ignored."""
    loop = asyncio.get_running_loop()
    heeded = [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
    for number in heeded:
        loop.add_signal_handler(number, stopping.ask, number)
    try:
        yield
    finally:
        for number in heeded:
            loop.remove_signal_handler(number)


async def stop(
    supervisor: Supervisor, stopping: Stopping, sockets: list[socket.socket], drain_s: float, log: Log
) -> int:
    """Close the sockets and drain the processes, unless a second signal insists; the exit status."""
    # Held open here, they would go on to take connections that no process accepts any more.
    for sock in sockets:
        sock.close()
    try:
        clean = await stopping.unless_insisted(supervisor.stop(drain_s))
    except AtOnce as insisted:
        supervisor.kill()
        return insisted.status
    if not clean:
        log.warned("drain_timed_out", drain_s=drain_s)
    return EXIT_OK if clean else EXIT_UNCLEAN
