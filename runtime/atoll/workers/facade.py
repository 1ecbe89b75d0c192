"""The module `workers` as one isolate sees it.

A facade is a fresh module each time, so what an author sets on it stays in the isolate. The classes behind it are
shared and refuse changes (`sealed.py`), as the builtin types do. What can be changed is made for each isolate
when it is first asked for: WorkerEntrypoint, which has to go with any metaclass and so cannot be sealed, and the
functions, which have attributes of their own. Still shared, for those who dig: the code and `__globals__` of
functions, `__subclasses__()` of the faces. In-process isolation separates state, not trust.

Names of Cloudflare's API that Atoll does not have yet raise an ImportError that says so.
"""

from collections.abc import Callable
from importlib.machinery import ModuleSpec
from types import FunctionType, ModuleType
from typing import Any, Final

from atoll.workers.context import Context, RunningEnv, wait_until
from atoll.workers.entrypoint import new_worker_entrypoint
from atoll.workers.fetching import fetch
from atoll.workers.headers import Headers
from atoll.workers.request import Request
from atoll.workers.response import Response
from atoll.workers.streams import ReadableStream

_NAME: Final = "workers"

_EXPORTED: Final = (
    "Body",
    "Context",
    "FetchResponse",
    "Headers",
    "Request",
    "Response",
    "WorkerEntrypoint",
    "env",
    "fetch",
    "handler",
    "waitUntil",
    "wait_until",
)

_LATER: Final = frozenset(
    {
        "Blob",
        "BlobEnding",
        "BlobValue",
        "DurableObject",
        "FetchKwargs",
        "File",
        "FormData",
        "FormDataValue",
        "JSBody",
        "RequestInitCfProperties",
        "WorkflowEntrypoint",
        "asgi",
        "entrypoints",
        "import_from_javascript",
        "patch_env",
        "python_from_rpc",
        "python_to_rpc",
        "rpc",
        "types",
        "utils",
        "workflows",
        "wsgi",
    }
)


def handler(function: Callable[..., Any]) -> Callable[..., Any]:
    """Mark a function as a handler. Every handler is called with the classes of this module, marked or not."""
    return function


def _copy(function: Callable[..., Any]) -> Callable[[], Any]:
    assert isinstance(function, FunctionType)
    code, scope, name, doc = function.__code__, function.__globals__, function.__name__, function.__doc__

    def copy() -> FunctionType:
        fresh = FunctionType(code, scope, name)
        fresh.__module__ = _NAME
        fresh.__doc__ = doc
        return fresh

    return copy


_MADE_LAZILY: Final[dict[str, Callable[[], Any]]] = {
    "WorkerEntrypoint": new_worker_entrypoint,
    "fetch": _copy(fetch),
    "handler": _copy(handler),
    "wait_until": _copy(wait_until),
    "waitUntil": _copy(wait_until),
}

_PREPARED: Final[dict[str, Any]] = {
    "__name__": _NAME,
    "__doc__": "The API of Python Workers, as Atoll has it.",
    "__package__": "",
    "__file__": __file__,
    "__loader__": None,
    "__spec__": ModuleSpec(_NAME, None, origin="Atoll"),
    "__all__": _EXPORTED,
    "Body": str | bytes | ReadableStream | None,
    "Context": Context,
    "FetchResponse": Response,
    "Headers": Headers,
    "Request": Request,
    "Response": Response,
    "env": RunningEnv(),
}


class Facade(ModuleType):
    """A module whose changeable things are made when they are first asked for."""

    def __getattr__(self, name: str) -> Any:
        make = _MADE_LAZILY.get(name)
        if make is not None:
            made = self.__dict__[name] = make()
            return made
        if name in _LATER:
            raise ImportError(f"workers.{name} is not part of Atoll yet", name=_NAME)
        raise AttributeError(f"module 'workers' has no attribute {name!r}", name=name, obj=self)

    def __dir__(self) -> list[str]:
        return sorted({*self.__dict__, *_EXPORTED})


def new_facade() -> Facade:
    """The module for one isolate; well under 1 µs."""
    facade = Facade.__new__(Facade)
    facade.__dict__.update(_PREPARED)
    return facade
