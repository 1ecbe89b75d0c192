"""The log: one line an event, for machines (JSON) or for people (pretty); nothing else of the runtime prints.

Rules of this file: which log there is, and what all of them share. What a line looks like stands in
`json_lines.py` and `pretty.py`. structlog is met in `json_lines.py` only.
"""

from typing import Any, Final, Literal

from atoll.ports import Observer

LogFormat = Literal["json", "pretty", "off"]

LEVELS: Final = {"debug": 10, "info": 20, "warning": 30, "error": 40}


class Log(Observer):
    """An Observer that also writes what the gateway itself has to tell. This one writes nothing: `off`."""

    def told(self, event: str, **facts: Any) -> None:
        """Something an operator may like to know; `event` is a fixed past-tense event."""

    def close(self) -> None:
        """Write what is still to be written."""


def open_log(format: LogFormat, *, level: str, colour: bool, dev: bool, fd: int = 1) -> Log:
    """The log of this process; `level` is one of `LEVELS`, `dev` shows authors their tracebacks."""
    # Either log brings its own library along, and a process needs one of them.
    match format:
        case "json":
            from atoll.observe.json_lines import JsonLog

            return JsonLog(LEVELS[level], fd)
        case "pretty":
            from atoll.observe.pretty import PrettyLog

            return PrettyLog(LEVELS[level], fd, colour=colour, dev=dev)
        case "off":
            return Log()
