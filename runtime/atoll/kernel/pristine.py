"""Whether an isolate is still exactly what its top level made it, so that nobody can tell it from a fresh one.

A snapshot is taken when the top level has run, and looked at again when an invocation has closed. It knows whatever of
the isolate can be changed (`survey.py`). Two things are asked of each: does it hold the very same things as before (by
identity, for 1 == True), and does the same number of references lead to it? One more means that something outside
still has it (a registry, a thread, a suspended generator, a traceback), and would meet it again in the next invocation.

Invariants: looking runs no author code. References are counted first: when none leads in from outside, nobody is left
who could change anything while the rest is compared. Both times everything is counted in the same way, and the
isolate does not stand in `sys.modules`.
Only for plain files (`plain.py`), and not on every interpreter (`POSSIBLE`).
"""

import sys
import sysconfig
from collections.abc import Collection, Mapping
from itertools import chain
from operator import getitem, is_
from sys import getrefcount
from typing import Any, Final
from weakref import getweakrefcount, getweakrefs

from atoll.kernel.isolate import Isolate
from atoll.kernel.plain import Plain
from atoll.kernel.survey import GETTERS, INSTANCES, Survey, Unknown, kind_of

POSSIBLE: Final = (
    sys.implementation.name == "cpython"
    and not sysconfig.get_config_var("Py_GIL_DISABLED")
    and sys.version_info < (3, 14)
)
"""Whether this interpreter counts references exactly, and has evaluated annotations when the top level has run."""


class Snapshot:
    """What an isolate was when its top level had run; everything is listed beforehand, so that looking is quick."""

    __slots__ = (
        "_filled",
        "_instances",
        "_kept",
        "_keys",
        "_lengths",
        "_owned",
        "_places",
        "_references",
        "_tables",
        "_things",
        "_types",
        "_weak",
    )

    def __init__(self, survey: Survey) -> None:
        owned = self._owned = survey.owned
        self._weak = [thing for thing in owned if type(thing).__weakrefoffset__]
        # A weak reference without a callback is shared by all who ask for one, so these are counted as well.
        owned.extend(chain.from_iterable(map(getweakrefs, self._weak)))
        self._instances = [thing for thing in owned if isinstance(thing, INSTANCES)]
        self._types = list(map(type, self._instances))
        self._tables: list[Collection[Any]] = [thing for thing in owned if type(thing) in (dict, list, set)]
        self._lengths = list(map(len, self._tables))
        self._filled = [view for table in self._tables if table for view in _views(table)]
        self._things = [(GETTERS[kind], thing) for thing in owned if (kind := kind_of(thing)) in GETTERS]
        self._places = [place for place, _ in survey.places]
        self._keys = [key for _, key in survey.places]
        self._kept = self._contents()
        # Last, when nothing here refers to any of it any longer but the lists above.
        self._references: tuple[list[int], list[int]] = ([], [])
        self._references = self._count()

    def holds(self) -> bool:
        """Whether the isolate is still what it was."""
        try:
            return (
                self._count() == self._references
                and all(map(is_, map(type, self._instances), self._types))
                and list(map(len, self._tables)) == self._lengths
                and all(map(is_, self._contents(), self._kept))
            )
        except (KeyError, ValueError):
            # A name is gone from a shared module; a cell was emptied.
            return False

    def _count(self) -> tuple[list[int], list[int]]:
        return list(map(getrefcount, self._owned)), list(map(getweakrefcount, self._weak))

    def _contents(self) -> list[Any]:
        """What everything holds, in one row: of dicts the keys and the values, of other things what can be set.

        A list that is extended is the quickest way to it.
        """
        contents: list[Any] = []
        extend = contents.extend
        for view in self._filled:
            extend(view)
        for get, thing in self._things:
            extend(get(thing))
        extend(map(getitem, self._places, self._keys))
        return contents


def snapshot(isolate: Isolate, plains: Mapping[str, Plain]) -> Snapshot | None:
    """A snapshot of an isolate that does not stand in `sys.modules`, by what its own modules took from others.

    None when it has something whose changes could not be seen.
    """
    try:
        return Snapshot(Survey(isolate, plains))
    except (Unknown, ValueError):
        return None


def _views(table: Collection[Any]) -> list[Collection[Any]]:
    return [table, table.values()] if isinstance(table, dict) else [table]
