"""Tracebacks as an author wants to read them: their own frames, with their own source lines.

Rules of this file: text only; nothing here decides who may see it (clients may not, outside of `atoll dev`).
"""

import traceback
from pathlib import Path

from atoll.errors import ScriptError

_RUNTIME = str(Path(__file__).resolve().parent.parent)


def describe(error: BaseException) -> str:
    """The whole traceback without the runtime's and the import system's frames."""
    report = traceback.TracebackException.from_exception(error, compact=True)
    _reduce(report, set())
    return "".join(report.format()).rstrip()


def script_error(error: BaseException, *, worker: str, main: Path, root: Path) -> ScriptError:
    """Turn what came out of loading a worker into one error that points at the author's line."""
    file, line = str(main), 0
    if isinstance(error, SyntaxError) and error.filename:
        file, line = error.filename, error.lineno or 0
        what = f"{type(error).__name__}: {error.msg}"
    else:
        for frame in traceback.extract_tb(error.__traceback__):
            if Path(frame.filename).is_relative_to(root):
                file, line = frame.filename, frame.lineno or 0
        what = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    place = _short(file, root) + (f", line {line}" if line else "")
    return ScriptError(
        f"worker {worker!r} cannot be loaded: {what} ({place})", file=file, line=line, detail=describe(error)
    )


def _short(file: str, root: Path) -> str:
    path = Path(file)
    return str(path.relative_to(root)) if path.is_relative_to(root) else file


def _reduce(report: traceback.TracebackException, seen: set[int]) -> None:
    if id(report) in seen:
        return
    seen.add(id(report))
    report.stack = traceback.StackSummary.from_list([frame for frame in report.stack if _is_of_use(frame.filename)])
    for other in (report.__cause__, report.__context__, *(getattr(report, "exceptions", None) or ())):
        if other is not None:
            _reduce(other, seen)


def _is_of_use(filename: str) -> bool:
    return not filename.startswith((_RUNTIME, "<frozen importlib"))
