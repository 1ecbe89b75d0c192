"""The log for machines: one JSON object a line on standard output.

The doorway of structlog. The chain is bound once and its filter is chosen at the start, so that a line below the
level costs one call (structlog's own advice on performance).
"""

import time
from collections.abc import Mapping
from typing import Any, Literal

import orjson
import structlog

from atoll.observe.escape import sound
from atoll.observe.log import LEVELS, Log
from atoll.observe.sink import Sink
from atoll.outcome import Outcome
from atoll.ports import Invoked
from atoll.trace import authors_trace


class JsonLog(Log):
    """Events as JSON objects with `event`, `level`, `timestamp` and their facts."""

    def __init__(self, level: int, fd: int) -> None:
        self._sink = Sink(fd, b'{"event":"log_lines_dropped","level":"warning","lines":%d}\n')
        self._log = structlog.wrap_logger(
            _Lines(self._sink),
            processors=[
                structlog.processors.add_log_level,
                structlog.processors.TimeStamper(fmt="iso", utc=True),
                structlog.processors.JSONRenderer(serializer=_dumps),
            ],
            wrapper_class=structlog.make_filtering_bound_logger(level),
            context_class=dict,
            cache_logger_on_first_use=True,
        ).bind()
        self._process_ns = time.process_time_ns()

    def printed(self, invocation: Invoked, stream: Literal["stdout", "stderr", "log"], level: str, text: str) -> None:
        self._log.log(
            LEVELS.get(level, LEVELS["info"]),
            "handler_printed",
            worker=invocation.worker,
            request_id=invocation.id,
            stream=stream,
            text=text,
        )

    def ended(self, invocation: Invoked, outcome: Outcome, facts: Mapping[str, Any]) -> None:
        self.refused(invocation.id, invocation.worker, outcome, facts)

    def refused(self, request_id: str, worker: str, outcome: Outcome, facts: Mapping[str, Any]) -> None:
        self._log.info(
            "request_finished",
            worker=worker,
            request_id=request_id,
            outcome=outcome.value,
            process_cpu_ms=self._process_cpu_ms(),
            **{key: round(value, 3) if isinstance(value, float) else value for key, value in facts.items()},
        )

    def _process_cpu_ms(self) -> float:
        """What the whole process has used since the last request's end: the author's code, the runtime and the loop.

        For requests that overlap it is a share, not a measure; over many lines it adds up to the process's CPU time.
        """
        before_ns, self._process_ns = self._process_ns, time.process_time_ns()
        return round((self._process_ns - before_ns) / 1e6, 3)

    def failed(self, invocation: Invoked | None, error: BaseException, where: str) -> None:
        whose = {"worker": invocation.worker, "request_id": invocation.id} if invocation is not None else {}
        self._log.error(where, **whose, error=_named(error), traceback=authors_trace(error))

    def warned(self, event: str, **facts: Any) -> None:
        self._log.warning(event, **facts)

    def told(self, event: str, **facts: Any) -> None:
        self._log.info(event, **facts)

    def close(self) -> None:
        self._sink.close()


class _Lines:
    """What structlog calls at the end of the chain: a logger whose every method writes a line."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink

    def msg(self, line: bytes) -> None:
        self._sink.write(line)

    debug = info = warning = error = critical = msg


def _named(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"


def _dumps(event: dict[str, Any], **_: Any) -> bytes:
    try:
        return orjson.dumps(event, option=orjson.OPT_APPEND_NEWLINE)
    except TypeError:
        # A lone surrogate or an object of the author's: rare, so that only then is every value looked at.
        return orjson.dumps(sound(event), option=orjson.OPT_APPEND_NEWLINE)
