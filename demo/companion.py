"""A command that runs beside a server and decides how long the server lives.

Invariants: the command's exit status is passed on; a signal that ends this program ends the command, too; and
if this program is killed, the kernel sends the command SIGTERM, so that it never stays behind as an orphan.
Source: prctl(2), PR_SET_PDEATHSIG.
"""

import asyncio
import ctypes
import os
import signal
import sys
from collections.abc import Callable

PR_SET_PDEATHSIG = 1
EXIT_CANNOT_RUN = 126
EXIT_NOT_FOUND = 127


async def accompany(command: list[str]) -> int:
    """Run `command` to its end; its exit status, or 128 + the number of the signal that ended it, as a shell tells."""
    loop = asyncio.get_running_loop()
    # Ctrl-C goes to the whole group, so the command has it already. A handler and not SIG_IGN: that one is inherited.
    loop.add_signal_handler(signal.SIGINT, lambda: None)
    stopping = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stopping.set)
    try:
        child = await asyncio.create_subprocess_exec(*command, preexec_fn=_tied_to_parent())
    except FileNotFoundError:
        print(f"upstreams: {command[0]}: there is no such command", file=sys.stderr)
        return EXIT_NOT_FOUND
    except OSError as error:
        print(f"upstreams: {command[0]} cannot be run: {error.strerror}", file=sys.stderr)
        return EXIT_CANNOT_RUN
    loop.add_signal_handler(signal.SIGTERM, _terminate, child)
    if stopping.is_set():
        _terminate(child)
    status = await child.wait()
    return status if status >= 0 else 128 - status


def _terminate(child: asyncio.subprocess.Process) -> None:
    try:
        child.terminate()
    except ProcessLookupError:
        pass


def _tied_to_parent() -> Callable[[], None] | None:
    """What the child does between fork and exec to be told when its parent dies; only Linux has it."""
    if sys.platform != "linux":
        return None
    # Whatever takes a lock, such as loading a library, is done here, before the fork.
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    parent = os.getpid()

    def tie() -> None:
        prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        # The parent may have died before the kernel was asked to tell.
        if os.getppid() != parent:
            os._exit(128 + signal.SIGTERM)

    return tie
