"""Keeps author code from changing or ending the process that it shares with every other invocation.

While a gateway is open, functions of the standard library that act on the whole process have a stand-in in their
module, and the running loop's own methods one on the loop. A stand-in refuses, with an error that says what and why,
where an invocation runs; elsewhere, as in the runtime itself, it is the function. What ends the process is refused in
every thread but the loop's as well, for a thread that author code started knows no invocation.
What may be changed past them, and can be read cheaply, is put right at an invocation's end.

Rules of this file: the table, and how it is put up. It keeps accidents from spreading; it is no wall against code that
means harm (`ctypes`, a reference kept from before, `socket.socket(fileno=...)`): isolation separates state, not trust.
"""

import asyncio
import gc
import os
import resource
import signal
import stat
import sys
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

from atoll.current import invocation as current_invocation
from atoll.errors import ProcessGuarded

Judge = Callable[..., bool]
"""Given a call's arguments, whether this call is one to refuse."""


def _always(*_: Any, **__: Any) -> bool:
    return True


def _names_gateway(pid: int = 0, *_: Any, **__: Any) -> bool:
    """Whether a signal for this process id would reach the gateway's own: 0 and negative ones are whole groups."""
    return pid <= 0 or pid in (os.getpid(), os.getppid())


@dataclass(frozen=True, slots=True)
class Guard:
    """Functions of one owner that are not for invocations: `why` ends the sentence of the error."""

    owner: Any
    names: str
    why: str
    judge: Judge = _always
    ends: bool = False
    """It ends the process, so that it is refused to threads too."""
    ignored: bool = False
    """A call does nothing instead of being refused: what libraries do in passing, and mean well."""


_ENDS: Final = "it would end the process, and every other request in it; return a Response or raise an exception"
_SIGNALS: Final = "signals belong to the process, which serves other requests too"
_PATHS: Final = "it changes what a path means for every other request; use absolute paths"
_COLLECTOR: Final = "the collector is run by the gateway for all requests"
_TRACES: Final = "it would slow down or stop every other request; `atoll dev --inspect` is for debuggers"
_LOOP: Final = "the event loop serves every other request too"

TABLE: Final = (
    Guard(os, "_exit abort execv execve", _ENDS, ends=True),
    Guard(os, "fork forkpty", "a copy of the gateway would answer its connections; use subprocess", ends=True),
    Guard(os, "kill killpg", _ENDS, judge=_names_gateway, ends=True),
    Guard(signal, "raise_signal pthread_kill", _ENDS, ends=True),
    Guard(signal, "signal setitimer alarm set_wakeup_fd siginterrupt pthread_sigmask", _SIGNALS),
    Guard(os, "chdir fchdir chroot umask", _PATHS),
    Guard(os, "closerange", "connections of other requests are among these descriptors", ends=True),
    Guard(gc, "enable disable", _COLLECTOR, ignored=True),
    Guard(gc, "freeze unfreeze set_threshold set_debug", _COLLECTOR),
    Guard(sys, "settrace setprofile", _TRACES),
    Guard(threading, "settrace setprofile", _TRACES),
    Guard(sys, "setrecursionlimit setswitchinterval", "it holds for the whole process and every other request"),
    Guard(resource, "setrlimit prlimit", "it holds for the whole process and every other request"),
    Guard(asyncio, "set_event_loop_policy", _LOOP),
)  # fmt: skip
LOOP: Final = (
    "stop close set_task_factory set_exception_handler set_default_executor set_debug add_signal_handler "
    "remove_signal_handler shutdown_asyncgens shutdown_default_executor"
)
_DESCRIPTORS: Final = "the descriptor is the gateway's, or a socket, which is closed by its own close()"


class Guards:
    """The stand-ins of one gateway; `tracing` leaves `settrace` to a debugger."""

    def __init__(self, loop: asyncio.AbstractEventLoop, *, tracing: bool = False) -> None:
        self._loop = loop
        self._thread = threading.get_ident()
        self._own: frozenset[int] = frozenset()
        self._put_up: list[tuple[Any, str, Any]] = []
        self._collects = True
        self._factory: Any = None
        self._tables: list[Guard] = [guard for guard in TABLE if not (tracing and guard.why is _TRACES)]
        self._tables += [
            Guard(loop, LOOP, _LOOP),
            Guard(os, "close", _DESCRIPTORS, judge=self._is_gateways, ends=True),
            Guard(os, "dup2", _DESCRIPTORS, judge=lambda _, fd, *__, **___: self._is_gateways(fd), ends=True),
        ]

    def install(self) -> None:
        """Put the stand-ins up."""
        for guard in self._tables:
            for name in guard.names.split():
                act = getattr(guard.owner, name, None)
                if act is not None:
                    self._put_up.append((guard.owner, name, act))
                    setattr(guard.owner, name, _StandIn(act, name, guard, self._thread))

    def settle(self) -> None:
        """Start-up is over: the descriptors, the task factory and the collector are what they are to stay."""
        self._own = frozenset(_open_descriptors())
        self._factory = self._loop.get_task_factory()
        self._collects = gc.isenabled()

    def uninstall(self) -> None:
        """Take them down."""
        for owner, name, act in reversed(self._put_up):
            if owner is self._loop:
                delattr(owner, name)
            else:
                setattr(owner, name, act)
        self._put_up.clear()

    def mend(self) -> None:
        """Put right what was changed past the stand-ins; called at the end of every invocation."""
        if gc.isenabled() is not self._collects:
            _plain(gc.enable if self._collects else gc.disable)()
        if self._factory is not None and self._loop.get_task_factory() is not self._factory:
            _plain(self._loop.set_task_factory)(self._factory)

    def _is_gateways(self, fd: int) -> bool:
        if fd in self._own:
            return True
        try:
            return stat.S_ISSOCK(os.fstat(fd).st_mode)
        except (OSError, TypeError):
            # What is no descriptor is refused by the function itself, in its own words.
            return False


class _StandIn:
    """A function's place in its module. No descriptor, as no builtin function is: it may be a class attribute."""

    def __init__(self, act: Callable[..., Any], name: str, guard: Guard, thread: int) -> None:
        self.__wrapped__ = act
        self.__name__ = self.__qualname__ = name
        self.__doc__ = act.__doc__
        self.__module__ = getattr(guard.owner, "__name__", "loop")
        self._guard = guard
        self._thread = thread

    def __call__(self, *given: Any, **named: Any) -> Any:
        guard = self._guard
        if current_invocation.get() is None and not (guard.ends and threading.get_ident() != self._thread):
            return self.__wrapped__(*given, **named)
        if guard.ignored:
            return None
        if guard.judge(*given, **named):
            raise ProcessGuarded(f"{self.__module__}.{self.__name__}() is not for handlers: {guard.why}")
        return self.__wrapped__(*given, **named)

    def __repr__(self) -> str:
        return f"<{self.__wrapped__!r}, guarded by atoll>"


def _plain(function: Any) -> Any:
    return getattr(function, "__wrapped__", function)


def _open_descriptors() -> Iterable[int]:
    try:
        return [int(name) for name in os.listdir("/proc/self/fd")]  # noqa: PTH208  # numbers, not paths
    except OSError:
        return range(3)
