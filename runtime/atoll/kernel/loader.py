"""From a worker's files to a `Script`: found once, compiled once, its top level tried once at start-up.

Rules of this file: reading and compiling author files happens here and nowhere else. A Script never changes; a
changed file makes a new Script, and invocations in flight keep the old one.
"""

import sys
import time
import traceback
from collections import deque
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import CodeType
from typing import Final, Literal

from atoll.errors import ScriptError
from atoll.kernel.isolate import Isolate, OwnLoader, Stage, prepare
from atoll.kernel.plain import Plain, plain
from atoll.kernel.pristine import POSSIBLE, snapshot
from atoll.limits import Limits
from atoll.ports import Faces
from atoll.trace import authors_trace

_FACADES: Final = frozenset({"workers", "asgi", "js", "pyodide"})
"""Names that mean the authors' API inside isolates; a worker's own file of such a name is hidden by it."""

SNAPSHOTS_MAX: Final = 512
"""Isolates of one worker that may serve again; with more in flight at once the others are made for one each, since a
snapshot costs four times what a fresh isolate does."""
SPOILED_MAX: Final = 16
"""After so many isolates in a row that were not kept, most likely none will be, and a snapshot is a waste."""
UNTRIED: Final = 1_000
"""So many isolates are then made without one until another is tried."""


class Script:
    """A worker's code, compiled, and the isolates that can serve: prepared ahead of time, or left as they were made."""

    def __init__(
        self,
        worker: str,
        main: Path,
        root: Path,
        isolation: Literal["request", "worker"],
        limits: Limits,
        stage: Stage,
        faces: Faces,
    ) -> None:
        self.worker = worker
        self.main_file = main
        self.main_name = _main_name(main)
        self.root = root
        self.isolation = isolation
        self.limits = limits
        self.own_names = _own_names(root)
        self.eclipsed = frozenset(name for name in self.own_names if name in sys.modules)
        self.ready: deque[Isolate] = deque()
        """Those that served before are on the right and are taken first, for their caches are warm."""
        self._stage = stage
        self._faces = faces
        self._codes: dict[str, CodeType] = {}
        self._plains: dict[str, Plain | None] = {}
        self._snapshots = 0
        """Isolates that have one, in flight and ready."""
        self._spoiled = 0
        self._untried = 0
        self._found: dict[str, tuple[str, bool] | None] = {}
        self._shared: Isolate | None = None

    def isolate(self) -> Isolate:
        """An isolate to run an invocation in: the shared one, one that is ready, or a new one.

        Raises whatever the author's top level raises.
        """
        if self._shared is not None:
            return self._shared
        if self.ready:
            return self.ready.pop()
        isolate = self.prepare()
        if self.isolation == "worker":
            self._shared = isolate
        return isolate

    def prepare(self) -> Isolate:
        """Make a new isolate and run its top level, noting the CPU time that this takes."""
        started_ns = time.thread_time_ns()
        isolate = Isolate(self, self._faces.modules())
        prepare(isolate, self._stage)
        isolate.prepared_ns = time.thread_time_ns() - started_ns
        if POSSIBLE and self.isolation == "request":
            self._take_snapshot(isolate)
        return isolate

    def keep(self, isolate: Isolate, *, ordinary: bool = True) -> bool:
        """Let an isolate serve again if its invocation left it exactly as its top level made it; says whether it will.

        It must not stand in `sys.modules`, and nothing of the invocation may be held any longer. An invocation that
        did not end in the ordinary way leaves none.
        """
        if isolate.snapshot is None:
            return False
        if not (ordinary and isolate.snapshot.holds()):
            self._snapshots -= 1
            if ordinary:
                self._spoil()
            return False
        self._spoiled = 0
        isolate.prepared_ns = 0
        self.ready.append(isolate)
        return True

    def _take_snapshot(self, isolate: Isolate) -> None:
        if self._snapshots >= SNAPSHOTS_MAX:
            return
        if self._untried:
            self._untried -= 1
            return
        plains = {name: self._plains[name] for name in isolate.modules if name in self._plains}
        if None in plains.values():
            return
        self._stage.leave()
        isolate.snapshot = snapshot(isolate, {name: found for name, found in plains.items() if found is not None})
        if isolate.snapshot is None:
            self._spoil()
        else:
            self._snapshots += 1

    def _spoil(self) -> None:
        self._spoiled += 1
        if self._spoiled >= SPOILED_MAX:
            self._untried = UNTRIED

    def spec(self, name: str, stage: Stage) -> ModuleSpec | None:
        """Where one of the worker's own modules is; None for a name that is not its own."""
        try:
            found = self._found[name]
        except KeyError:
            found = self._found[name] = self._find(name)
        if found is None:
            return None
        path, is_package = found
        spec = ModuleSpec(name, OwnLoader(name, path, self, stage), origin=path, is_package=is_package)
        spec.has_location = True
        if is_package and spec.submodule_search_locations is not None:
            folder = self.root.joinpath(*name.split("."))
            spec.submodule_search_locations.append(str(folder))
        return spec

    def code(self, path: str, name: str) -> CodeType:
        """The compiled code of one file; a folder without `__init__.py` has none to run."""
        code = self._codes.get(path)
        if code is None:
            file = Path(path)
            source = file.read_bytes() if file.is_file() else b""
            code = self._codes[path] = compile(source, path, "exec", dont_inherit=True)
            self._plains[name] = plain(source, name)
        return code

    def _find(self, name: str) -> tuple[str, bool] | None:
        if name == self.main_name:
            return str(self.main_file), False
        head, *rest = name.split(".")
        if head not in self.own_names:
            return None
        place = self.root.joinpath(head, *rest)
        if (place / "__init__.py").is_file():
            return str(place / "__init__.py"), True
        if place.with_suffix(".py").is_file():
            return str(place.with_suffix(".py")), False
        # A folder without __init__.py is a package too, unless a real one of that name is installed.
        if place.is_dir() and (rest or PathFinder.find_spec(head) is None):
            return str(place), True
        return None

    def __repr__(self) -> str:
        return f"<Script of {self.worker}, {len(self._codes)} files, {len(self.ready)} isolates ready>"


def load(
    worker: str,
    main: Path,
    root: Path,
    isolation: Literal["request", "worker"],
    limits: Limits,
    stage: Stage,
    faces: Faces,
) -> Script:
    """Compile a worker and run its top level once; `ScriptError` says file, line and what was wrong.

    The top level and the first imports of installed packages are charged to start-up (`limits.startup_ms`). A
    folder `python_modules` beside the worker's files is importable before site-packages.
    """
    packages = root / "python_modules"
    if packages.is_dir() and str(packages) not in sys.path:
        sys.path.insert(0, str(packages))
    started_ns = time.thread_time_ns()
    try:
        script = Script(worker, main, root, isolation, limits, stage, faces)
        first = script.isolate()
        faces.check(first.main, main.name)
    except (KeyboardInterrupt, GeneratorExit):
        raise
    except BaseException as error:
        if isinstance(error, ScriptError):
            raise
        raise _script_error(error, worker=worker, main=main, root=root) from error
    finally:
        stage.leave()
    spent_ms = (time.thread_time_ns() - started_ns) / 1e6
    if spent_ms > limits.startup_ms:
        raise ScriptError(
            f"worker {worker!r} used {spent_ms:.0f} ms of CPU time at start-up, more than its "
            f"limits.startup_ms = {limits.startup_ms}: move work out of the top level of {main.name}, or raise it",
            file=str(main),
        )
    if isolation == "request":
        first.prepared_ns = 0
        script.ready.append(first)
    return script


def _script_error(error: BaseException, *, worker: str, main: Path, root: Path) -> ScriptError:
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
        f"worker {worker!r} cannot be loaded: {what} ({place})", file=file, line=line, detail=authors_trace(error)
    )


def _short(file: str, root: Path) -> str:
    path = Path(file)
    return str(path.relative_to(root)) if path.is_relative_to(root) else file


def hidden_names(root: Path) -> list[str]:
    """Own files that cannot be imported, since the standard library or the authors' API has a module of that name."""
    return sorted(_listed(root) & (sys.stdlib_module_names | _FACADES))


def _main_name(main: Path) -> str:
    """The main module's name; one that means something else to every import is set apart from it."""
    name = main.stem.replace(".", "_")
    return f"{name}_main" if name in sys.stdlib_module_names or name in _FACADES else name


def _own_names(root: Path) -> frozenset[str]:
    return frozenset(_listed(root) - sys.stdlib_module_names - _FACADES)


def _listed(root: Path) -> set[str]:
    names = set()
    for entry in root.iterdir():
        name = entry.stem if entry.suffix == ".py" else entry.name
        if name.isidentifier() and name != "python_modules" and (entry.suffix == ".py" or entry.is_dir()):
            names.add(name)
    return names
