"""All that is an isolate's own and can be changed: what a snapshot (`pristine.py`) keeps an eye on.

The walk begins at the modules and follows what each thing holds. It ends at what cannot change and at what isolates
share: things of other modules, of the runtime, of the interpreter. A thing of a kind that is not known here is
`Unknown`, for its changes could not be seen.
"""

import builtins
import gc
import logging
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib.machinery import ModuleSpec
from operator import attrgetter
from types import (
    CellType,
    EllipsisType,
    FunctionType,
    GenericAlias,
    GetSetDescriptorType,
    MemberDescriptorType,
    ModuleType,
    NoneType,
    UnionType,
)
from typing import Any, Final

from atoll.kernel.isolate import Isolate, OwnLoader, Stage
from atoll.kernel.plain import Plain

_ATOMS: Final = frozenset({bool, bytes, complex, EllipsisType, float, int, NoneType, re.Pattern, Stage, str})
_ALIASES: Final = frozenset({GenericAlias, UnionType, type(Callable[[], None])})
_FUNCTION: Final = (
    "__code__ __defaults__ __kwdefaults__ __dict__ __annotations__ __name__ __qualname__ __doc__ __module__"
)
_NEWER: Final = [name for name in ("__type_params__",) if hasattr(FunctionType, name)]

_SETTABLE: Final[dict[type, list[str]]] = {
    FunctionType: [*_FUNCTION.split(), *_NEWER],
    type: ["__bases__", "__mro__", "__name__", "__qualname__"],
    staticmethod: ["__func__", "__dict__"],
    classmethod: ["__func__", "__dict__"],
    property: ["fget", "fset", "fdel", "__doc__"],
    CellType: ["cell_contents", "__class__"],
    ModuleType: ["__dict__", "__class__"],
    ModuleSpec: ["__dict__", "__class__"],
    OwnLoader: ["__dict__", "__class__"],
}
"""What can be set on a thing of each kind; always two or more, so that an attrgetter gives a tuple."""
GETTERS: Final = {kind: attrgetter(*names) for kind, names in _SETTABLE.items()}
INSTANCES: Final = (ModuleType, ModuleSpec, OwnLoader)
"""Kinds whose things can be given another class, which may run code when their attributes are asked for."""
_UNCHANGEABLE: Final = frozenset({GetSetDescriptorType, MemberDescriptorType})


class Unknown(Exception):
    """A thing of the isolate's own whose changes could not be seen."""


class Survey:
    """Finds all that is an isolate's own."""

    def __init__(self, isolate: Isolate, plains: Mapping[str, Plain]) -> None:
        self.owned: list[Any] = []
        self.places: list[tuple[dict[str, Any], str]] = []
        """Where a fresh top level would look for what it takes from shared modules."""
        self._shared = {id(thing) for thing in (builtins.__dict__, object, NoneType, isolate.script)}
        self._shared.update(map(id, _SETTABLE))
        self._seen: set[int] = set()
        for name, module in isolate.modules.items():
            if name in plains:
                self._take(plains[name], module, isolate.modules)
            else:
                self._take_face(name, module, plains.values())
        self._see(isolate.modules)

    # What is shared.

    def _take(self, plain: Plain, module: ModuleType, own: Mapping[str, ModuleType]) -> None:
        wanted = [(sys.modules, name) for name in plain.modules if name not in own]
        wanted += [(_namespace(name), attribute) for name, attribute in plain.taken if name not in own]
        for place, key in wanted:
            if key not in place:
                raise Unknown(key)
            self._shared.add(id(place[key]))
        self.places += wanted
        for bound, (name, attribute) in plain.bound.items():
            if name not in own:
                found = _namespace(name)[attribute] if attribute else sys.modules[name]
                if vars(module).get(bound) is not found:
                    # It was bound anew while the top level ran: a second run would take something else.
                    raise Unknown(bound)

    def _take_face(self, module: str, face: ModuleType, plains: Iterable[Plain]) -> None:
        """Of a face, functions and ordinary classes are the isolate's own; the rest is shared and refuses changes."""
        for name in face.__all__:
            if any((module, name) in plain.later or (module, "") in plain.later for plain in plains):
                # Made now if it is made when first asked for, or asking would look like a change.
                getattr(face, name)
        self._shared.add(id(type(face)))
        for value in vars(face).values():
            if type(value) is type:
                self._shared.update(map(id, value.__mro__[1:]))
            elif type(value) is not FunctionType:
                self._shared.add(id(value))

    # What is the isolate's own.

    def _see(self, value: Any) -> None:
        if id(value) in self._seen or self._constant(value):
            return
        self._seen.add(id(value))
        self.owned.append(value)
        for part in self._parts(value):
            self._see(part)

    def _constant(self, value: Any) -> bool:
        """Whether it cannot change and holds nothing of the isolate's own; several isolates may have the same one."""
        kind = type(value)
        if kind in _ATOMS or id(value) in self._shared:
            return True
        if kind is tuple:
            return all(map(self._constant, value))
        if kind in _ALIASES:
            return all(map(self._constant, value.__args__))
        if kind.__module__ == "typing" and not issubclass(kind, type):
            # typing keeps what it made and gives it to all who ask with equal arguments.
            return all(map(self._constant, getattr(value, "__args__", ())))
        if kind is logging.Logger and value.manager.loggerDict.get(value.name) is value:
            self.places.append((value.manager.loggerDict, value.name))
            self._shared.add(id(value))
            return True
        return False

    def _parts(self, value: Any) -> Iterable[Any]:
        kind = kind_of(value)
        if kind is dict:
            return [*value, *value.values()]
        if kind in (list, set, tuple):
            return list(value)
        if kind in _ALIASES:
            return [value.__args__]
        if kind is type:
            return [*self._class_parts(value)]
        if kind is FunctionType:
            self._shared.add(id(value.__code__))
            return [*GETTERS[kind](value), value.__closure__]
        if kind in GETTERS:
            return GETTERS[kind](value)
        if kind in _UNCHANGEABLE:
            return []
        raise Unknown(value)

    def _class_parts(self, cls: type) -> Iterator[Any]:
        for base in cls.__bases__:
            if id(base) in self._shared:
                self._shared.update(map(id, base.__mro__))
        if any("__init_subclass__" in vars(base) for base in cls.__mro__[1:-1]):
            raise Unknown(cls)
        yield from GETTERS[type](cls)
        # Not the proxy, which is made anew each time, but what it stands for.
        (namespace,) = gc.get_referents(vars(cls))
        yield namespace


def kind_of(value: Any) -> type:
    """The kind of a thing, as `GETTERS` knows it; all modules are of one."""
    return ModuleType if issubclass(type(value), ModuleType) else type(value)


def _namespace(module: str) -> dict[str, Any]:
    found = sys.modules.get(module)
    if not issubclass(type(found), ModuleType):
        raise Unknown(module)
    namespace: dict[str, Any] = object.__getattribute__(found, "__dict__")
    return namespace
