"""How handlers are found, checked and called."""

import functools
from abc import ABC
from typing import Any

import pytest

from atoll.errors import HandlerMissing
from atoll.http import url as urls
from atoll.http.message import Request as Inner
from atoll.http.message import Response as InnerResponse
from atoll.workers.faces import AuthorsFaces
from atoll.workers.handlers import given_count
from support.invoked import isolate

FACES = AuthorsFaces()
HEAD = "from workers import Response, Request, WorkerEntrypoint, handler\n"


async def ask(source: str) -> InnerResponse:
    """Load, check and call a worker as the kernel does."""
    module = isolate(HEAD + source)
    FACES.check(module, "x.py")
    return await FACES.fetch(module, "x.py", Inner("GET", urls.parse("https://a.example/")), "ENV", "CTX")


async def said(source: str) -> bytes | None:
    body = (await ask(source)).body
    return None if body is None else body.held


CLASS = "class Default(WorkerEntrypoint):\n"


@pytest.mark.parametrize(
    ("source", "answer"),
    [
        (CLASS + "  def fetch(self): return Response(self.env + self.ctx)", b"ENVCTX"),
        (CLASS + "  def fetch(self, request): return Response(request.url)", b"https://a.example/"),
        (CLASS + "  async def fetch(self, request): return Response(self.env)", b"ENV"),
        (CLASS + "  async def fetch(self, request, env): return Response(env)", b"ENV"),
        (CLASS + "  async def fetch(self, request, env, ctx): return Response(env + ctx)", b"ENVCTX"),
        (CLASS + "  async def fetch(self, *given): return Response(str(len(given)))", b"3"),
        (CLASS + "  async def fetch(self, request, env=None, ctx=None, more=1): return Response(ctx)", b"CTX"),
        (CLASS + "  @staticmethod\n  def fetch(request, env): return Response(env)", b"ENV"),
        (CLASS + "  @classmethod\n  def fetch(cls, request): return Response(cls.__name__)", b"Default"),
        (CLASS + "  def __init__(self, ctx, env): pass\n  def fetch(self): return Response(self.env)", b"ENV"),
        (
            CLASS + "  def __init__(self, ctx, env):\n    super().__init__(ctx, env)\n    self.a = env\n"
            "  def fetch(self): return Response(self.a + self.ctx)",
            b"ENVCTX",
        ),
        ("def on_fetch(): return Response('none')", b"none"),
        ("async def on_fetch(request): return Response('one')", b"one"),
        ("async def on_fetch(request, env, ctx): return Response(env + ctx)", b"ENVCTX"),
        ("@handler\nasync def on_fetch(request, env): return Response(env)", b"ENV"),
        ("on_fetch = lambda request, env: Response(env)", b"ENV"),
        (
            "import functools\ndef wrap(f):\n  @functools.wraps(f)\n  async def g(*a, **k): return await f(*a, **k)\n"
            "  return g\n@wrap\nasync def on_fetch(request): return Response('wrapped')",
            b"wrapped",
        ),
        (
            "import functools\ndef h(word, request, env): return Response(word + env)\n"
            "on_fetch = functools.partial(h, 'partial')",
            b"partialENV",
        ),
        ("class H:\n  async def __call__(self, request): return Response('object')\non_fetch = H()", b"object"),
        (
            "import functools\n" + CLASS + "  def wrap(f):\n    @functools.wraps(f)\n"
            "    def g(*a): return f(*a)\n    return g\n  @wrap\n  def fetch(self, request): return Response('deep')",
            b"deep",
        ),
    ],
)
async def test_handlers_are_called_with_as_much_as_they_take(source: str, answer: bytes) -> None:
    """(request, env, ctx), or the first of them; sync and async; wrapped or not."""
    assert await said(source) == answer


def test_counting_looks_through_wrappers_that_take_anything_only() -> None:
    """A wrapper with parameters of its own is called with those."""

    def inner(self: Any, request: Any, user: Any) -> None: ...

    @functools.wraps(inner)
    def wrapper(self: Any, request: Any) -> None: ...

    assert given_count(wrapper, 1) == 1
    assert given_count(print) == 3
    assert given_count(lambda: None) == 0


@pytest.mark.parametrize(
    "bases",
    ["WorkerEntrypoint, abc.ABC", "WorkerEntrypoint, Generic[T]", "Mixin, WorkerEntrypoint", "WorkerEntrypoint, Own"],
)
async def test_an_entrypoint_goes_with_any_other_class(bases: str) -> None:
    """ABC, Generic, mixins and classes with a metaclass of their own."""
    source = f"""
import abc
from typing import Generic, TypeVar
T = TypeVar("T")
class Meta(type): pass
class Own(metaclass=Meta): pass
class Mixin:
    def hello(self): return "mixed"
class Default({bases}):
    def fetch(self): return Response(self.env)
"""
    assert await said(source) == b"ENV"


async def test_a_new_instance_for_each_invocation() -> None:
    """Also where the module graph is reused."""
    module = isolate(HEAD + CLASS + "  n = 0\n  def fetch(self):\n    self.n += 1\n    return Response(str(self.n))")
    for _ in range(2):
        answer = await FACES.fetch(module, "x.py", Inner("GET", urls.parse("https://a.example/")), None, None)
        assert answer.body is not None
        assert answer.body.held == b"1"


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("", "on_fetch"),
        ("def on_scheduled(): pass", "on_fetch"),
        ("class Named(WorkerEntrypoint):\n  def fetch(self): pass", "on_fetch"),
        ("__all__ = []\n" + CLASS + "  def fetch(self): pass", "on_fetch"),
        (CLASS + "  pass", "fetch"),
    ],
)
async def test_a_missing_handler_is_named(source: str, name: str) -> None:
    """In Cloudflare's words."""
    with pytest.raises(HandlerMissing, match=f'^Python entrypoint "x.py" does not export a handler named "{name}"'):
        await ask(source)


@pytest.mark.parametrize(
    ("source", "match"),
    [
        (CLASS + "  pass\ndef on_fetch(): pass", r"^Cannot define multiple default entrypoints$"),
        (CLASS + "  pass\ndef on_queue(): pass", r"^Cannot define multiple default entrypoints$"),
        ("class Default:\n  def fetch(self): pass", r"write `class Default\(WorkerEntrypoint\)`"),
        ("on_fetch = 5", r"x\.py: on_fetch must be a function, not int"),
        (CLASS + "  fetch = 5", r"x\.py: Default\.fetch must be a function, not int"),
        ("def on_fetch(a, b, c, d): pass", r"on_fetch takes \(a, b, c, d\)"),
        (CLASS + "  def fetch(self, a, *, b): pass", r"Default\.fetch takes \(a, b\)"),
    ],
)
def test_what_is_wrong_with_handlers_is_told_at_load(source: str, match: str) -> None:
    """A TypeError that names the handler and what would be right."""
    module = isolate(HEAD + source)
    with pytest.raises(TypeError, match=match):
        FACES.check(module, "x.py")


@pytest.mark.parametrize(
    ("source", "type_name"),
    [
        ("def on_fetch(): pass", "NoneType"),
        ("def on_fetch(): return 'text'", "str"),
        ("async def on_fetch(): return {}", "dict"),
        ("async def on_fetch():\n  yield 1", "async_generator"),
        ("def on_fetch(request): return request", "Request"),
    ],
)
async def test_what_is_no_response_is_a_type_error(source: str, type_name: str) -> None:
    """It names the handler, the file and the type."""
    with pytest.raises(TypeError, match=rf"^on_fetch of x\.py must return a workers\.Response, not {type_name}$"):
        await ask(source)


async def test_a_response_that_was_read_cannot_be_sent() -> None:
    """The error says what to do."""
    with pytest.raises(TypeError, match=r"used already.*clone"):
        await ask("async def on_fetch():\n  r = Response('x')\n  await r.text()\n  return r")


async def test_a_response_in_a_global_cannot_be_sent_twice() -> None:
    """A reused isolate would otherwise send one body to two clients."""
    module = isolate(HEAD + "R = Response('x')\ndef on_fetch(): return R")
    request = Inner("GET", urls.parse("https://a.example/"))
    await FACES.fetch(module, "x.py", request, None, None)
    with pytest.raises(TypeError, match="new Response for each request"):
        await FACES.fetch(module, "x.py", request, None, None)


async def test_what_a_handler_raises_comes_out() -> None:
    """As it was raised."""
    with pytest.raises(KeyError, match="x"):
        await ask("def on_fetch(): raise KeyError('x')")


async def test_the_request_leaves_redirects_to_the_client() -> None:
    """So that fetch(request) proxies them unfollowed."""
    assert await said("def on_fetch(request): return Response(request.redirect)") == b"manual"


def test_abc_is_abstract_still() -> None:
    """The entrypoint does not get in the way of other classes' `__new__`."""
    module = isolate(
        HEAD + "import abc\nclass Default(WorkerEntrypoint, abc.ABC):\n  @abc.abstractmethod\n  def fetch(self): ..."
    )
    assert issubclass(module.Default, ABC)
    with pytest.raises(TypeError, match="abstract"):
        module.Default(None, None)
