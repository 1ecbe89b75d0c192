"""`atoll dev --inspect` in the process that runs the handlers: a debugger may hold it for as long as it likes.

A thread looks whether one is attached, says so once when that begins and once when it has ended, and beats for the loop
meanwhile, so that the supervisor does not take a process that waits at a prompt for a stuck one.
"""

import os
import pdb
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from atoll.observe.log import Log
from atoll.serve.heartbeat import BEAT_S, Heartbeat
from atoll.suspension import Suspension

SETTLED_BEATS: Final = 5
"""A debugger that was away for so many beats has gone; shorter ones lie between two of its commands."""


@contextmanager
def inspected(suspension: Suspension, heartbeat: Heartbeat, log: Log) -> Iterator[None]:
    """Let a debugger attach while the context lasts; does nothing without `--inspect`."""
    if not suspension.inspect:
        yield
        return
    settrace, hook = sys.settrace, sys.breakpointhook
    over = threading.Event()

    def noted(function: Any) -> None:
        # Last, or else the debugger would stop in here.
        suspension.traced(function is not None)
        settrace(function)

    def breakpoint_(*given: Any, **named: Any) -> Any:
        # What PYTHONBREAKPOINT names goes first, as ever; pdb itself shall talk to the terminal, past the log.
        if "PYTHONBREAKPOINT" in os.environ:
            return hook(*given, **named)
        prompt = pdb.Pdb(stdin=sys.__stdin__, stdout=sys.__stdout__, nosigint=True)
        prompt.set_trace(sys._getframe(1))
        return None

    sys.settrace, sys.breakpointhook = noted, breakpoint_
    thread = threading.Thread(target=_watch, args=(suspension, heartbeat, log, over), daemon=True)
    # Debuggers leave threads alone that are marked so.
    thread.pydev_do_not_trace = thread.is_pydev_daemon_thread = True  # type: ignore[attr-defined]
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        sys.settrace, sys.breakpointhook = settrace, hook


def _watch(suspension: Suspension, heartbeat: Heartbeat, log: Log, over: threading.Event) -> None:
    told, away = False, 0
    while not over.wait(BEAT_S):
        if suspension.attached():
            away = 0
            heartbeat.beat()
            if not told:
                told = True
                log.warned("time_limits_suspended", why="a debugger is attached (atoll dev --inspect)")
        elif told:
            away += 1
            if away >= SETTLED_BEATS:
                told = False
                log.warned("time_limits_resumed", why="no debugger is attached any more")
