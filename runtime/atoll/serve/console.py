"""What `atoll dev` says to the person before it: plain sentences, or events when the log is for machines."""

from typing import Any, Final

from atoll.observe.log import Log, LogFormat
from atoll.observe.sink import Sink
from atoll.serve.channel import Problem
from atoll.serve.problems import described

HOTKEYS: Final = "[b] open a browser  [c] clear console  [x] to exit"

_BOLD: Final = "1"
_DIM: Final = "2"
_RED: Final = "31"
_YELLOW: Final = "33"
_CLEAR: Final = "\x1b[2J\x1b[3J\x1b[H"


class Console:
    """Standard output of the dev server."""

    def __init__(self, format: LogFormat, log: Log, *, colour: bool) -> None:
        self._for_machines = format == "json"
        self._log = log
        self._colour = colour
        self._sink = Sink()

    def ready(self, url: str, startup_ms: int) -> None:
        self._say(
            "gateway_ready", f"Ready on {self._paint(_BOLD, url)} in {startup_ms} ms", url=url, startup_ms=startup_ms
        )

    def hotkeys(self) -> None:
        if not self._for_machines:
            self._write(self._paint(_DIM, HOTKEYS))

    def clear(self) -> None:
        if not self._for_machines:
            self._write(_CLEAR + self._paint(_DIM, HOTKEYS))

    def reloaded(self, files: str, took_ms: int) -> None:
        self._say("code_reloaded", self._paint(_DIM, f"Reloaded {files} in {took_ms} ms"), files=files, took_ms=took_ms)

    def replaced(self, files: str, took_ms: int) -> None:
        self._say(
            "configuration_reloaded",
            self._paint(_DIM, f"Read {files} again, live after {took_ms} ms"),
            files=files,
            took_ms=took_ms,
        )

    def problem(self, problem: Problem) -> None:
        self._warn("worker_not_loaded", _RED, described(problem), worker=problem.worker, error=problem.text)

    def kept(self, error: Exception) -> None:
        text = f"{error}\nThe server goes on with the configuration it had."
        self._warn("configuration_refused", _RED, text, error=str(error))

    def odd(self, warning: str) -> None:
        self._warn("configuration_odd", _YELLOW, warning, warning=warning)

    def told(self, text: str) -> None:
        if not self._for_machines:
            self._write(text)

    def _say(self, event: str, text: str, **facts: Any) -> None:
        if self._for_machines:
            self._log.told(event, **facts)
        else:
            self._write(text)

    def _warn(self, event: str, colour: str, text: str, **facts: Any) -> None:
        if self._for_machines:
            self._log.warned(event, **facts)
            return
        first, _, rest = text.partition("\n")
        self._write(self._paint(colour, first) + (f"\n{rest}" if rest else ""))

    def _write(self, text: str) -> None:
        self._sink.write(f"{text}\n".encode("utf-8", "backslashreplace"))

    def _paint(self, colour: str, text: str) -> str:
        return f"\x1b[{colour}m{text}\x1b[0m" if self._colour else text
