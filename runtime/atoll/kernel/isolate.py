"""An isolate: one fresh instance of a script's own modules, which look ordinary from inside.

A private module graph that is not in `sys.modules` breaks dataclasses, pickle, pydantic, `get_type_hints`, relative
and circular imports. So the graph of whichever isolate runs *is* in `sys.modules`: `Stage.enter` writes it there
before each step of author code, unless it stands there already. Author code sees the import system as it knows it;
nothing else is patched.

Invariants: a name of the standard library always means the standard library. A worker's own file wins over an
installed package of its name, for that worker only: such packages are put aside while its code runs.
Source: the import system's reference, sections 5.3 to 5.5.
"""

import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, SourceFileLoader
from types import CodeType, ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from atoll.kernel.loader import Script
    from atoll.kernel.pristine import Snapshot


class Isolate:
    """The modules of one isolate by name; `main` is the one that has the handlers."""

    __slots__ = ("__weakref__", "main", "modules", "prepared_ns", "script", "snapshot")

    def __init__(self, script: "Script", modules: dict[str, ModuleType]) -> None:
        self.script = script
        self.modules = modules
        self.main = ModuleType(script.main_name)
        self.prepared_ns = 0
        """CPU time that the preparation took; charged to the invocation that uses the isolate first."""
        self.snapshot: Snapshot | None = None
        """What it was when its top level had run; without one it serves one invocation."""

    def __repr__(self) -> str:
        return f"<Isolate of {self.script.worker}, {len(self.modules)} modules>"


class Stage:
    """Which isolate's modules stand in `sys.modules`; one per process, as `sys.modules` is."""

    def __init__(self) -> None:
        self.isolate: Isolate | None = None
        self._aside: dict[str, ModuleType] = {}
        self._finder = _Finder(self)

    def install(self) -> None:
        """Become the first to be asked for imports."""
        sys.meta_path.insert(0, self._finder)

    def uninstall(self) -> None:
        """Leave `sys.modules` and `sys.meta_path` as they were found."""
        self.leave()
        sys.meta_path.remove(self._finder)

    def enter(self, isolate: Isolate) -> None:
        """Make this isolate's modules the importable ones; costs 0.5 µs, so callers skip it when it is entered."""
        modules = sys.modules
        before = self.isolate
        if self._aside:
            self.leave()
        elif before is not None and before.modules.keys() != isolate.modules.keys():
            for name in before.modules.keys() - isolate.modules.keys():
                modules.pop(name, None)
        if isolate.script.eclipsed:
            self._put_aside(isolate.script.eclipsed)
        modules.update(isolate.modules)
        self.isolate = isolate

    def leave(self) -> None:
        """Take the entered isolate's modules out again, and put back what they stood in front of."""
        if self.isolate is not None:
            for name in self.isolate.modules:
                sys.modules.pop(name, None)
            self.isolate = None
        if self._aside:
            sys.modules.update(self._aside)
            self._aside = {}

    def _put_aside(self, names: frozenset[str]) -> None:
        for name in [name for name in sys.modules if name.partition(".")[0] in names]:
            self._aside[name] = sys.modules.pop(name)


def prepare(isolate: Isolate, stage: Stage) -> None:
    """Run the main module's top level; what that imports of the worker's own files comes through the finder.

    Raises whatever the author's top level raises.
    """
    script = isolate.script
    stage.enter(isolate)
    module = isolate.main
    spec = script.spec(script.main_name, stage)
    assert spec is not None
    module.__dict__.update(__file__=spec.origin, __spec__=spec, __loader__=spec.loader, __package__="", __cached__=None)
    isolate.modules[script.main_name] = sys.modules[script.main_name] = module
    spec._initializing = True  # type: ignore[attr-defined]  # as importlib does: it names circular imports
    try:
        exec(script.code(spec.origin or "", script.main_name), module.__dict__)
    finally:
        spec._initializing = False  # type: ignore[attr-defined]
        if script.eclipsed:
            stage.leave()


class _Finder:
    """Finds a worker's own modules for whichever isolate is entered; anything else is left to the next finder."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        isolate = self._stage.isolate
        return None if isolate is None else isolate.script.spec(name, self._stage)


class OwnLoader(SourceFileLoader):
    """Loads one of the worker's own files from the script's compiled code, and notes it in the isolate."""

    def __init__(self, name: str, path: str, script: "Script", stage: Stage) -> None:
        super().__init__(name, path)
        self._script = script
        self._stage = stage

    def get_code(self, fullname: str) -> CodeType:
        return self._script.code(self.path, fullname)

    def exec_module(self, module: ModuleType) -> None:
        isolate = self._stage.isolate
        assert isolate is not None
        name = module.__name__
        isolate.modules[name] = module
        try:
            exec(self.get_code(name), module.__dict__)
        except BaseException:
            isolate.modules.pop(name, None)
            raise
        # A module may put something else in its own place; that is then what the name means.
        isolate.modules[name] = sys.modules.get(name, module)
