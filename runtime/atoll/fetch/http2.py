"""Upstreams that `fetch.http2` names, over HTTP/2: many requests at once on one connection, by httpcore and h2.

Rules of this file: the doorway of httpcore, loaded only where `fetch.http2` is set. Each exchange runs in a task in an
empty context, so that what httpcore reads for several requests at once belongs to no invocation.
The address that was judged is the one that is connected to. Connections for requests that a public server redirected
are judged by the stricter rule and kept apart. An upstream that does not take up HTTP/2 is spoken to in HTTP/1.1.
httpcore sends a request's body before it reads the answer: both ends stream, but not at the same time. One
body may make httpcore's window wait here, 16 MiB. Source: RFC 9113.
"""

import asyncio
import ssl
from collections.abc import Coroutine, Iterable
from contextvars import Context
from functools import partial
from typing import Any, cast

import h2  # noqa: F401  # httpcore needs it and would say so only with the first request.
import httpcore

from atoll.config import FetchConfig
from atoll.errors import ConnectFailed, FetchTimeout
from atoll.fetch.address import forms_of, is_public
from atoll.fetch.exchange import Exchange, Head
from atoll.fetch.guard import Guard
from atoll.fetch.hop import Answer, Hop
from atoll.fetch.outgoing import outgoing
from atoll.fetch.resolve import Resolver
from atoll.fetch.tls import trust
from atoll.fetch.waits import Waits
from atoll.http.message import Request, Response

Options = Iterable[tuple[int, int, int] | tuple[int, int, bytes | bytearray] | tuple[int, int, None, int]]


class Http2:
    """A `Fetcher` from the network, over HTTP/2."""

    def __init__(self, config: FetchConfig, resolver: Resolver, guard: Guard, waits: Waits) -> None:
        self._config = config
        self._resolver = resolver
        self._guard = guard
        self._waits = waits
        self._lanes: dict[tuple[str, bool], _Lane] = {}
        self._open: set[_Lane] = set()
        self._closing: set[asyncio.Task[None]] = set()
        # Of its own, for httpcore changes what it offers.
        self._tls: ssl.SSLContext | None = None if config.ca_file is None else trust(config.ca_file)
        self._running: set[asyncio.Task[None]] = set()

    async def fetch(self, request: Request) -> Response:
        """Send the request and return the response as soon as its head is there."""
        try:
            sending = outgoing(request)
            lane = await self._lane(request.url.authority, type(request) is Hop)
            exchange = Exchange(lane.pool, sending, self._config, self._waits)
            exchange.abandoned = partial(self._retire, lane)
            exchange.send()
            lane.exchanges += 1
            exchange.task = self._start(exchange.run(), self._running)
            exchange.task.add_done_callback(partial(self._ended, lane, exchange))
            status, headers, body, address = await self._head(exchange)
        except BaseException:
            if request.body is not None:
                request.body.close()
            raise
        # Where the address is not known, the answer is judged like a public server's.
        public = address is None or is_public(forms_of(address))
        return Answer(status, headers, body, "", request.url, public=public)

    async def aclose(self) -> None:
        """Close every connection; requests under way fail."""
        self._lanes.clear()
        for task in self._running:
            task.cancel()
        while tasks := self._running | self._closing:
            await asyncio.wait(tasks)
        for lane in list(self._open):
            await lane.pool.aclose()

    async def _head(self, exchange: Exchange) -> Head:
        headers_ms = self._config.headers_ms
        bound = asyncio.timeout(headers_ms / 1000 if headers_ms else None)
        try:
            async with bound:
                return await exchange.head
        except TimeoutError:
            exchange.left()
            if not bound.expired():
                raise
            raise FetchTimeout(
                f"{exchange.peer} sent no response head within {headers_ms} ms (fetch.headers_ms)"
            ) from None
        except BaseException:
            exchange.left()
            raise
        finally:
            del bound

    async def _lane(self, authority: str, redirected: bool) -> "_Lane":
        if self._tls is None:
            self._tls = await asyncio.to_thread(trust)
        key = (authority, redirected)
        lane = self._lanes.get(key)
        if lane is None:
            pool = httpcore.AsyncConnectionPool(
                ssl_context=self._tls,
                max_connections=None,
                max_keepalive_connections=None,
                keepalive_expiry=self._config.keep_alive_s,
                http2=True,
                network_backend=_Judging(self._resolver, self._guard, redirected),
            )
            lane = self._lanes[key] = _Lane(key, pool)
            self._open.add(lane)
        return lane

    def _start(self, coroutine: Coroutine[Any, Any, None], among: set[asyncio.Task[None]]) -> asyncio.Task[None]:
        task = Context().run(asyncio.get_running_loop().create_task, coroutine)
        among.add(task)
        task.add_done_callback(among.discard)
        return task

    def _retire(self, lane: "_Lane") -> None:
        lane.retired = True
        if self._lanes.get(lane.key) is lane:
            del self._lanes[lane.key]

    def _ended(self, lane: "_Lane", exchange: Exchange, _: "asyncio.Task[None]") -> None:
        """Let go of a lane when it is empty, if an exchange on it was not whole."""
        lane.exchanges -= 1
        if not exchange.whole:
            self._retire(lane)
        if lane.retired and not lane.exchanges and lane in self._open:
            self._open.remove(lane)
            self._start(lane.pool.aclose(), self._closing)


class _Lane:
    """The connections of one host; it takes no new request once a stream on it was left early.

    httpcore neither resets such a stream nor gives its share of the connection's window back.
    """

    __slots__ = ("exchanges", "key", "pool", "retired")

    def __init__(self, key: tuple[str, bool], pool: httpcore.AsyncConnectionPool) -> None:
        self.key = key
        self.pool = pool
        self.exchanges = 0
        self.retired = False


class _Judging(httpcore.AsyncNetworkBackend):
    """Connects to addresses that were resolved and judged here."""

    def __init__(self, resolver: Resolver, guard: Guard, redirected: bool) -> None:
        self._resolver = resolver
        self._guard = guard
        self._redirected = redirected
        self._inner = cast(httpcore.AsyncNetworkBackend, httpcore.AnyIOBackend())

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Options | None = None,
    ) -> httpcore.AsyncNetworkStream:
        bound = asyncio.timeout(timeout)
        failure: Exception | None = None
        try:
            async with bound:
                infos = await self._resolver.resolve(host, port)
                for info in self._guard.allowed(host, infos, redirected=self._redirected):
                    try:
                        return await self._inner.connect_tcp(info[4][0], port, None, local_address, socket_options)
                    except httpcore.ConnectError as error:
                        failure = error
        except TimeoutError:
            if not bound.expired():
                raise
            raise httpcore.ConnectTimeout from None
        finally:
            del bound
        raise ConnectFailed(f"no connection to https://{host}:{port}: {failure}")
