"""The order of the wrappers, written once; one stack serves all invocations of a process.

    Redirected → Metered (counted, judged, bound to the deadline, in its turn) → Client

(for the hosts of `fetch.http2`: Http2). Every hop of a redirect goes through all of them: it is counted before it
leaves, its URL and its address are judged again, and it waits for a place like every other request.
"""

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from atoll.config import FetchConfig
from atoll.errors import ConfigError
from atoll.fetch.client import Client
from atoll.fetch.guard import Guard
from atoll.fetch.metered import Metered
from atoll.fetch.pool import Pool, Statistics
from atoll.fetch.redirect import Redirected
from atoll.fetch.resolve import Resolver
from atoll.fetch.route import Routes
from atoll.fetch.waits import Waits
from atoll.http.message import Request, Response
from atoll.ports import Fetcher

if TYPE_CHECKING:
    from atoll.fetch.http2 import Http2


class Stack:
    """The subrequest engine of one process: use `fetcher`, and `aclose` it at the end."""

    def __init__(self, fetcher: Fetcher, pool: Pool, resolver: Resolver, waits: Waits, http2: "Http2 | None") -> None:
        self.fetcher = fetcher
        self._pool = pool
        self._resolver = resolver
        self._waits = waits
        self._http2 = http2

    async def aclose(self) -> None:
        """Close every connection; requests under way fail."""
        if self._http2 is not None:
            await self._http2.aclose()
        await self._pool.aclose()
        await self._resolver.aclose()
        self._waits.close()

    def statistics(self) -> Statistics:
        """How many connections there are, in which state, and how many there were."""
        return self._pool.statistics()


def build(config: FetchConfig, *, clock: Callable[[], float] = time.monotonic) -> Stack:
    """Make the stack of one process; `ConfigError` when `fetch.ca_file` or `fetch.http2` cannot be used."""
    guard = Guard(config.allow, config.deny)
    resolver = Resolver(clock)
    routes = Routes(config.proxy, config.no_proxy, config.unix)
    waits = Waits()
    pool = Pool(config, resolver, guard, waits, clock)
    client: Fetcher = Client(pool, guard, routes)
    http2 = _http2(config, resolver, guard, waits) if config.http2 else None
    if http2 is not None:
        client = Chosen(client, http2, config.http2, routes)
    fetcher = Redirected(Metered(client, guard))
    return Stack(fetcher, pool, resolver, waits, http2)


class Chosen:
    """A `Fetcher` that sends https requests for the hosts of `fetch.http2` one way and all others the other.

    What goes through a proxy or to a Unix socket goes over HTTP/1.1.
    """

    def __init__(self, http1: Fetcher, http2: Fetcher, hosts: Sequence[str], routes: Routes) -> None:
        self._http1 = http1
        self._http2 = http2
        self._hosts = frozenset(hosts)
        self._routes = routes

    async def fetch(self, request: Request) -> Response:
        """Pass on."""
        url = request.url
        over_http2 = url.scheme == "https" and url.authority in self._hosts and self._routes.of(url).straight
        return await (self._http2 if over_http2 else self._http1).fetch(request)


def _http2(config: FetchConfig, resolver: Resolver, guard: Guard, waits: Waits) -> "Http2":
    try:
        from atoll.fetch.http2 import Http2
    except ImportError as error:
        raise ConfigError(
            f"fetch.http2 needs a package that is not installed ({error.name}); "
            "install it with: pip install 'atoll[http2]'"
        ) from None
    return Http2(config, resolver, guard, waits)
