"""The innermost `Fetcher`: a request goes out on a connection of the pool, and its response comes back.

A request is repeated, once, in one case only: the connection had been used before, no byte of an answer came back,
and doing it twice does no harm. That is an upstream which closed an idle connection while we wrote to it.
Source: RFC 9110, section 9.2.2; RFC 9112, section 9.3.1.
"""

from typing import Final

from atoll import current
from atoll.errors import AddressDenied, ConnectionBroken, TooManySubrequests
from atoll.fetch.guard import Guard
from atoll.fetch.hop import Hop
from atoll.fetch.http1 import Connection
from atoll.fetch.outgoing import Outgoing, outgoing
from atoll.fetch.pool import Pool
from atoll.fetch.route import Route, Routes
from atoll.http.message import Request, Response
from atoll.http.url import URL

IDEMPOTENT: Final = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})


class Client:
    """Fetches from the network."""

    def __init__(self, pool: Pool, guard: Guard, routes: Routes) -> None:
        self._pool = pool
        self._guard = guard
        self._routes = routes

    async def fetch(self, request: Request) -> Response:
        """Send the request and return the response as soon as its head is there."""
        url = request.url
        route = self._routes.of(url)
        sending = outgoing(request, route.proxy if url.scheme == "http" else None)
        redirected = type(request) is Hop
        try:
            if route.straight and not redirected:
                connection = self._pool.take(route.key)
            else:
                connection = self._idle(url, route, redirected)
            if connection is None:
                connection = await self._pool.connect(url, route, redirected=redirected)
            try:
                return await connection.exchange(sending)
            except ConnectionBroken as broken:
                if not _may_repeat(sending, connection):
                    raise
                _charge_repetition(broken)
            connection = await self._pool.connect(url, route, redirected=redirected)
            return await connection.exchange(sending)
        except BaseException:
            if request.body is not None:
                request.body.close()
            raise

    def _idle(self, url: URL, route: Route, redirected: bool) -> Connection | None:
        """An idle connection on a route that is judged each time, also when it was made without a redirect."""
        if route.socket is not None:
            self._guard.check_socket(url.origin, url.hostname, redirected=redirected)
        elif route.proxy is not None:
            self._guard.check_proxied(url.hostname, redirected=redirected)
        connection = self._pool.take(route.key)
        if connection is not None and redirected and route.straight:
            try:
                self._guard.check_address(url.hostname, connection.address, redirected=True)
            except AddressDenied:
                self._pool.park(connection)
                raise
        return connection


def _may_repeat(sending: Outgoing, connection: Connection) -> bool:
    return connection.used and not connection.answered and sending.replayable and sending.method in IDEMPOTENT


def _charge_repetition(broken: ConnectionBroken) -> None:
    """Count the second attempt like every subrequest; past the cap the first one's failure stands."""
    invoked = current.invocation.get()
    if invoked is not None:
        try:
            invoked.budget.charge_subrequest()
        except TooManySubrequests:
            raise broken from None
