"""A top level is plain only if running it again could not give anything else."""

from pathlib import Path
from textwrap import dedent

import pytest

from atoll.kernel.plain import ELEMENTS_MAX, plain
from support.gateway import opened

PLAIN = {
    "nothing": "",
    "docstring": '"""What it is."""\n',
    "imports": "import a, a.b, a.b.c as d\nfrom e import f as g\nfrom . import h\nfrom .i import j\n",
    "constants": "A = 1\nB = -A * 60 + 2\nC: int = 3\nD = E = 'e'\nF, G = 1, (2, 3)\nH: str\nI = [1] * 3\n",
    "tables": "A = {'a': [1, 2], 'b': {1, 2}}\nB = (A, [A])\n",
    "imported values": "import a\nfrom b import c\nA = [a, c]\n",
    "functions": """
        A = 1
        def f(a: int, /, b: 'str' = A, *c: int, d: list[int] | None = None, **e: int) -> dict[str, int]:
            g()
        """,
    "function table": "def f(): pass\nTABLE = {'f': f}\n",
    "coroutine functions": "async def f(): await g()\nasync def h(): yield 1\n",
    "bodies are not looked into": "def f():\n    global x\n    import time\n    x = time.time()\n",
    "classes": """
        import a
        from b import C
        class D(C, a.E):
            "A class."
            __slots__ = ("x",)
            y: int = 1
            z = {"a": y}
            class Inner(Exception):
                pass
            def f(self): return super().f()
            @staticmethod
            def g(): pass
            @classmethod
            def h(cls): pass
            @property
            def i(self): pass
        """,
    "patterns": "import re\nA = re.compile('a')\nB = [re.compile('b', re.I | re.M)]\nC = re.compile('c', flags=re.X)\n",
    "loggers": "import logging\nA = logging.getLogger(__name__)\nB = logging.getLogger('b')\n",
    "for type checkers": """
        import typing
        from typing import TYPE_CHECKING
        if TYPE_CHECKING:
            x = f()
        if typing.TYPE_CHECKING:
            y = f()
        """,
    "run as a script": "if __name__ == '__main__':\n    main()\n",
    "deferred annotations": "from __future__ import annotations\ndef f(a: g(), b: int if c else d): pass\nx: h() = 1\n",
}

NOT_PLAIN = {
    "call": "A = f()\n",
    "time": "import time\nA = time.time()\n",
    "uuid": "from uuid import uuid4\nA = uuid4()\n",
    "environment": "import os\nA = os.environ['HOME']\n",
    "attribute of an import": "import a\nA = a.b\n",
    "call in a table": "A = [1, f()]\n",
    "call in a default": "def f(a=g()): pass\n",
    "call in an annotation": "def f(a: g()): pass\n",
    "call in a class": "class A:\n    a = f()\n",
    "call as a statement": "print()\n",
    "star import": "from a import *\n",
    "decorator": "import a\n@a.b\ndef f(): pass\n",
    "decorator of a class": "from dataclasses import dataclass\n@dataclass\nclass A:\n    a: int\n",
    "decorator of a method": "from functools import cache\nclass A:\n    @cache\n    def f(self): pass\n",
    "shadowed property by import": "from a import property\nclass A:\n    @property\n    def f(self): pass\n",
    "shadowed property by function": "def property(f): pass\nclass A:\n    @property\n    def f(self): pass\n",
    "shadowed property in the class": "class A:\n    def property(f): pass\n    @property\n    def f(self): pass\n",
    "metaclass": "import a\nclass A(metaclass=a.B): pass\n",
    "keyword of a class": "class A(b=1): pass\n",
    "base that is called": "class A(f()): pass\n",
    "base with a subscript": "from typing import Generic, T\nclass A(Generic[T]): pass\n",
    "hook of subclasses": "class A:\n    def __init_subclass__(cls): f()\nclass B(A): pass\n",
    "hook of subscripts": "class A:\n    def __class_getitem__(cls, of): f()\ndef g(a: A[1]): pass\n",
    "hook of subscripts, assigned": "import a\nclass A:\n    __class_getitem__ = a\n",
    "hook of module attributes": "def __getattr__(name): return f()\n",
    "path of a package": "__path__ = ['a']\n",
    "own name": "__name__ = 'a'\n",
    "try": "try:\n    import a\nexcept ImportError:\n    a = None\n",
    "with": "import a\nwith a: pass\n",
    "for": "for a in (1, 2): pass\n",
    "while": "while False: pass\n",
    "if": "A = 1\nif A: B = 2\n",
    "type checking, of another": "from a import TYPE_CHECKING\nif TYPE_CHECKING: pass\n",
    "type checking, otherwise": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    pass\nelse:\n    f()\n",
    "global": "global a\n",
    "del": "A = 1\ndel A\n",
    "walrus": "A = (B := 1)\n",
    "comprehension": "A = [a for a in (1, 2)]\n",
    "generator expression": "A = (a for a in (1, 2))\n",
    "conditional": "A = 1 if B else 2\n",
    "comparison": "A = 1\nB = A == 1\n",
    "lambda": "A = lambda: 1\n",
    "augmented assignment": "A = 1\nA += 1\n",
    "attribute assignment": "import a\na.b = 1\n",
    "item assignment": "A = {}\nA['a'] = 1\n",
    "starred": "A = [1]\nB = [*A]\n",
    "dict unpacked": "A = {}\nB = {**A}\n",
    "formatted text": "A = 1\nB = f'{A}'\n",
    "operator on an import": "from a import b\nA = b + 1\n",
    "operator on a table of imports": "from a import b\nA = [b] + [1]\n",
    "imported key": "from a import b\nA = {b: 1}\n",
    "imported element of a set": "from a import b\nA = {b}\n",
    "unknown name": "A = b\n",
    "import bound anew": "import a\na = 1\n",
    "import bound anew by an import": "import a\nfrom b import a\n",
    "another re": "from a import re\nA = re.compile('a')\n",
    "re bound anew": "import re\ndef re(): pass\nA = re.compile('a')\n",
    "pattern of a call": "import re\nA = re.compile(f())\n",
    "logger of a call": "import logging\nA = logging.getLogger(f())\n",
    "logger of many": "import logging\nA = logging.getLogger('a').setLevel(1)\n",
    "large table": f"A = [{'1, ' * (ELEMENTS_MAX + 1)}]\n",
    "large tables": f"A = [{'1, ' * ELEMENTS_MAX}]\nB = [1]\n",
    "import in a class": "class A:\n    import a\n",
    "assertion": "assert True\n",
    "raise": "raise ValueError\n",
}


@pytest.mark.parametrize("name", PLAIN)
def test_plain(name: str) -> None:
    """These give the same each time."""
    assert plain(dedent(PLAIN[name]), "entry") is not None


@pytest.mark.parametrize("name", NOT_PLAIN)
def test_not_plain(name: str) -> None:
    """These might not, or are not known to."""
    assert plain(dedent(NOT_PLAIN[name]), "entry") is None


def test_a_module_that_is_main_runs_its_script() -> None:
    """In a module of the name `__main__` the test for it holds, so what it guards is run."""
    assert plain("if __name__ == '__main__':\n    main()\n", "__main__") is None


def test_what_was_taken_is_told() -> None:
    """Modules, their attributes that the top level read, and the names that hold either."""
    found = plain(
        "import a.b\nimport c.d as e\nfrom f import g as h\nclass A(a.b.X, e.Y): pass\ndef i(j: int): pass\n", "entry"
    )
    assert found is not None
    assert found.modules == {"a", "a.b", "c", "c.d", "f"}
    assert found.taken == {
        ("a", "b"),
        ("a.b", "X"),
        ("c", "d"),
        ("c.d", "Y"),
        ("f", "g"),
        ("builtins", "int"),
    }
    assert found.bound == {"a": ("a", ""), "e": ("c", "d"), "h": ("f", "g")}


FRESH = {
    "clock": "import time\nSTARTED = time.perf_counter_ns()\n",
    "identifier": "import uuid\nSTARTED = uuid.uuid4()\n",
    "sibling": "from sibling import STARTED\n",
    "fallback": "import time\ntry:\n    STARTED = time.perf_counter_ns()\nexcept ImportError:\n    STARTED = 0\n",
}


@pytest.mark.parametrize("name", FRESH)
async def test_what_is_not_plain_is_run_for_each(tmp_path: Path, name: str) -> None:
    """A top level that may give something else is run for each invocation."""
    source = (
        FRESH[name] + "from workers import Response\nasync def on_fetch(request):\n    return Response(str(STARTED))\n"
    )
    async with opened(tmp_path, {"entry.py": source, "sibling.py": FRESH["clock"]}) as running:
        answers = [await running.text() for _ in range(4)]
        assert len(set(answers)) == 4
