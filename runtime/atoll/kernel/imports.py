"""First imports of installed packages are start-up, whenever they happen.

A handler that imports a large package inside a function pays for it once in a process, and the package is everybody's
from then on; so that CPU time is taken off the budget of the invocation that happened to be first. What a worker's own
modules do when they are imported stays charged, for they are run anew in each isolate.
Invariant: only the outermost first import counts, so nothing is taken off twice.
"""

import importlib._bootstrap as bootstrap
from collections.abc import Callable
from time import thread_time_ns
from types import ModuleType
from typing import Any

from atoll.current import invocation as current_invocation
from atoll.kernel.isolate import Stage

_SEAM = "_find_and_load"
"""What the import statement calls, in every CPython since 3.3, for a module that is not in `sys.modules`."""


class FirstImports:
    """Stands in for the import system's entry while a gateway is open."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._load: Callable[[str, Any], ModuleType] = getattr(bootstrap, _SEAM)
        self._inside = False
        self.marks: list[int] | memoryview[int] = [0, 0]
        """The second is not 0 during a first import; in memory that the supervisor reads, when there is one."""

    def install(self) -> None:
        """Begin to take first imports off budgets."""
        setattr(bootstrap, _SEAM, self._timed)

    def uninstall(self) -> None:
        """Give the import system its own entry back."""
        setattr(bootstrap, _SEAM, self._load)

    def _timed(self, name: str, import_: Any) -> ModuleType:
        invocation = current_invocation.get()
        isolate = self._stage.isolate
        if invocation is None or isolate is None or self._inside or isolate.script.spec(name, self._stage) is not None:
            return self._load(name, import_)
        self._inside = True
        self.marks[1] = 1
        started_ns = thread_time_ns()
        try:
            return self._load(name, import_)
        finally:
            self._inside = False
            self.marks[1] = 0
            invocation.budget.cpu_ns -= thread_time_ns() - started_ns
