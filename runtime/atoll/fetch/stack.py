"""The order of the wrappers, written once; one stack serves all invocations of a process.

    Redirected → Charged → Guarded → Slotted → Client

Every hop of a redirect goes through all of them: it is counted before it leaves, its URL and its address are judged
again, and it waits for a place like every other request.
"""

import time
from collections.abc import Callable

from atoll.config import FetchConfig
from atoll.fetch.client import Client
from atoll.fetch.guard import Guard, Guarded
from atoll.fetch.metered import Charged, Slotted
from atoll.fetch.pool import Pool, Statistics
from atoll.fetch.redirect import Redirected
from atoll.fetch.resolve import Resolver
from atoll.fetch.route import Routes
from atoll.fetch.waits import Waits
from atoll.ports import Fetcher


class Stack:
    """The subrequest engine of one process: use `fetcher`, and `aclose` it at the end."""

    def __init__(self, fetcher: Fetcher, pool: Pool, resolver: Resolver, waits: Waits) -> None:
        self.fetcher = fetcher
        self._pool = pool
        self._resolver = resolver
        self._waits = waits

    async def aclose(self) -> None:
        """Close every connection; requests under way fail."""
        await self._pool.aclose()
        await self._resolver.aclose()
        self._waits.close()

    def statistics(self) -> Statistics:
        """How many connections there are, in which state, and how many there were."""
        return self._pool.statistics()


def build(config: FetchConfig, *, clock: Callable[[], float] = time.monotonic) -> Stack:
    """Make the stack of one process; `ConfigError` when `fetch.ca_file` cannot be used."""
    guard = Guard(config.allow, config.deny)
    resolver = Resolver(clock)
    routes = Routes(config.proxy, config.no_proxy, config.unix)
    waits = Waits()
    pool = Pool(config, resolver, guard, waits, clock)
    fetcher = Redirected(Charged(Guarded(Slotted(Client(pool, guard, routes)), guard)))
    return Stack(fetcher, pool, resolver, waits)
