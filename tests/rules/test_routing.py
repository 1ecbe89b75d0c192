"""Which worker answers: tables, a naive reference, and the price of a match."""

import timeit
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atoll.config import WorkerConfig, parse_pattern
from atoll.errors import ConfigError
from atoll.rules.routing import Router


def worker(name: str, *routes: str) -> WorkerConfig:
    return WorkerConfig(name=name, main=Path(f"/{name}.py"), root=Path("/"), file=Path("/x.toml"), routes=routes)


ROUTES = [
    "example.com/*",
    "example.com/api/*",
    "example.com/api/users",
    "example.com/api/users*",
    "*.example.com/*",
    "*.eu.example.com/*",
    "*example.org/x*",
    "only.example.net",
    "/health",
    "/static/*",
    "[::1]/*",
]


@pytest.mark.parametrize(
    ("host", "path", "expected"),
    [
        ("example.com", "/", "example.com/*"),
        ("EXAMPLE.com", "/", "example.com/*"),
        ("example.com.", "/", "example.com/*"),
        ("example.com", "/api/x", "example.com/api/*"),
        ("example.com", "/api", "example.com/*"),
        ("example.com", "/api/users", "example.com/api/users"),
        ("example.com", "/api/users/7", "example.com/api/users*"),
        ("example.com", "/API/x", "example.com/*"),
        ("example.com", "/health", "example.com/*"),
        ("www.example.com", "/", "*.example.com/*"),
        ("a.b.example.com", "/", "*.example.com/*"),
        ("a.eu.example.com", "/", "*.eu.example.com/*"),
        ("eu.example.com", "/", "*.example.com/*"),
        ("example.org", "/x", "*example.org/x*"),
        ("www.example.org", "/xyz", "*example.org/x*"),
        ("www.example.org", "/health", "/health"),
        ("www.example.org", "/y", None),
        ("only.example.net", "/", "only.example.net"),
        ("only.example.net", "/x", None),
        ("only.example.net", "/static/a.css", "/static/*"),
        ("other", "/static", None),
        ("other", "/health", "/health"),
        ("other", "/health/", None),
        ("::1", "/", "[::1]/*"),
        ("[::1]", "/", "[::1]/*"),
        ("", "/", None),
        ("", "/health", "/health"),
    ],
)
def test_most_specific(host: str, path: str, expected: str | None) -> None:
    """Literal host before wildcard host before none; then exact before prefix and long before short."""
    assert Router((route, route) for route in ROUTES).match(host, path) == expected
    assert Router((route, route) for route in reversed(ROUTES)).match(host, path) == expected


def test_only_worker() -> None:
    """A worker without routes answers whatever no other's route matches."""
    alone = Router.of([worker("a")])
    assert alone.match("any.example", "/x") == "a"
    router = Router.of([worker("a"), worker("b", "/b/*", "b.example/*")])
    assert [router.match("x", "/b/"), router.match("b.example", "/"), router.match("x", "/c")] == ["b", "b", "a"]


def test_no_match() -> None:
    """Where every worker has routes, a request may belong to none; with no worker, every one does."""
    assert Router.of([worker("a", "/a")]).match("x", "/b") is None
    assert Router([]).match("x", "/") is None


def test_two_without_routes() -> None:
    """Two workers without routes are refused, and both are named with the files that declare them."""
    with pytest.raises(ConfigError, match=r"workers 'a' \(/x\.toml\) and 'c' \(/x\.toml\) have no routes"):
        Router.of([worker("a"), worker("b", "/b"), worker("c")])


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("/x", "/x"),
        ("example.com", "EXAMPLE.com/"),
        ("https://example.com/*", "http://example.com/*"),
        ("/*", "*/*"),
        ("/a/../b", "/b"),
    ],
)
def test_same_route(one: str, other: str) -> None:
    """Two workers that claim the same route, in whatever spelling, are refused and both are named."""
    with pytest.raises(ConfigError) as caught:
        Router([(one, "a"), (other, "b")])
    assert all(repr(part) in str(caught.value) for part in ("a", "b", one, other))
    assert Router([(one, "a"), (other, "a")]).match("example.com", parse_pattern(one).path) == "a"


def test_everything_claimed_twice() -> None:
    """A worker without routes and one that claims every path are the same claim."""
    with pytest.raises(ConfigError, match="claim the same route"):
        Router.of([worker("a"), worker("b", "/*")])


def test_bad_pattern() -> None:
    """A pattern that cannot be read names its worker and what is expected."""
    with pytest.raises(ConfigError, match=r"worker 'a': read '/\*/x', expected a \* only at the start"):
        Router([("/*/x", "a")])


def naive(routes: list[str], host: str, path: str) -> str | None:
    """Every pattern tried in turn, the most specific of those that match by the documented order."""
    found: list[tuple[tuple[bool, int, int, bool], str]] = []
    for route in routes:
        pattern = parse_pattern(route)
        host_fits = host.endswith(pattern.host) if pattern.host_wild else host == pattern.host
        path_fits = path.startswith(pattern.path) if pattern.path_wild else path == pattern.path
        if host_fits and path_fits:
            rank = (not pattern.host_wild, len(pattern.host), len(pattern.path), not pattern.path_wild)
            found.append((rank, route))
    return max(found)[1] if found else None


LABELS = st.lists(st.sampled_from(["a", "b", "aa"]), min_size=1, max_size=3).map(".".join)
PATHS = st.text("a/", max_size=4).map(lambda text: f"/{text}")
HOST_PATTERNS = st.just("") | LABELS | LABELS.map("*{}".format) | LABELS.map("*.{}".format)
PATTERNS = st.tuples(HOST_PATTERNS, PATHS, st.sampled_from(["", "*"])).map("".join)


@given(routes=st.lists(PATTERNS, unique_by=parse_pattern, max_size=12), host=LABELS, path=PATHS)
def test_as_naive(routes: list[str], host: str, path: str) -> None:
    """The tables answer as trying every pattern in turn does."""
    assert Router((route, route) for route in routes).match(host, path) == naive(routes, host, path)


@pytest.mark.timing
def test_price() -> None:
    """A match among a thousand routes takes microseconds: it does not try them in turn."""
    hosts = [f"s{n}.example.com/api/v{n % 7}/*" for n in range(900)] + [f"*.t{n}.example.net/*" for n in range(100)]
    router = Router((route, route) for route in [*hosts, "/health", "/static/*"])
    for host, path in (("s77.example.com", "/api/v0/users"), ("x.t42.example.net", "/"), ("unknown.example", "/none")):
        seconds = min(timeit.repeat(lambda host=host, path=path: router.match(host, path), number=1000, repeat=3))
        assert seconds / 1000 < 10e-6
