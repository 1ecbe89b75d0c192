"""Compiles generated source once: what `dataclasses` and `namedtuple` write as text for each class they make.

A fresh module graph for each invocation makes the same classes again and again. Their methods are generated as
source text that is the same each time, and compiling it is most of their cost (a dataclass: 0.8 ms, 0.25 ms without).
`exec` and `eval` of a text give the same result as of its compiled code, so the two modules are given an `exec` and
an `eval` that keep the code. Nothing else of them changes, and nothing is kept but code objects, which cannot change.
"""

import builtins
import collections
import dataclasses
from collections.abc import Callable
from functools import lru_cache
from types import CodeType, ModuleType
from typing import Any, Final

TEXTS_MAX: Final = 4096
"""Distinct generated texts that are kept; a class has up to eight."""
_MODULES: Final = (dataclasses, collections)


@lru_cache(maxsize=TEXTS_MAX)
def _compiled(text: str, mode: str) -> CodeType:
    return compile(text, "<string>", mode, dont_inherit=True)


def _memoised(module: ModuleType) -> dict[str, Callable[..., Any]]:
    """An `exec` and an `eval` that behave in this module as the builtin ones do."""

    def exec_(source: Any, globals_: dict[str, Any] | None = None, locals_: Any = None) -> None:
        if isinstance(source, str):
            source = _compiled(source, "exec")
        builtins.exec(source, vars(module) if globals_ is None else globals_, locals_)

    def eval_(source: Any, globals_: dict[str, Any] | None = None, locals_: Any = None) -> Any:
        if isinstance(source, str):
            source = _compiled(source, "eval")
        return builtins.eval(source, vars(module) if globals_ is None else globals_, locals_)

    return {"exec": exec_, "eval": eval_}


def install() -> None:
    """Give the modules that generate source their memo."""
    for module in _MODULES:
        vars(module).update(_memoised(module))


def uninstall() -> None:
    """Take it away again."""
    for module in _MODULES:
        vars(module).pop("exec", None)
        vars(module).pop("eval", None)
