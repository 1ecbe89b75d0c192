"""What authors' code prints and logs, sorted by the invocation that said it.

`capture` stands in for sys.stdout and sys.stderr and listens on the root logger. A line that is written while an
invocation runs goes to the observer, with the invocation; everything else goes where it would have gone. What is
printed without a line's end is kept until the end comes or the invocation ends. Past `limits.log_kb` an
invocation's output is cut, with one line that says so.
"""

import io
import logging
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, Literal, TextIO, cast

from atoll import current
from atoll.observe.log import LEVELS
from atoll.outcome import Outcome
from atoll.ports import Invoked, Observer

LINE_CHARACTERS_MAX: Final = 65_536
"""A line without an end is passed on in pieces of this size, so that what is kept stays bounded."""

Stream = Literal["stdout", "stderr", "log"]


@contextmanager
def capture(observer: Observer, *, level: str = "info") -> Iterator[Observer]:
    """Sort the output of this process while the context lasts; yields the observer to give to whoever runs invocations.

    That observer passes everything on to the given one, and knows through `began` and `ended` whose output is
    still to come. `level` is the root logger's at the start; authors may change it.
    """
    captured = Captured(observer)
    handler = _Records(captured)
    root = logging.getLogger()
    before = sys.stdout, sys.stderr, root.level
    sys.stdout = cast(TextIO, _Stream(captured, "stdout", "info", before[0]))
    sys.stderr = cast(TextIO, _Stream(captured, "stderr", "warning", before[1]))
    root.addHandler(handler)
    root.setLevel(min(LEVELS[level], logging.INFO))
    try:
        yield captured
    finally:
        root.removeHandler(handler)
        sys.stdout, sys.stderr = before[:2]
        root.setLevel(before[2])


class _Output:
    """What one invocation has said: unfinished lines by stream, and how much in all."""

    __slots__ = ("left_bytes", "pending")

    def __init__(self, log_kb: int) -> None:
        self.pending: dict[Stream, str] = {}
        self.left_bytes = log_kb * 1024


class Captured(Observer):
    """Passes everything on, and brings authors' lines in order and within their limit."""

    def __init__(self, observer: Observer) -> None:
        self._observer = observer
        self._open: dict[str, _Output | None] = {}

    def began(self, invocation: Invoked) -> None:
        self._open[invocation.id] = None
        self._observer.began(invocation)

    def printed(self, invocation: Invoked, stream: Stream, level: str, text: str) -> None:
        """Pass one line on, unless the invocation has said enough."""
        output = self._output(invocation)
        if output.left_bytes < 0:
            return
        output.left_bytes -= (len(text) if text.isascii() else len(text.encode("utf-8", "replace"))) + 1
        if output.left_bytes < 0:
            log_kb = invocation.budget.limits.log_kb
            text = f"The output of this invocation is cut: it is over {log_kb} KiB (limits.log_kb)."
            stream, level = "log", "warning"
        self._observer.printed(invocation, stream, level, text)

    def ended(self, invocation: Invoked, outcome: Outcome, facts: Mapping[str, Any]) -> None:
        output = self._open.get(invocation.id)
        if output is not None:
            for stream, text in output.pending.items():
                if text:
                    self.printed(invocation, stream, "info" if stream == "stdout" else "warning", text)
        self._open.pop(invocation.id, None)
        self._observer.ended(invocation, outcome, facts)

    def refused(self, request_id: str, worker: str, outcome: Outcome, facts: Mapping[str, Any]) -> None:
        self._observer.refused(request_id, worker, outcome, facts)

    def failed(self, invocation: Invoked | None, error: BaseException, where: str) -> None:
        self._observer.failed(invocation, error, where)

    def warned(self, event: str, **facts: Any) -> None:
        self._observer.warned(event, **facts)

    def write(self, invocation: Invoked, stream: Stream, level: str, text: str) -> None:
        """Take a piece of a stream and pass on the lines that it completes."""
        if invocation.id not in self._open:
            # A thread has outlived its invocation: no end will come at which to pass on what was kept.
            for line in filter(None, text.split("\n")):
                self._observer.printed(invocation, stream, level, line)
            return
        output = self._output(invocation)
        if output.left_bytes < 0:
            return
        text = output.pending.get(stream, "") + text
        if "\n" in text:
            *lines, text = text.split("\n")
            for line in lines:
                self.printed(invocation, stream, level, line)
        while len(text) > LINE_CHARACTERS_MAX:
            self.printed(invocation, stream, level, text[:LINE_CHARACTERS_MAX])
            text = text[LINE_CHARACTERS_MAX:]
        output.pending[stream] = text

    def _output(self, invocation: Invoked) -> _Output:
        output = self._open.get(invocation.id)
        if output is None:
            output = _Output(invocation.budget.limits.log_kb)
            if invocation.id in self._open:
                self._open[invocation.id] = output
        return output


class _Stream(io.TextIOBase):
    """Stands in for a standard stream."""

    def __init__(self, captured: Captured, name: Stream, level: str, real: TextIO) -> None:
        self._captured = captured
        self._stream: Stream = name
        self._level = level
        self._real = real

    def write(self, text: str, /) -> int:
        invocation = current.invocation.get()
        if invocation is None:
            return self._real.write(text)
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        self._captured.write(invocation, self._stream, self._level, text)
        return len(text)

    def flush(self) -> None:
        if current.invocation.get() is None:
            self._real.flush()

    def fileno(self) -> int:
        return self._real.fileno()

    def isatty(self) -> bool:
        return current.invocation.get() is None and self._real.isatty()

    def writable(self) -> bool:
        return True

    def close(self) -> None:
        """Stay open: authors' code has closed its own stream, and every other's would be this one."""

    @property
    def buffer(self) -> Any:
        return self._real.buffer

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._real.encoding

    @property
    def errors(self) -> str | None:  # type: ignore[override]
        return self._real.errors

    @property
    def name(self) -> str:
        return f"<{self._stream}>"


class _Records(logging.Handler):
    """Takes what `logging` hands to the root logger."""

    def __init__(self, captured: Captured) -> None:
        super().__init__()
        self._captured = captured
        self.setFormatter(logging.Formatter("%(name)s: %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        try:
            text = self.format(record)
            level = record.levelname.lower()
            invocation = current.invocation.get()
            if invocation is not None:
                self._captured.printed(invocation, "log", level, text)
            elif record.levelno >= logging.WARNING:
                self._captured.warned("library_logged", logger=record.name, text=text)
            else:
                sys.stderr.write(f"{text}\n")
        except Exception:
            self.handleError(record)
