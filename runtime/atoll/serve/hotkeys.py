"""Single keys of a terminal that command `atoll dev`.

The terminal is changed only while we are in its foreground (a background job that touches it is stopped by the
kernel), and is given back as it was found, whatever ends the program.
"""

import asyncio
import atexit
import os
import signal
import sys
import termios
import tty
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager


@contextmanager
def heeding_keys(keys: Mapping[str, Callable[[], None]]) -> Iterator[bool]:
    """Call what belongs to a key when it is pressed, while the context lasts; yields whether there is a keyboard."""
    if not sys.stdin or not sys.stdin.isatty():
        yield False
        return
    fd = sys.stdin.fileno()
    if not _foreground(fd):
        yield False
        return
    found = termios.tcgetattr(fd)
    loop = asyncio.get_running_loop()

    def restore() -> None:
        if _foreground(fd):
            termios.tcsetattr(fd, termios.TCSADRAIN, found)

    def continued() -> None:
        # After Ctrl-Z and `fg` the shell has set the terminal to its own liking.
        if _foreground(fd):
            tty.setcbreak(fd, termios.TCSADRAIN)

    def pressed() -> None:
        try:
            typed = os.read(fd, 64).decode(errors="replace")
        except OSError:
            typed = ""
        if not typed:
            loop.remove_reader(fd)
        for key in typed:
            if (command := keys.get(key.lower())) is not None:
                command()

    atexit.register(restore)
    tty.setcbreak(fd, termios.TCSADRAIN)
    loop.add_reader(fd, pressed)
    loop.add_signal_handler(signal.SIGCONT, continued)
    try:
        yield True
    finally:
        loop.remove_signal_handler(signal.SIGCONT)
        loop.remove_reader(fd)
        restore()
        atexit.unregister(restore)


def _foreground(fd: int) -> bool:
    try:
        return os.tcgetpgrp(fd) == os.getpgrp()
    except OSError:
        # The terminal has gone.
        return False
