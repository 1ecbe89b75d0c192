"""An isolate serves again only if nobody can tell it from a fresh one."""

import asyncio
import gc
import sys
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent, indent

import pytest

from atoll.errors import Canceled
from atoll.events import FetchEvent
from atoll.http.message import Request
from atoll.http.url import parse
from atoll.kernel import loader
from atoll.kernel.isolate import Isolate
from atoll.kernel.loader import Script
from atoll.kernel.pristine import POSSIBLE
from support.gateway import Running, opened
from support.upstream import CountingUpstream

pytestmark = pytest.mark.skipif(not POSSIBLE, reason="isolates serve once on this interpreter")

REGISTRY = "atoll_registry"
"""A shared module, as installed packages are: what invocations leave in it stays."""
SHARED = """
    kept = []
    NUMBER = 1

    class Service:
        pass

    class Hooked:
        def __init_subclass__(cls):
            kept.append(cls.__name__)
    """

SIBLINGS = {
    "sibling.py": "VALUE = 1\nTABLE = {'a': 1}\ndef tell():\n    return VALUE\n",
    "package/__init__.py": "from . import inner\n",
    "package/inner.py": "LIST = [1, 2]\nclass Thing:\n    size = 1\n",
    "late.py": "STATE = []\n",
}
TOP = """
    import asyncio
    import contextvars
    import gc
    import logging
    import re
    import sys
    import threading
    import weakref
    from typing import Any
    import atoll_registry
    import package
    import sibling
    import workers
    from atoll_registry import Service, kept
    from package.inner import Thing
    from workers import Response, WorkerEntrypoint, fetch

    COUNT = 1
    LIST = [1, 2]
    TABLE = {"one": 1, "two": {"three": 3}}
    NAMES = {"a", "b"}
    PAIR = ("a", [1, 2], [3])
    PATTERN = re.compile("[a-z]+", re.IGNORECASE)
    log = logging.getLogger(__name__)

    def helper(a: int = 1, b: list = [], *, c: str = "c") -> int:
        "A helper."
        return a

    def numbers():
        yield 1
        yield 2

    def waits(event, started):
        started.set()
        event.wait()

    class Base:
        size: int = 1
        def method(self):
            return 1

    class Other:
        pass

    class Derived(Base):
        def __init__(self):
            super().__init__()
        @staticmethod
        def still():
            return 1
        @classmethod
        def first(cls):
            return 1
        @classmethod
        def second(cls):
            return 2
        @property
        def name(self):
            return "name"

    class Second(Base):
        def __init__(self):
            super().__init__()

    class Default(WorkerEntrypoint):
        async def fetch(self, request):
            seen = eval(OBSERVED)
            await asyncio.sleep(0)
    """


@pytest.fixture(autouse=True)
def registry(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A module outside of the worker's own files."""
    folder = tmp_path_factory.mktemp("shared")
    (folder / f"{REGISTRY}.py").write_text(dedent(SHARED))
    (folder / "atoll_rebinder.py").write_text("import atoll_registry\natoll_registry.NUMBER = 2\n")
    monkeypatch.syspath_prepend(folder)
    yield
    sys.modules.pop(REGISTRY, None)
    sys.modules.pop("atoll_rebinder", None)


def source(observed: str, act: str) -> str:
    """A worker whose handler looks, then acts, then answers with what it saw."""
    return (
        dedent(TOP).replace("eval(OBSERVED)", observed)
        + indent(dedent(act).strip(), " " * 8)
        + "\n        return Response(repr(seen))\n"
    )


def script_of(running: Running) -> Script:
    """The script of the only worker."""
    script = running.gateway._services["w"].script
    assert isinstance(script, Script)
    return script


async def ask(running: Running) -> tuple[str, bool]:
    """One invocation without HTTP: what it answered, and whether the isolate that it ran in was kept."""
    ready = script_of(running).ready
    used: Isolate | None = ready[-1] if ready else None
    delivery = await running.gateway.dispatcher("w", FetchEvent(Request("GET", parse("http://x/"))))
    assert delivery.response is not None, delivery.error
    assert delivery.response.body is not None
    taken = delivery.response.body.take()
    if not isinstance(taken, bytes):
        parts = []
        while part := await taken.read():
            parts.append(part)
        taken = b"".join(parts)
    delivery.finish()
    async with asyncio.timeout(5):
        await running.gateway.dispatcher.idle()
    return taken.decode(), used is not None and used in ready


CHANGES = {
    "global rebound": ("COUNT", "globals()['COUNT'] += 1"),
    "global rebound to an equal value": ("COUNT is True", "globals()['COUNT'] = True"),
    "global added": ("'EXTRA' in globals()", "global EXTRA; EXTRA = 1"),
    "global deleted": ("'COUNT' in globals()", "del globals()['COUNT']"),
    "global renamed in place": (
        "list(globals())[-1]",
        "last = list(globals())[-1]; globals()['renamed'] = globals().pop(last)",
    ),
    "function replaced": ("helper()", "globals()['helper'] = lambda: 2"),
    "import rebound": ("sibling is None", "globals()['sibling'] = None"),
    "list grows": ("LIST", "LIST.append(3)"),
    "list changed to an equal value": ("LIST[0] is True", "LIST[0] = True"),
    "an element moves between two lists": ("PAIR", "PAIR[2].insert(0, PAIR[1].pop())"),
    "dict grows": ("TABLE", "TABLE['three'] = 3"),
    "inner dict changed": ("TABLE", "TABLE['two']['three'] = 4"),
    "dict key changed to an equal one": ("list(TABLE)", "TABLE['one'] = TABLE.pop('one')"),
    "set grows": ("sorted(NAMES)", "NAMES.add('c')"),
    "list in a tuple grows": ("PAIR", "PAIR[1].append(2)"),
    "class attribute set": ("Default.__dict__.get('seen')", "Default.seen = 1"),
    "class attribute changed": ("Base.size", "Base.size = 2"),
    "class attribute deleted": ("hasattr(Base, 'size')", "del Base.size"),
    "class annotation added": ("Base.__annotations__", "Base.__annotations__['x'] = int"),
    "bases changed": ("Derived.__bases__[0] is Base", "Derived.__bases__ = (Other,)"),
    "class renamed": ("Base.__name__", "Base.__name__ = 'Renamed'"),
    "class qualname": ("Base.__qualname__", "Base.__qualname__ = 'Renamed'"),
    "class doc": ("Base.__doc__", "Base.__doc__ = 'Doc'"),
    "abstract": ("Base.__dict__.get('__abstractmethods__')", "Base.__abstractmethods__ = frozenset({'method'})"),
    "method replaced": ("Base().method()", "Base.method = lambda self: 2"),
    "method attribute": ("Base.method.__dict__", "Base.method.mark = 1"),
    "static method's function": ("Derived.still()", "Derived.__dict__['still'].__init__(lambda: 2)"),
    "class methods swapped": (
        "Derived.first()",
        """
        one, two = Derived.__dict__["first"], Derived.__dict__["second"]
        before = [dict(one.__dict__), dict(two.__dict__)]
        functions = one.__func__, two.__func__
        one.__init__(functions[1])
        two.__init__(functions[0])
        one.__dict__.update(before[0])
        two.__dict__.update(before[1])
        """,
    ),
    "static method's attribute": ("Derived.__dict__['still'].__dict__.get('x')", "Derived.__dict__['still'].x = 1"),
    "property's getter": ("Derived().name", "Derived.__dict__['name'].__init__(lambda self: 2)"),
    "property's doc": ("Derived.name.__doc__", "Derived.name.__doc__ = 'Doc'"),
    "function attribute": ("helper.__dict__", "helper.mark = 1"),
    "function dict": ("helper.__dict__", "helper.__dict__ = {'a': 1}"),
    "defaults": ("helper()", "helper.__defaults__ = (2, 3)"),
    "list in defaults": ("helper.__defaults__", "helper.__defaults__[1].append(1)"),
    "keyword defaults": ("helper.__kwdefaults__", "helper.__kwdefaults__ = {'c': 'd'}"),
    "keyword defaults in place": ("helper.__kwdefaults__", "helper.__kwdefaults__['c'] = 'd'"),
    "code": ("helper()", "helper.__code__ = (lambda: 2).__code__"),
    "function doc": ("helper.__doc__", "helper.__doc__ = 'Another.'"),
    "function name": ("helper.__name__", "helper.__name__ = 'x'"),
    "function qualname": ("helper.__qualname__", "helper.__qualname__ = 'x'"),
    "function module": ("helper.__module__", "helper.__module__ = 'x'"),
    "annotations": ("helper.__annotations__", "helper.__annotations__ = {}"),
    "annotations in place": ("helper.__annotations__", "helper.__annotations__['a'] = str"),
    "cell": (
        "Derived.__init__.__closure__[0].cell_contents is Derived",
        "Derived.__init__.__closure__[0].cell_contents = Base",
    ),
    "cells swapped": (
        "Derived.__init__.__closure__[0].cell_contents is Derived",
        """
        one, two = Derived.__init__.__closure__[0], Second.__init__.__closure__[0]
        one.cell_contents, two.cell_contents = two.cell_contents, one.cell_contents
        """,
    ),
    "cell emptied": ("len(Derived.__init__.__closure__)", "del Derived.__init__.__closure__[0].cell_contents"),
    "module attribute": ("getattr(sys.modules[__name__], 'x', 0)", "sys.modules[__name__].x = 1"),
    "module class": ("type(sys.modules[__name__])", "sys.modules[__name__].__class__ = type('M', (type(sys),), {})"),
    "facade": ("getattr(workers, 'mark', 0)", "workers.mark = getattr(workers, 'mark', 0) + 1"),
    "facade's name": ("workers.Response is Response", "workers.Response = None"),
    "entrypoint": ("getattr(WorkerEntrypoint, 'x', 0)", "WorkerEntrypoint.x = getattr(WorkerEntrypoint, 'x', 0) + 1"),
    "facade's function": ("workers.fetch.__dict__", "workers.fetch.mark = 1"),
    "facade's function, late": ("workers.waitUntil.__dict__", "workers.waitUntil.mark = 1"),
    "spec": ("getattr(__spec__, 'x', 0)", "__spec__.x = 1"),
    "spec dict": ("__spec__.__dict__.get('x')", "__spec__.__dict__ = {**__spec__.__dict__, 'x': 1}"),
    "loader": ("getattr(__loader__, 'x', 0)", "__loader__.x = 1"),
    "path of a package": ("len(package.__path__)", "package.__path__.append('x')"),
    "own module imported late": ("'late' in sys.modules", "import late; late.STATE.append(1)"),
    "sibling": ("sibling.tell()", "sibling.VALUE += 1"),
    "sibling's table": ("sibling.TABLE", "sibling.TABLE['b'] = 1"),
    "package": ("getattr(package, 'x', 0)", "package.x = 1"),
    "class in a package": ("Thing.size", "Thing.size += 1"),
    "list in a package": ("package.inner.LIST", "package.inner.LIST.append(1)"),
    "module gone from its place": (
        "sys.modules.get('sibling') is sibling",
        "globals()['kept_'] = sys.modules.pop('sibling')",
    ),
}
"""What a handler sees first, which is the same each time, and what it then changes."""

LEAKS = {
    "function": "kept.append(helper)",
    "class": "kept.append(Base)",
    "instance": "kept.append(Base())",
    "bound method": "kept.append(Base().method)",
    "module": "kept.append(sys.modules[__name__])",
    "another name in sys.modules": "sys.modules['atoll_alias'] = sys.modules[__name__]",
    "namespace": "kept.append(globals())",
    "lambda": "kept.append(lambda: COUNT)",
    "list": "kept.append(LIST)",
    "dict": "kept.append(TABLE)",
    "set": "kept.append(NAMES)",
    "inner list": "kept.append(PAIR[1])",
    "tuple": "kept.append(PAIR)",
    "static method": "kept.append(Derived.__dict__['still'])",
    "property": "kept.append(Derived.name)",
    "class namespace": "kept.append(Base.__dict__)",
    "order of resolution": "kept.append(Derived.__mro__)",
    "bases": "kept.append(Derived.__bases__)",
    "descriptor": "kept.append(Base.__dict__['__weakref__'])",
    "closure": "kept.append(Derived.__init__.__closure__)",
    "cell": "kept.append(Derived.__init__.__closure__[0])",
    "defaults": "kept.append(helper.__defaults__)",
    "annotations": "kept.append(helper.__annotations__)",
    "function dict": "kept.append(helper.__dict__)",
    "spec": "kept.append(__spec__)",
    "loader": "kept.append(__loader__)",
    "facade": "kept.append(workers)",
    "facade's function": "kept.append(fetch)",
    "entrypoint": "kept.append(self)",
    "subclass": "kept.append(type('Sub', (Base,), {}))",
    "callback": "asyncio.get_running_loop().call_later(60, helper)",
    "exit handler": "import atexit; atexit.register(helper)",
    "exception": """
        try:
            raise ValueError
        except ValueError as error:
            kept.append(error)
        """,
    "suspended generator": "kept.append(numbers()); next(kept[-1])",
    "generator not begun": "kept.append(numbers())",
    "thread": """
        event, started = threading.Event(), threading.Event()
        thread = threading.Thread(target=waits, args=(event, started), daemon=True)
        thread.start()
        started.wait()
        kept.append(event)
        """,
    "weak reference to a function": "kept.append(weakref.ref(helper))",
    "weak reference to a class": "kept.append(weakref.ref(Base))",
    "weak reference to a module": "kept.append(weakref.ref(sys.modules[__name__]))",
    "weak reference with a callback": "kept.append(weakref.ref(Base, print))",
    "circle": "circle = [Base()]; circle.append(circle)",
    "circle of a traceback": """
        errors = []
        try:
            raise ValueError
        except ValueError as error:
            errors.append(error)
        """,
    "package's name rebound": "atoll_registry.Service = type('Service', (), {})",
    "package's name gone": "del atoll_registry.Service",
    "package replaced": "sys.modules['atoll_registry'] = type(sys)('atoll_registry'); "
    "sys.modules['atoll_registry'].__dict__.update(vars(atoll_registry))",
    "builtin rebound": "import builtins; builtins.staticmethod = type('s', (staticmethod,), {})",
    "logger replaced": "logging.root.manager.loggerDict.pop(__name__)",
}
"""What leaves something of the isolate outside of it, or changes what a fresh top level would take."""


@pytest.mark.parametrize("name", CHANGES)
async def test_what_was_changed_is_not_seen_by_the_next(tmp_path: Path, name: str) -> None:
    """An isolate that its handler changed is thrown away, and the next invocation sees a fresh one."""
    observed, act = CHANGES[name]
    async with opened(tmp_path, {"entry.py": source(observed, act), **SIBLINGS}) as running:
        assert script_of(running).ready[-1].snapshot is not None
        first, kept = await ask(running)
        assert not kept
        assert [await ask(running) for _ in range(2)] == [(first, False)] * 2


@pytest.mark.parametrize("name", LEAKS)
async def test_what_is_still_referred_to_is_not_run_in_again(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An isolate of which something is left outside is thrown away."""
    monkeypatch.setattr("builtins.staticmethod", staticmethod)
    async with opened(tmp_path, {"entry.py": source("1", LEAKS[name]), **SIBLINGS}) as running:
        assert script_of(running).ready[-1].snapshot is not None
        assert await ask(running) == ("1", False)
        for thing in sys.modules[REGISTRY].kept:
            if name == "thread":
                thing.set()
        sys.modules.pop("atoll_alias", None)
    import atexit

    atexit._clear() if name == "exit handler" else None


ORDINARY = {
    "nothing": "pass",
    "helpers": "helper(); list(numbers()); Derived().name; Derived.still(); Base().method()",
    "tables read": "TABLE['two']['three'], LIST[0], 'a' in NAMES, PAIR[1]",
    "siblings": "sibling.tell(); Thing(); package.inner.LIST",
    "pattern and log": "PATTERN.match('A'); log.debug('said %s', COUNT)",
    "gather": """
        async def one(number):
            await asyncio.sleep(0)
            return number
        assert await asyncio.gather(*(one(number) for number in range(10))) == list(range(10))
        """,
    "task group": """
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(asyncio.sleep(0)) for _ in range(3)]
        """,
    "wait_until": """
        async def later():
            await asyncio.sleep(0)
        self.ctx.wait_until(later())
        """,
    "errors caught": """
        try:
            helper(1, 2, 3)
        except TypeError as error:
            text = str(error)
        """,
    "errors gathered": """
        async def fails():
            raise ValueError("no")
        answers = await asyncio.gather(fails(), fails(), return_exceptions=True)
        """,
    "state of its own": "self.state = {'request': request}; self.env.mark = [1]",
    "imports in the handler": "import json; from workers import Headers; Headers({'a': 'b'})",
    "context variable": "contextvars.ContextVar('x').set(Base())",
    "the face's own functions": "workers.fetch, workers.wait_until, workers.handler",
}


@pytest.mark.parametrize("name", ORDINARY)
async def test_an_ordinary_handler_is_run_in_one_isolate(tmp_path: Path, name: str) -> None:
    """What computes, reads and waits leaves its isolate as it was: it serves every invocation."""
    async with opened(tmp_path, {"entry.py": source("id(TABLE)", ORDINARY[name]), **SIBLINGS}) as running:
        answers = [await ask(running) for _ in range(4)]
        assert answers == [(answers[0][0], True)] * 4


FORMS = {
    "function form": "from workers import Response\nasync def on_fetch(request):\n    return Response('ok')\n",
    "future annotations": """
        from __future__ import annotations
        from typing import TYPE_CHECKING
        from workers import Response
        if TYPE_CHECKING:
            from nowhere import Nothing
        async def on_fetch(request: Nothing) -> Response:
            return Response('ok')
        """,
    "annotations of own classes": """
        from typing import Any, Optional
        from collections.abc import Callable
        from workers import Response
        class Item:
            parts: "list[Item] | None" = None
        def change(item: Item | None, how: Callable[[int], str], what: Optional[str]) -> list[Item]:
            return []
        async def on_fetch(request, env: Any):
            change(Item(), str, None)
            return Response('ok')
        """,
    "stream": """
        from workers import Response
        async def parts():
            yield b"o"
            yield b"k"
        async def on_fetch(request):
            return Response(parts())
        """,
    "stream through an own function": """
        from workers import Response
        def change(text):
            return text.lower()
        async def on_fetch(request):
            return Response(map(change, ["O", "K"]))
        """,
    "super": """
        from workers import Response, WorkerEntrypoint
        class Default(WorkerEntrypoint):
            def __init__(self, ctx, env):
                super().__init__(ctx, env)
                self.text = "ok"
            async def fetch(self, request):
                return Response(self.text)
        """,
    "dispatch table": """
        from workers import Response
        def index(request):
            return "ok"
        ROUTES = {"/": index}
        async def on_fetch(request):
            return Response(ROUTES["/"](request))
        """,
}


@pytest.mark.parametrize("name", FORMS)
async def test_forms_of_workers_that_are_kept(tmp_path: Path, name: str) -> None:
    """Whatever its form, a plain worker's isolate serves again."""
    async with opened(tmp_path, {"entry.py": FORMS[name]}) as running:
        assert [await ask(running) for _ in range(3)] == [("ok", True)] * 3


FANOUTS = {
    "all read": "parts = await asyncio.gather(*(self.one(n) for n in range(10))); return Response.json(parts)",
    "passed on": "await asyncio.gather(*(self.one(n) for n in range(3))); return await fetch(self.env.UPSTREAM)",
    "left unread": "await asyncio.gather(*(fetch(self.env.UPSTREAM) for n in range(3))); return Response('ok')",
    "fails, and is caught": """
        try:
            await fetch("http://127.0.0.1:1/")
        except OSError:
            return Response("ok")
        """,
    "past the cap": """
        answers = await asyncio.gather(*(self.one(n) for n in range(60)), return_exceptions=True)
        return Response(str(sum(isinstance(one, Exception) for one in answers)))
        """,
}


@pytest.mark.parametrize("name", FANOUTS)
async def test_subrequests_leave_an_isolate_as_it_was(tmp_path: Path, name: str) -> None:
    """A handler that fans out, passes a body on or catches failures is run in one isolate."""
    entry = """
        import asyncio
        from workers import Response, WorkerEntrypoint, fetch
        class Default(WorkerEntrypoint):
            async def one(self, number):
                response = await fetch(f"{self.env.UPSTREAM}/item/{number}")
                return await response.json()
            async def fetch(self, request):
        """
    text = dedent(entry) + indent(dedent(FANOUTS[name]), " " * 8)
    async with CountingUpstream() as upstream:
        toml = f'vars = {{ UPSTREAM = "{upstream.origin}" }}\n'
        async with opened(tmp_path, {"entry.py": text}, toml) as running:
            assert [kept for _, kept in [await ask(running) for _ in range(3)]] == [True] * 3


async def test_those_in_flight_at_once_do_not_share(tmp_path: Path) -> None:
    """An isolate serves one invocation at a time."""
    act = "kept.append(id(TABLE)); await asyncio.sleep(0.01); kept.remove(id(TABLE))"
    async with opened(tmp_path, {"entry.py": source("id(TABLE) in kept", act), **SIBLINGS}) as running:
        for _ in range(3):
            assert set(await asyncio.gather(*(running.text() for _ in range(10)))) == {"False"}
        await running.gateway.dispatcher.idle()
        assert len(script_of(running).ready) >= 10


async def test_a_handler_that_fails_loses_its_isolate(tmp_path: Path) -> None:
    """Only what ended well is looked at."""
    files = {"entry.py": "async def on_fetch(request):\n    raise ValueError\n"}
    async with opened(tmp_path, files) as running:
        used = script_of(running).ready[-1]
        assert await running.status() == 500
        await running.gateway.dispatcher.idle()
        assert used not in script_of(running).ready


async def test_an_invocation_whose_client_left_loses_its_isolate(tmp_path: Path) -> None:
    """What was stopped from outside may have been anywhere, so it is not looked at."""
    async with opened(tmp_path, {"entry.py": FORMS["function form"]}) as running:
        used = script_of(running).ready[-1]
        delivery = await running.gateway.dispatcher("w", FetchEvent(Request("GET", parse("http://x/"))))
        delivery.finish(Canceled("the client left before the last byte"))
        await running.gateway.dispatcher.idle()
        assert used not in script_of(running).ready


async def test_a_name_that_its_package_rebound_meanwhile(tmp_path: Path) -> None:
    """An isolate that took a value which later ones will not find is not kept."""
    entry = """
        from atoll_registry import NUMBER
        import atoll_rebinder
        from workers import Response
        async def on_fetch(request):
            return Response(str(NUMBER))
        """
    async with opened(tmp_path, {"entry.py": entry}) as running:
        assert [await ask(running) for _ in range(3)] == [("1", False), ("2", False), ("2", True)]


async def test_a_base_that_is_told_of_its_subclasses(tmp_path: Path) -> None:
    """Making the class runs code of its base, which a second run would run again."""
    entry = """
        from atoll_registry import Hooked, kept
        from workers import Response
        class Item(Hooked):
            pass
        async def on_fetch(request):
            return Response(str(len(kept)))
        """
    async with opened(tmp_path, {"entry.py": entry}) as running:
        script_of(running).ready.clear()
        assert [(await ask(running))[0] for _ in range(3)] == ["2", "3", "4"]


async def test_looking_runs_no_author_code(tmp_path: Path) -> None:
    """A module whose new class has its say in each reading of an attribute is not asked."""
    act = """
        space = {"kept": kept, "Module": type(sys)}
        exec(NOSY, space)
        sys.modules[__name__].__class__ = space["Nosy"]
        """
    nosy = (
        "class Nosy(Module):\n    def __getattribute__(self, name):\n"
        "        kept.append(name)\n        return super().__getattribute__(name)\n"
    )
    entry = source("1", act.replace("NOSY", repr(nosy)))
    async with opened(tmp_path, {"entry.py": entry, **SIBLINGS}) as running:
        assert await ask(running) == ("1", False)
        assert sys.modules[REGISTRY].kept == []


async def test_preparation_is_charged_once(tmp_path: Path) -> None:
    """Who runs in an isolate that served before pays nothing for its preparation."""
    async with opened(tmp_path, {"entry.py": FORMS["function form"]}) as running:
        script = script_of(running)
        script.ready.clear()
        isolate = script.prepare()
        assert isolate.prepared_ns > 0
        assert script.keep(isolate)
        assert isolate.prepared_ns == 0


async def test_a_worker_that_is_never_left_as_it_was_pays_for_no_more_snapshots(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After some isolates in a row that were changed, only one in a thousand is tried."""
    monkeypatch.setattr(loader, "UNTRIED", 5)
    act = "globals()['COUNT'] += 1"
    async with opened(tmp_path, {"entry.py": source("COUNT", act), **SIBLINGS}) as running:
        script = script_of(running)
        script.ready.clear()
        for _ in range(loader.SPOILED_MAX):
            isolate = script.prepare()
            assert isolate.snapshot is not None
            vars(isolate.main)["COUNT"] = 2
            assert not script.keep(isolate)
        assert [script.prepare().snapshot is None for _ in range(6)] == [True] * 5 + [False]
        assert script.keep(script.prepare())
        assert script.prepare().snapshot is not None


async def test_snapshots_are_bounded_and_given_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No more isolates have one than may serve again; one that is lost by failure or change makes room for another."""
    monkeypatch.setattr(loader, "SNAPSHOTS_MAX", 3)
    async with opened(tmp_path, {"entry.py": FORMS["function form"]}) as running:
        script = script_of(running)
        script.ready.clear()
        script._snapshots = 0
        isolates = [script.prepare() for _ in range(5)]
        assert [isolate.snapshot is not None for isolate in isolates] == [True] * 3 + [False] * 2
        assert not script.keep(isolates[0], ordinary=False)
        vars(isolates[1].main)["added"] = 1
        assert not script.keep(isolates[1])
        assert not script.keep(isolates[3])
        assert script.keep(isolates[2])
        assert [script.prepare().snapshot is not None for _ in range(3)] == [True, True, False]


async def test_an_ordinary_invocation_leaves_no_garbage(tmp_path: Path) -> None:
    """Where the isolate is kept, nothing of an invocation needs the collector: not the runtime's part either."""
    async with opened(tmp_path, {"entry.py": source("1", ORDINARY["gather"]), **SIBLINGS}) as running:
        for _ in range(3):
            await ask(running)
        gc.collect()
        gc.set_debug(gc.DEBUG_SAVEALL)
        try:
            for _ in range(10):
                assert await ask(running) == ("1", True)
            gc.collect()
            left = [type(thing).__name__ for thing in gc.garbage]
        finally:
            gc.set_debug(0)
            gc.garbage.clear()
        assert left == []
