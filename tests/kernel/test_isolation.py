"""Two invocations never see each other, and the modules of an isolate look ordinary from inside."""

import asyncio
import colorsys
import logging
import sys
from pathlib import Path

import pytest

from support.gateway import opened

MUTATES = """
    import asyncio
    from workers import Response, WorkerEntrypoint
    import sibling
    from pkg import inner

    COUNT = 0
    ITEMS = []

    class Default(WorkerEntrypoint):
        seen = 0

        async def fetch(self, request):
            global COUNT
            COUNT += 1
            ITEMS.append(1)
            Default.seen += 1
            sibling.STATE["n"] = sibling.STATE.get("n", 0) + 1
            inner.bump()
            WorkerEntrypoint.leaked = getattr(WorkerEntrypoint, "leaked", 0) + 1
            await asyncio.sleep(0.01)
            import workers
            workers.mark = getattr(workers, "mark", 0) + 1
            return Response.json([COUNT, len(ITEMS), Default.seen, sibling.STATE["n"], inner.VALUE,
                                  WorkerEntrypoint.leaked, workers.mark])
    """
FILES = {
    "entry.py": MUTATES,
    "sibling.py": "STATE = {}\n",
    "pkg/__init__.py": "",
    "pkg/inner.py": "VALUE = 0\ndef bump():\n    global VALUE\n    VALUE += 1\n",
}


async def test_requests_do_not_see_each_other(tmp_path: Path) -> None:
    """Globals, class attributes, lists, sibling modules and the facade are fresh, in turn and interleaved."""
    async with opened(tmp_path, FILES) as running:
        for _ in range(3):
            assert await running.json() == [1] * 7
        assert await asyncio.gather(*(running.json() for _ in range(20))) == [[1] * 7] * 20


async def test_worker_isolation_shares(tmp_path: Path) -> None:
    """With isolation = "worker" the module graph is one for the process, as on Cloudflare."""
    async with opened(tmp_path, FILES, 'isolation = "worker"') as running:
        assert await running.json() == [1] * 7
        assert await running.json() == [2] * 7


ORDINARY = """
    from __future__ import annotations
    import importlib, pickle, sys, typing, asyncio, inspect, collections, enum, logging
    from dataclasses import dataclass, field
    from typing import NamedTuple
    from pydantic import BaseModel
    from workers import Response, WorkerEntrypoint
    import pkg.first
    from pkg import second as renamed
    import circular_a

    log = logging.getLogger(__name__)

    @dataclass
    class Item:
        name: str
        tags: list[str] = field(default_factory=list)
        other: typing.ClassVar[int] = 3

    class Model(BaseModel):
        item_id: int
        nested: Inner | None = None

    class Inner(BaseModel):
        x: int

    Model.model_rebuild()

    class Point(NamedTuple):
        x: int
        y: int

    class Colour(enum.Enum):
        RED = 1

    class Default(WorkerEntrypoint):
        async def fetch(self, request):
            await asyncio.sleep(0)
            import late
            here = sys.modules[__name__]
            again = importlib.import_module("pkg.first")
            item = pickle.loads(pickle.dumps(Item("a", ["b"])))
            point = pickle.loads(pickle.dumps(Point(1, 2)))
            colour = pickle.loads(pickle.dumps(Colour.RED))
            return Response.json({
                "name": __name__,
                "file": __file__.endswith("entry.py"),
                "spec": __spec__.name,
                "here": here.Item is Item,
                "dataclass": item == Item("a", ["b"]) and type(item) is Item,
                "named": type(point) is Point,
                "enum": colour is Colour.RED,
                "hints": typing.get_type_hints(Item)["name"] is str,
                "pydantic": Model(item_id="3", nested={"x": 1}).model_dump(),
                "again": again is pkg.first,
                "relative": pkg.first.sibling_value(),
                "renamed": renamed.VALUE,
                "circular": circular_a.b_name(),
                "late": late.VALUE,
                "source": inspect.getsource(Inner).startswith("class Inner"),
                "module": sys.modules[Item.__module__] is here,
                "path": pkg.__path__[0].endswith("pkg"),
                "loop_import": __import__("pkg.second").second.VALUE,
                "plain_folder": importlib.import_module("plain.leaf").VALUE,
            })
    """
ORDINARY_FILES = {
    "entry.py": ORDINARY,
    "late.py": "VALUE = 'late'\n",
    "pkg/__init__.py": "",
    "pkg/first.py": (
        "from . import second\nfrom .second import VALUE\ndef sibling_value():\n    return second.VALUE + VALUE\n"
    ),
    "pkg/second.py": "VALUE = 2\n",
    "plain/leaf.py": "VALUE = 'leaf'\n",
    "circular_a.py": "import circular_b\nNAME = 'a'\ndef b_name():\n    return circular_b.name_of_a()\n",
    "circular_b.py": "import circular_a\ndef name_of_a():\n    return circular_a.NAME\n",
}


async def test_modules_look_ordinary(tmp_path: Path) -> None:
    """What a module may do with itself in plain Python, it may do in an isolate, interleaved too."""
    expected = {
        "name": "entry",
        "file": True,
        "spec": "entry",
        "here": True,
        "dataclass": True,
        "named": True,
        "enum": True,
        "hints": True,
        "pydantic": {"item_id": 3, "nested": {"x": 1}},
        "again": True,
        "relative": 4,
        "renamed": 2,
        "circular": "a",
        "late": "late",
        "source": True,
        "module": True,
        "path": True,
        "loop_import": 2,
        "plain_folder": "leaf",
    }
    async with opened(tmp_path, ORDINARY_FILES) as running:
        for answer in await asyncio.gather(*(running.json() for _ in range(8))):
            assert answer == expected


TWO = """
    import asyncio
    from workers import Response
    import shared_name
    async def on_fetch(request, env, ctx):
        before = shared_name.WHO
        await asyncio.sleep(0.005)
        import shared_name as again
        from deep import leaf
        return Response.json([before, again.WHO, leaf.WHO, again is shared_name])
    """


async def test_two_workers_with_equal_module_names(tmp_path: Path) -> None:
    """Each worker's imports mean its own files, also after an await while the other one runs."""
    files = {}
    for who in ("one", "two"):
        files |= {
            f"{who}/entry.py": TWO,
            f"{who}/shared_name.py": f"WHO = '{who}'\n",
            f"{who}/deep/__init__.py": "",
            f"{who}/deep/leaf.py": f"WHO = '{who}'\n",
        }
    toml = """
        [[worker]]
        name = "one"
        main = "one/entry.py"
        routes = ["/one"]
        [[worker]]
        name = "two"
        main = "two/entry.py"
        routes = ["/two"]
        """
    async with opened(tmp_path, files, toml) as running:
        asked = [running.json(f"/{who}") for _ in range(10) for who in ("one", "two")]
        answers = await asyncio.gather(*asked)
    assert answers == [[who, who, who, True] for _ in range(10) for who in ("one", "two")]


async def test_loggers_do_not_pile_up(tmp_path: Path) -> None:
    """`getLogger(__name__)` a thousand times makes one logger, for `__name__` stays what it is."""
    source = """
        import logging
        from workers import Response
        log = logging.getLogger(__name__)
        async def on_fetch(request, env, ctx):
            return Response(log.name)
        """
    async with opened(tmp_path, {"entry.py": source}) as running:
        await running.text()
        before = len(logging.Logger.manager.loggerDict)
        for _ in range(1000):
            await running.text()
        assert len(logging.Logger.manager.loggerDict) == before


async def test_own_file_wins_over_an_installed_package_for_its_worker_only(tmp_path: Path) -> None:
    """A worker's file named as an installed, already imported package is its own; the package stays what it was."""
    import pluggy

    source = """
        from workers import Response
        import pluggy
        async def on_fetch(request, env, ctx):
            import pluggy as again
            return Response(pluggy.WHO + again.WHO)
        """
    async with opened(tmp_path, {"entry.py": source, "pluggy.py": "WHO = 'mine'\n"}) as running:
        assert await running.text() == "minemine"
        assert sys.modules["pluggy"] is pluggy


async def test_a_standard_library_name_means_the_standard_library(tmp_path: Path) -> None:
    """An own file named as a standard module is hidden by it, and a warning says so."""
    source = """
        from workers import Response
        import colorsys
        async def on_fetch(request, env, ctx):
            return Response(str(hasattr(colorsys, "rgb_to_hls")))
        """
    async with opened(tmp_path, {"entry.py": source, "colorsys.py": "WHO = 'mine'\n"}) as running:
        assert await running.text() == "True"
        assert [event for event, _ in running.seen.warnings] == ["module_hidden"]


async def test_nothing_of_an_isolate_stays_importable(tmp_path: Path) -> None:
    """When no author code runs, `workers` and the worker's modules are not in `sys.modules`."""
    async with opened(tmp_path, FILES) as running:
        await running.json()
        await running.seen.until(lambda seen: seen.ended_facts)
        assert {"workers", "entry", "sibling", "pkg", "pkg.inner"} & sys.modules.keys() == set()
    with pytest.raises(ImportError):
        __import__("sibling")


async def test_a_reload_does_not_touch_what_runs(tmp_path: Path) -> None:
    """An invocation in flight keeps the code it began with; the next one runs the new code."""
    source = """
        import asyncio
        from workers import Response
        async def on_fetch(request, env, ctx):
            await asyncio.sleep(0.1)
            import later
            return Response("v1" + later.V)
        """
    async with opened(tmp_path, {"entry.py": source, "later.py": "V = 'a'\n"}) as running:
        first = asyncio.ensure_future(running.text())
        while not running.gateway.in_flight:
            await asyncio.sleep(0)
        (tmp_path / "entry.py").write_text((tmp_path / "entry.py").read_text().replace("v1", "v2"))
        await running.gateway.reload(running.config)
        assert await running.text() == "v2a"
        assert await first == "v1a"


@pytest.mark.parametrize("name", ["my-worker.py", "worker.v2.py", "colorsys.py", "workers.py"])
async def test_any_file_name_can_be_the_main_one(tmp_path: Path, name: str) -> None:
    """The main file is found by its path, whatever it is called, and is importable under its name where it is one."""
    source = """
        import dataclasses, sys
        from workers import Response

        @dataclasses.dataclass
        class Item:
            name: "str"

        async def on_fetch(request, env, ctx):
            return Response(f"{Item('x').name} {sys.modules[__name__].Item is Item}")
        """
    toml = f'[[worker]]\nname = "w"\nmain = "{name}"\n'
    before = colorsys, sys.modules.get("colorsys")
    async with opened(tmp_path, {name: source}, toml) as running:
        assert await running.text() == "x True"
        assert sys.modules["colorsys"] is colorsys
    assert (colorsys, sys.modules["colorsys"]) == before
