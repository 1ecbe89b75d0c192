"""The module `workers`: what it has, and that no isolate sees another's changes to it."""

import importlib
import inspect
import sys
from types import ModuleType
from typing import Any

import pytest

from atoll.workers.facade import new_facade
from support.invoked import isolate, running


@pytest.fixture
def workers() -> ModuleType:
    return new_facade()


def test_star_gives_everything() -> None:
    """`from workers import *` has every name of `__all__`."""
    module = isolate("from workers import *")
    assert {"Response", "Request", "Headers", "fetch", "WorkerEntrypoint", "env", "waitUntil", "wait_until"} <= set(
        vars(module)
    )


def test_it_looks_like_a_module(workers: Any) -> None:
    """Name, spec, doc, file, repr and dir are those of a module."""
    assert (workers.__name__, workers.__spec__.name) == ("workers", "workers")
    assert workers.__doc__
    assert repr(workers) == "<module 'workers' (Atoll)>"
    assert set(workers.__all__) <= set(dir(workers))
    assert inspect.getmodule(workers) is workers
    assert workers.Response.__module__ == "workers"
    assert workers.WorkerEntrypoint.__module__ == workers.fetch.__module__ == "workers"
    assert workers.WorkerEntrypoint is workers.WorkerEntrypoint
    assert workers.FetchResponse is workers.Response


def test_it_can_be_imported_from_sys_modules(monkeypatch: pytest.MonkeyPatch, workers: Any) -> None:
    """importlib takes it as it is."""
    monkeypatch.setitem(sys.modules, "workers", workers)
    assert importlib.import_module("workers") is workers


@pytest.mark.parametrize("name", ["FormData", "Blob", "File", "DurableObject", "WorkflowEntrypoint", "asgi", "rpc"])
def test_names_that_are_not_there_yet_say_so(name: str) -> None:
    """An ImportError, whichever way the name is asked for."""
    with pytest.raises(ImportError, match=rf"workers\.{name} is not part of Atoll yet"):
        isolate(f"from workers import {name}")
    with pytest.raises(ImportError, match="is not part of Atoll yet"):
        isolate(f"import workers\nworkers.{name}")


def test_names_that_never_were_are_ordinary_errors(workers: Any) -> None:
    """AttributeError by attribute, ImportError by import."""
    with pytest.raises(AttributeError, match="has no attribute 'Respone'"):
        _ = workers.Respone
    with pytest.raises(ImportError, match="cannot import name 'Respone'"):
        isolate("from workers import Respone")


def test_what_an_isolate_sets_on_the_module_stays_there() -> None:
    """Names that were replaced, added and deleted."""
    isolate("import workers\nworkers.fetch = 1\nworkers.extra = 2\ndel workers.Response")
    other: Any = new_facade()
    assert callable(other.fetch)
    assert not hasattr(other, "extra")
    assert other.Response


def test_what_an_isolate_sets_on_functions_and_entrypoints_stays_there() -> None:
    """These are made for each isolate."""
    isolate(
        "import workers\nworkers.fetch.cache = 1\nworkers.wait_until.x = 1\nworkers.handler.x = 1\n"
        "workers.WorkerEntrypoint.registry = []"
    )
    other: Any = new_facade()
    assert not hasattr(other.fetch, "cache")
    assert not hasattr(other.wait_until, "x")
    assert not hasattr(other.handler, "x")
    assert not hasattr(other.WorkerEntrypoint, "registry")


@pytest.mark.parametrize("name", ["Response", "Request", "Headers", "Context"])
def test_shared_classes_refuse_changes(name: str, workers: Any) -> None:
    """As the builtin types do; the text says what to do."""
    face = getattr(workers, name)
    with pytest.raises(TypeError, match=f"cannot set 'extra' attribute of immutable type 'workers.{name}'.*subclass"):
        face.extra = 1
    with pytest.raises(TypeError, match="cannot set '__init__'"):
        face.__init__ = None
    with pytest.raises(TypeError, match="cannot delete '__init__'"):
        del face.__init__
    for inner in face.__mro__[1:-1]:
        if inner.__module__ == "workers":
            with pytest.raises(TypeError, match="immutable"):
                inner.extra = 1


def test_an_authors_subclass_is_as_changeable_as_any_class(workers: Any) -> None:
    """Set and delete."""

    class Page(workers.Response):  # type: ignore[misc]
        pass

    Page.extra = 1  # type: ignore[attr-defined]
    del Page.extra  # type: ignore[attr-defined]
    assert not hasattr(Page, "extra")


def test_env_is_that_of_the_running_invocation(workers: Any) -> None:
    """It can be imported at top level and is looked up when it is used."""
    env = isolate("from workers import env").env

    class Env:
        NAME = "first"

    class Other:
        NAME = "second"

    with running(env=Env()):
        assert env.NAME == "first"
    with running(env=Other()):
        assert env.NAME == "second"
        env.NAME = "third"
        assert env.NAME == "third"
        with pytest.raises(AttributeError):
            _ = env.ABSENT
    assert Other.NAME == "second"


def test_env_without_an_invocation_says_where_it_may_be_used(workers: Any) -> None:
    """At module top level there is none."""
    with pytest.raises(RuntimeError, match=r"env\.NAME needs a running invocation"):
        _ = workers.env.NAME
    with pytest.raises(RuntimeError, match="wait_until needs a running invocation"):
        workers.waitUntil(None)
    assert repr(workers.env) == "<env of no invocation>"
