"""Handlers: what is wrong with them, told once at load; and with how many arguments each is called.

A handler is called with as many of (request, env, ctx) as it takes. That is read from its code object at each
call, which costs less than a memory of it would: code objects are shared by all isolates, functions are not.
"""

import inspect
from functools import partial
from pathlib import PurePath
from types import FunctionType, MethodType, ModuleType
from typing import Any, Final

from atoll.workers.entrypoint import Entrypoint, default_of

_GIVEN_MAX: Final = 3
_GLOBAL_HANDLERS: Final = ("on_fetch", "on_scheduled", "on_queue")


def check(module: ModuleType, file: str) -> None:
    """Raise TypeError for handlers that could not be called."""
    name = PurePath(file).name
    default = default_of(module)
    global_handlers = [handler for handler in _GLOBAL_HANDLERS if getattr(module, handler, None) is not None]
    if default is not None and global_handlers:
        raise TypeError("Cannot define multiple default entrypoints")
    if default is None and not global_handlers:
        _check_unmarked_default(module, name)
    if default is not None:
        _check_handler(inspect.getattr_static(default, "fetch", None), f"{name}: Default.fetch", bound=1)
    elif "on_fetch" in global_handlers:
        _check_handler(module.on_fetch, f"{name}: on_fetch", bound=0)


def _check_unmarked_default(module: ModuleType, name: str) -> None:
    found = getattr(module, "Default", None)
    if isinstance(found, type) and hasattr(found, "fetch") and not issubclass(found, Entrypoint):
        raise TypeError(
            f"{name}: class Default is no entrypoint: write `class Default(WorkerEntrypoint)`, "
            "with `from workers import WorkerEntrypoint`"
        )


def _check_handler(handler: object, where: str, *, bound: int) -> None:
    if handler is None:
        return
    if isinstance(handler, staticmethod | classmethod):
        bound = int(isinstance(handler, classmethod))
        handler = handler.__func__
    if not callable(handler):
        if not hasattr(type(handler), "__get__"):
            raise TypeError(f"{where} must be a function, not {type(handler).__name__}")
        return
    try:
        parameters = list(inspect.signature(handler).parameters.values())[bound:]
    except ValueError:
        return
    needed = [one for one in parameters if one.default is one.empty and one.kind is not one.VAR_POSITIONAL]
    needed = [one for one in needed if one.kind is not one.VAR_KEYWORD]
    by_name = [one.name for one in needed if one.kind is one.KEYWORD_ONLY]
    if len(needed) > _GIVEN_MAX or by_name:
        names = ", ".join(one.name for one in needed)
        raise TypeError(
            f"{where} takes ({names}), but a handler is called with at most (request, env, ctx), by position"
        )


def given_count(handler: Any, bound: int = 0) -> int:
    """How many of (request, env, ctx) a handler takes, of whose parameters the first `bound` are given already.

    A wrapper that takes anything (`*args`) is looked through by its `__wrapped__`, as inspect.signature would.
    """
    if isinstance(handler, MethodType):
        return given_count(handler.__func__, bound + 1)
    if isinstance(handler, partial):
        return given_count(handler.func, bound + len(handler.args))
    if not isinstance(handler, FunctionType):
        call = type(handler).__call__
        return given_count(call, bound + 1) if isinstance(call, FunctionType) else _GIVEN_MAX
    code = handler.__code__
    if not code.co_flags & inspect.CO_VARARGS:
        return max(0, min(_GIVEN_MAX, code.co_argcount - bound))
    wrapped = getattr(handler, "__wrapped__", None)
    return _GIVEN_MAX if wrapped is None else given_count(wrapped, bound)
