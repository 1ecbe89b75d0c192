"""The log for people: what happened, in the order a person asks; colours where a terminal shows them.

Whatever comes from a request or from authors' code is escaped: a log must not move the cursor of who reads it.
"""

from collections.abc import Mapping
from typing import Any, Final, Literal

from atoll.observe.escape import shown
from atoll.observe.log import LEVELS, Log
from atoll.observe.sink import Sink
from atoll.outcome import Outcome
from atoll.ports import Invoked
from atoll.trace import authors_trace

_RED: Final = "31"
_GREEN: Final = "32"
_YELLOW: Final = "33"
_CYAN: Final = "36"
_DIM: Final = "2"

_LEVEL_COLOURS: Final = {"warning": _YELLOW, "error": _RED, "critical": _RED}


class PrettyLog(Log):
    """One line a request, and the author's own lines and tracebacks between them."""

    def __init__(self, level: int, fd: int, *, colour: bool, dev: bool) -> None:
        self._sink = Sink(fd)
        self._level = level
        self._colour = colour
        self._dev = dev

    def printed(self, invocation: Invoked, stream: Literal["stdout", "stderr", "log"], level: str, text: str) -> None:
        if LEVELS.get(level, LEVELS["info"]) < self._level:
            return
        whose = self._paint(_DIM, f"[{invocation.worker} {invocation.id}]")
        colour = _LEVEL_COLOURS.get(level)
        self._write("\n".join(f"{whose} {self._paint(colour, shown(line))}" for line in text.split("\n")))

    def ended(self, invocation: Invoked, outcome: Outcome, facts: Mapping[str, Any]) -> None:
        self.refused(invocation.id, invocation.worker, outcome, facts)

    def refused(self, request_id: str, worker: str, outcome: Outcome, facts: Mapping[str, Any]) -> None:
        if self._level > LEVELS["info"]:
            return
        status = facts.get("status")
        words = [
            shown(str(facts.get("method", ""))),
            shown(str(facts.get("path", ""))),
            self._paint(_colour_of(status, outcome), " ".join(_verdict(status, outcome))),
            f"{facts.get('wall_ms', 0):.0f} ms",
            f"cpu {facts.get('cpu_ms', 0):.1f} ms",
            f"subrequests {facts.get('subrequests', 0)}/{facts.get('subrequests_max', 0)}",
            self._paint(_DIM, request_id),
        ]
        self._write(" ".join(word for word in words if word))

    def failed(self, invocation: Invoked | None, error: BaseException, where: str) -> None:
        whose = f" {self._paint(_DIM, f'[{invocation.worker} {invocation.id}]')}" if invocation is not None else ""
        lines = authors_trace(error) if self._dev else f"{type(error).__name__}: {error}"
        body = "\n".join(f"  {shown(line)}" for line in lines.split("\n"))
        self._write(f"{self._paint(_RED, where)}{whose}\n{body}")

    def warned(self, event: str, **facts: Any) -> None:
        if self._level <= LEVELS["warning"]:
            self._write(f"{self._paint(_YELLOW, event)}{_listed(facts)}")

    def told(self, event: str, **facts: Any) -> None:
        if self._level <= LEVELS["info"]:
            self._write(f"{self._paint(_CYAN, event)}{_listed(facts)}")

    def close(self) -> None:
        self._sink.close()

    def _write(self, text: str) -> None:
        self._sink.write(f"{text}\n".encode("utf-8", "backslashreplace"))

    def _paint(self, colour: str | None, text: str) -> str:
        return f"\x1b[{colour}m{text}\x1b[0m" if self._colour and colour and text else text


def _verdict(status: Any, outcome: Outcome) -> list[str]:
    words = [] if status is None else [str(status)]
    return words if outcome is Outcome.OK else [*words, outcome.value]


def _colour_of(status: Any, outcome: Outcome) -> str:
    if not isinstance(status, int) or status >= 500 or outcome not in (Outcome.OK, Outcome.CANCELED):
        return _RED
    if status >= 400 or outcome is Outcome.CANCELED:
        return _YELLOW
    return _CYAN if status >= 300 else _GREEN


def _listed(facts: Mapping[str, Any]) -> str:
    return "".join(f" {key}={shown(str(value))}" for key, value in facts.items())
