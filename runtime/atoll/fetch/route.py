"""Which way a connection for a URL goes: straight to the host, through the configured proxy, or to a Unix socket.

The key of a route names everything that decides where its connection leads, and is the key of the pool: a connection
that was opened on one route never serves another. TLS settings are the same for all of a process.
Source: RFC 9110, section 7.3.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from atoll.config import ProxyConfig
from atoll.fetch.guard import Rules
from atoll.http.url import URL

ROUTES_MAX: Final = 4096


class Route(NamedTuple):
    """One way, by what a connection on it leads through."""

    key: str
    """Also what error texts call the upstream."""
    socket: Path | None = None
    proxy: ProxyConfig | None = None
    straight: bool = True
    """Whether the address that is connected to is the one of the URL's host: neither socket nor proxy."""


class Routes:
    """The ways of one process, as `fetch.proxy`, `fetch.no_proxy` and `fetch.unix` say."""

    def __init__(
        self,
        proxy: ProxyConfig | None = None,
        no_proxy: Sequence[str] = (),
        sockets: Mapping[str, Path] | None = None,
    ) -> None:
        self._known: dict[str, Route] = {}
        """Found ways by origin, as many as `ROUTES_MAX`."""
        self._proxy = proxy
        self._no_proxy = Rules(no_proxy)
        self._sockets = dict(sockets or {})

    def of(self, url: URL) -> Route:
        """The way for a URL."""
        route = self._known.get(url.origin)
        if route is None:
            route = self._find(url)
            if len(self._known) >= ROUTES_MAX:
                self._known.clear()
            self._known[url.origin] = route
        return route

    def _find(self, url: URL) -> Route:
        origin = url.origin
        if self._sockets and (socket := self._sockets.get(origin)) is not None:
            return Route(f"{origin} at unix:{socket}", socket, straight=False)
        if self._proxy is None or self._no_proxy.covers(url.hostname):
            return Route(origin)
        return Route(f"{origin} via {self._proxy.origin}", proxy=self._proxy, straight=False)
