"""Whether an isolate is still exactly what its top level made it, so that nobody can tell it from a fresh one.

A snapshot is taken when the top level has run, and looked at again when an invocation has closed. It holds whatever of
the isolate can be changed: modules, namespaces, functions, classes, cells, tables. Two things are asked of each:
does it refer to the very same things as before (by identity, for 1 == True), and does the same number of references
lead to it? One more means that something outside still has it (a registry, a thread, a suspended generator, a
traceback), and would meet it again in the next invocation.

Invariants: looking runs no author code. References are counted first: when none leads in from outside, nobody is left
who could change anything while the rest is compared. What is of a kind that is not known here has no snapshot.
Only for plain files (`plain.py`); only where references are counted exactly, which free-threaded builds do not.
"""

import builtins
import gc
import logging
import re
import sys
import sysconfig
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib.machinery import ModuleSpec
from itertools import chain
from operator import attrgetter, getitem, is_
from sys import getrefcount
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
from weakref import getweakrefcount, getweakrefs

from atoll.kernel.isolate import Isolate, OwnLoader, Stage
from atoll.kernel.plain import Plain

COUNTED: Final = sys.implementation.name == "cpython" and not sysconfig.get_config_var("Py_GIL_DISABLED")
"""Whether this interpreter counts references exactly."""

_ATOMS: Final = frozenset({bool, bytes, complex, EllipsisType, float, int, NoneType, re.Pattern, Stage, str})
_ALIASES: Final = frozenset({GenericAlias, UnionType, type(Callable[[], None])})
_FUNCTION: Final = (
    "__code__ __defaults__ __kwdefaults__ __dict__ __annotations__ __name__ __qualname__ __doc__ __module__"
)
_NEWER: Final = [name for name in ("__type_params__", "__annotate__") if hasattr(FunctionType, name)]

_ATTRIBUTES: Final[dict[type, list[str]]] = {
    FunctionType: [*_FUNCTION.split(), *_NEWER],
    type: ["__bases__", "__mro__", "__name__", "__qualname__", "__class__"],
    staticmethod: ["__func__", "__dict__"],
    classmethod: ["__func__", "__dict__"],
    property: ["fget", "fset", "fdel", "__doc__"],
    CellType: ["cell_contents", "__class__"],
    ModuleType: ["__dict__", "__class__"],
    ModuleSpec: ["__dict__", "__class__"],
    OwnLoader: ["__dict__", "__class__"],
}
"""What can be set on a thing of each kind; always two or more, so that an attrgetter gives a tuple."""
_GETTERS: Final = {kind: attrgetter(*names) for kind, names in _ATTRIBUTES.items()}
_UNCHANGEABLE: Final = frozenset({GetSetDescriptorType, MemberDescriptorType})


class Snapshot:
    """What an isolate was when its top level had run."""

    __slots__ = (
        "_dicts",
        "_filled",
        "_groups",
        "_kept",
        "_keys",
        "_lengths",
        "_owned",
        "_places",
        "_references",
        "_tables",
        "_weak",
    )

    def __init__(self, survey: "_Survey") -> None:
        self._owned = survey.owned
        self._weak = [thing for thing in survey.owned if type(thing).__weakrefoffset__]
        # A weak reference without a callback is shared by all who ask for one, so these are counted as well.
        self._owned.extend(chain.from_iterable(map(getweakrefs, self._weak)))
        self._tables = [thing for thing in survey.owned if type(thing) in (dict, list, set)]
        # Most dicts are the empty ones of functions: their length says all.
        self._filled = [table for table in self._tables if table]
        self._dicts = [table for table in self._filled if type(table) is dict]
        self._groups = [
            (get, things)
            for kind, get in _GETTERS.items()
            if (things := [thing for thing in survey.owned if _kind(thing) is kind])
        ]
        self._places = [place for place, _ in survey.places]
        self._keys = [key for _, key in survey.places]
        self._lengths = list(map(len, self._tables))
        self._kept = self._contents()
        self._references: tuple[list[int], list[int]] = ([], [])
        self._references = self._count()

    def holds(self) -> bool:
        """Whether the isolate is still what it was; it must not stand in `sys.modules`, as it did not before."""
        try:
            return (
                self._count() == self._references
                and list(map(len, self._tables)) == self._lengths
                and all(map(is_, self._contents(), self._kept))
            )
        except (KeyError, ValueError):
            # A name is gone from a shared module; a cell was emptied.
            return False

    def _count(self) -> tuple[list[int], list[int]]:
        return list(map(getrefcount, self._owned)), list(map(getweakrefcount, self._weak))

    def _contents(self) -> list[Any]:
        """All that is referred to, in one order; a list that is extended is the quickest way to it."""
        contents: list[Any] = []
        extend = contents.extend
        for table in self._filled:
            extend(table)
        for namespace in self._dicts:
            extend(namespace.values())
        for get, things in self._groups:
            for thing in things:
                extend(get(thing))
        extend(map(getitem, self._places, self._keys))
        return contents


def snapshot(isolate: Isolate, plains: Mapping[str, Plain]) -> Snapshot | None:
    """A snapshot of an isolate that does not stand in `sys.modules`, by what its own modules took from others.

    None when it has something whose changes could not be seen.
    """
    try:
        return Snapshot(_Survey(isolate, plains))
    except (_Unknown, ValueError):
        return None


class _Unknown(Exception):
    pass


class _Survey:
    """Finds all that is an isolate's own."""

    def __init__(self, isolate: Isolate, plains: Mapping[str, Plain]) -> None:
        self.owned: list[Any] = []
        self.places: list[tuple[dict[str, Any], str]] = []
        """Where a fresh top level would look for what it takes from shared modules."""
        self._shared = {id(thing) for thing in (builtins.__dict__, object, NoneType, isolate.script)}
        self._shared.update(map(id, _ATTRIBUTES))
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
                raise _Unknown(key)
            self._shared.add(id(place[key]))
        self.places += wanted
        for bound, (name, attribute) in plain.bound.items():
            if name not in own:
                found = _namespace(name)[attribute] if attribute else sys.modules[name]
                if vars(module).get(bound) is not found:
                    # It was bound anew while the top level ran: a second run would take something else.
                    raise _Unknown(bound)

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
        kind = _kind(value)
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
            return [*_GETTERS[kind](value), value.__closure__]
        if kind in _GETTERS:
            return _GETTERS[kind](value)
        if kind in _UNCHANGEABLE:
            return []
        raise _Unknown(value)

    def _class_parts(self, cls: type) -> Iterator[Any]:
        for base in cls.__bases__:
            if id(base) in self._shared:
                self._shared.update(map(id, base.__mro__))
        if any("__init_subclass__" in vars(base) for base in cls.__mro__[1:-1]):
            raise _Unknown(cls)
        yield from _GETTERS[type](cls)
        # Not the proxy, which is made anew each time, but what it stands for.
        (namespace,) = gc.get_referents(vars(cls))
        yield namespace


def _kind(value: Any) -> type:
    return ModuleType if issubclass(type(value), ModuleType) else type(value)


def _namespace(module: str) -> dict[str, Any]:
    found = sys.modules.get(module)
    if not issubclass(type(found), ModuleType):
        raise _Unknown(module)
    namespace: dict[str, Any] = object.__getattribute__(found, "__dict__")
    return namespace
