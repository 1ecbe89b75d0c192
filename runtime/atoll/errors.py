"""Every error of the runtime, with the status, code and outcome that it stands for.

    AtollError
    ├── ConfigError            the configuration cannot be used; names file, key path, value and what was expected
    ├── StartError             the gateway cannot start: a port in use, a process that does not come up
    ├── ScriptError            a worker's code cannot be loaded: no file, a syntax error, an exception at top level
    ├── HandlerFailed          the handler raised                                     500  1101  exception
    ├── HandlerMissing         the worker has no handler for this event               500  1101  exception
    ├── CpuExceeded            the author's code used up its CPU time                 503  1102  exceededCpu
    ├── WallExceeded           no response head in time                               504  1102  exceededWallTime
    │   └── HoldExceeded       one step blocked the event loop                        503
    ├── Canceled               the client left before the last byte                   499        canceled
    │   └── ClientLeft         it left in the middle of its request body
    ├── LoadShed               too many invocations in flight                         503        loadShed
    ├── WorkerNotFound         no worker's route matches                              404        scriptNotFound
    ├── BadRequest             the request cannot be accepted as HTTP                 400
    │   ├── ContentTooLarge    the request body is over its limit                     413
    │   └── RequestBroken      the request body does not come whole: stalled, bad framing 408, 400
    │       └── RequestIdle    it stalled for longer than the worker allows           408        exceededWallTime
    ├── InternalError          a fault of the runtime itself                          500        internalError
    ├── BodyUsed (OSError)     a body was read twice
    ├── BodyBroken (OSError)   a body ended before its end: peer gone, bad framing, cut by a limit
    ├── TooManySubrequests     the N+1st subrequest; raised in the handler before anything leaves
    ├── ProcessGuarded         a function that acts on the whole process, called from a handler
    ├── NoInvocation           fetch, env or wait_until used where no invocation runs (module top level)
    └── AbortError (OSError)   a subrequest failed on the network
        ├── AddressDenied      scheme, host or address is not allowed
        ├── ConnectFailed      no connection: refused, unreachable, name not found, TLS refused
        ├── ConnectionBroken   the upstream reset or left in the middle of an exchange
        ├── BadAnswer          the upstream's bytes are not an HTTP response
        └── FetchTimeout       one wait ran out; also a TimeoutError; says which wait and after how long

Rules of this file: errors only; no I/O, no formatting for clients (that is `triggers/failure.py`).
"""

from typing import ClassVar

from atoll.outcome import Outcome


class AtollError(Exception):
    """The root of the tree; an exception outside of it that escapes the runtime is a bug."""

    status: int = 500
    code: ClassVar[int | None] = None
    outcome: ClassVar[Outcome] = Outcome.INTERNAL_ERROR
    detail: str = ""
    """A traceback reduced to the author's frames, for developers and logs; never for clients outside of dev."""


class ConfigError(AtollError):
    """The configuration cannot be used; its text names file, key path, the value read and what was expected."""


class StartError(AtollError):
    """The gateway cannot start; its text says what stands in the way and what to do."""


class ScriptError(AtollError):
    """A worker's code cannot be loaded.

    `file` and `line` point at the author's source (line 0 where none applies); `detail` is a traceback
    reduced to the author's frames, for a developer's eyes only.
    """

    code = 1101
    outcome = Outcome.EXCEPTION

    def __init__(self, message: str, *, file: str = "", line: int = 0, detail: str = "") -> None:
        super().__init__(message)
        self.file = file
        self.line = line
        self.detail = detail


class HandlerFailed(AtollError):
    """The handler raised; the author's exception is the `__cause__`."""

    code = 1101
    outcome = Outcome.EXCEPTION


class HandlerMissing(AtollError):
    """The worker exports no handler for this kind of event."""

    code = 1101
    outcome = Outcome.EXCEPTION


class CpuExceeded(AtollError):
    """The author's code used more CPU time than `limits.cpu_ms`."""

    status = 503
    code = 1102
    outcome = Outcome.EXCEEDED_CPU


class WallExceeded(AtollError):
    """The response head, or the next chunk of the body, did not come in time."""

    status = 504
    code = 1102
    outcome = Outcome.EXCEEDED_WALL_TIME


class HoldExceeded(WallExceeded):
    """One step of the author's code held the event loop for longer than `limits.hold_ms`."""

    status = 503


class Canceled(AtollError):
    """The client left before the last byte; 499 is nginx's number for it, seen in logs only."""

    status = 499
    outcome = Outcome.CANCELED


class StreamDisconnected(AtollError):
    """The response had begun when its body failed; the stream was cut."""

    status = 500
    outcome = Outcome.RESPONSE_STREAM_DISCONNECTED


class LoadShed(AtollError):
    """This process has as many invocations in flight as `gateway.in_flight` allows."""

    status = 503
    outcome = Outcome.LOAD_SHED


class WorkerNotFound(AtollError):
    """No route of any worker matches host and path."""

    status = 404
    outcome = Outcome.SCRIPT_NOT_FOUND


class BadRequest(AtollError):
    """The request cannot be accepted; nothing of it is echoed."""

    status = 400
    outcome = Outcome.EXCEPTION

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


class ContentTooLarge(BadRequest, OSError):
    """The request body is larger than `limits.request_body_mb`."""

    status = 413

    def __init__(self, message: str) -> None:
        super().__init__(message, 413)


class InternalError(AtollError):
    """A fault of the runtime itself; the cause is logged, never shown."""


class BodyUsed(AtollError, OSError):
    """A body can be read once."""

    def __init__(self) -> None:
        super().__init__("Body already used")


class BodyBroken(AtollError, OSError):
    """A body ended before its end; what was read so far must not be taken for the whole."""


class TooManySubrequests(AtollError):
    """The next subrequest would be over `limits.subrequests`; nothing has left."""

    code = 1101
    outcome = Outcome.EXCEPTION

    def __init__(self, cap: int) -> None:
        super().__init__(
            f"Too many subrequests by single Worker invocation. The cap is {cap} (limits.subrequests); "
            "every fetch, redirect hop and binding call counts."
        )


class NoInvocation(AtollError, RuntimeError):
    """Something that needs a running invocation was used outside of one, such as a fetch at module top level."""


class ProcessGuarded(AtollError, RuntimeError):
    """A handler called a function that acts on the whole process; nothing was done."""

    code = 1101
    outcome = Outcome.EXCEPTION


class RequestBroken(BadRequest, BodyBroken):
    """The client's request body does not come whole; a handler that lets this out answers with its status."""


class RequestIdle(RequestBroken):
    """The client was silent in the middle of its request body for longer than the worker's `limits.body_idle_ms`."""

    outcome = Outcome.EXCEEDED_WALL_TIME


class ClientLeft(Canceled, BodyBroken):
    """The client left in the middle of its request body; the invocation is being cancelled for it."""


class AbortError(AtollError, OSError):
    """A subrequest failed on the network; subclasses say where."""

    code = 1101
    outcome = Outcome.EXCEPTION


class AddressDenied(AbortError):
    """The scheme, host or resolved address of a subrequest is not allowed."""


class ConnectFailed(AbortError):
    """No connection to the upstream came about."""


class ConnectionBroken(AbortError):
    """The upstream closed or reset the connection in the middle of an exchange."""


class BadAnswer(AbortError):
    """The upstream's bytes are not an HTTP response that can be trusted."""


class FetchTimeout(AbortError, TimeoutError):
    """One wait of a subrequest ran out; the text says which and after how long."""

    status = 504
    outcome = Outcome.EXCEEDED_WALL_TIME
