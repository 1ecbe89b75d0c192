"""Which worker answers a host and a path.

The most specific pattern wins: a literal host before one that begins with `*`, a longer literal after that `*`
before a shorter, and a pattern without host last; within one host an exact path before a prefix, and a longer
prefix before a shorter. A host without a fitting path gives way to the next host pattern. Host and path are
expected in the URL standard's normal form; what a pattern may be is told in `config.pattern`.
Source: Cloudflare's documentation of Workers routes, "Matching behavior".
"""

from collections.abc import Iterable

from atoll.config import RoutePattern, WorkerConfig, parse_pattern
from atoll.errors import ConfigError


class Router:
    """A table of routes, built once; a match costs a dict look-up for each distinct length of a literal."""

    def __init__(self, routes: Iterable[tuple[str, str]]) -> None:
        """Take (pattern, worker) pairs; `ConfigError` names the two workers that claim one and the same pattern."""
        claimed: dict[RoutePattern, tuple[str, str]] = {}
        literal: dict[str, _Paths] = {}
        wild: dict[str, _Paths] = {}
        for text, worker in routes:
            pattern = _parse(text, worker)
            other_text, other = claimed.setdefault(pattern, (text, worker))
            if other != worker:
                raise ConfigError(
                    f"routes: workers {other!r} and {worker!r} claim the same route, {other_text!r} and {text!r}; "
                    "each route belongs to one worker"
                )
            hosts = wild if pattern.host_wild else literal
            hosts.setdefault(pattern.host, _Paths()).add(pattern, worker)
        self._literal = literal
        self._anywhere = wild.pop("", _Paths())
        self._wild = wild
        self._wild_lengths = _descending(wild)

    @classmethod
    def of(cls, workers: Iterable[WorkerConfig]) -> "Router":
        """The table of these workers; the one without routes answers whatever no other's route matches."""
        routes: list[tuple[str, str]] = []
        unrouted: WorkerConfig | None = None
        for worker in workers:
            if not worker.routes:
                if unrouted is not None:
                    raise ConfigError(
                        f"routes: workers {unrouted.name!r} ({unrouted.file}) and {worker.name!r} ({worker.file}) "
                        'have no routes, so both would answer everything; give one of them routes = ["/path/*"]'
                    )
                unrouted = worker
            routes += [(pattern, worker.name) for pattern in worker.routes or ("/*",)]
        return cls(routes)

    def match(self, host: str, path: str) -> str | None:
        """The worker that answers; `host` without port, `path` without query."""
        host = host.lower()
        if host[-1:] == ".":
            host = host[:-1]
        elif host[:1] == "[":
            host = host[1:-1]
        paths = self._literal.get(host)
        if paths is not None and (worker := paths.match(path)) is not None:
            return worker
        # A slice longer than the host is the host itself, which a shorter literal may equal: the * stands for
        # nothing then, and the match is right.
        for length in self._wild_lengths:
            paths = self._wild.get(host[-length:])
            if paths is not None and (worker := paths.match(path)) is not None:
                return worker
        return self._anywhere.match(path)


class _Paths:
    """The path patterns of one host pattern."""

    __slots__ = ("_exact", "_lengths", "_prefixes")

    def __init__(self) -> None:
        self._exact: dict[str, str] = {}
        self._prefixes: dict[str, str] = {}
        self._lengths: tuple[int, ...] = ()

    def add(self, pattern: RoutePattern, worker: str) -> None:
        if pattern.path_wild:
            self._prefixes[pattern.path] = worker
            self._lengths = _descending(self._prefixes)
        else:
            self._exact[pattern.path] = worker

    def match(self, path: str) -> str | None:
        worker = self._exact.get(path)
        if worker is not None:
            return worker
        for length in self._lengths:
            worker = self._prefixes.get(path[:length])
            if worker is not None:
                return worker
        return None


def _descending(literals: Iterable[str]) -> tuple[int, ...]:
    return tuple(sorted({len(literal) for literal in literals}, reverse=True))


def _parse(text: str, worker: str) -> RoutePattern:
    try:
        return parse_pattern(text)
    except ValueError as error:
        raise ConfigError(f"routes: worker {worker!r}: read {text!r}, expected {error}") from None
