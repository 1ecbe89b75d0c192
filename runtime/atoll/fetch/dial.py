"""A connection comes about: resolve, judge the addresses, connect to the first that answers, shake hands over TLS.

The address that was judged is the address that is connected to. All of it shares one bound, `fetch.connect_ms`.
Invariant: whatever fails or is cancelled on the way, no socket stays open.
Source: RFC 8305 (Happy Eyeballs), by aiohappyeyeballs; RFC 9110, section 4.3.4 (what https promises).
"""

import asyncio
import os
import socket
import ssl
from functools import partial
from pathlib import Path
from typing import Final

import aiohappyeyeballs

from atoll.errors import ConnectFailed, FetchTimeout
from atoll.fetch.address import forms_of, is_public
from atoll.fetch.guard import Guard
from atoll.fetch.http1 import Connection, Settings
from atoll.fetch.resolve import AddressInfo, Resolver
from atoll.fetch.route import Route
from atoll.fetch.tls import Sessions, trust
from atoll.fetch.tunnel import open_tunnel
from atoll.http.url import URL

NEXT_ADDRESS_S: Final = 0.25


class Dialer:
    """Makes connections."""

    def __init__(
        self, settings: Settings, resolver: Resolver, guard: Guard, *, connect_ms: int, ca_file: Path | None
    ) -> None:
        self._settings = settings
        self._resolver = resolver
        self._guard = guard
        self._connect_ms = connect_ms
        # Reading the system's authorities takes some 40 ms: a process that never speaks TLS does without, but a file
        # that was named must be proven good at the start.
        self._sessions = Sessions()
        self._tls = None if ca_file is None else trust(ca_file)

    async def dial(self, url: URL, route: Route, *, redirected: bool) -> Connection:
        """Connect to a URL's origin on its route; `ConnectFailed`, `AddressDenied` or `FetchTimeout`."""
        tls = await self._trusted() if url.scheme == "https" else None
        bound = asyncio.timeout(self._connect_ms / 1000)
        try:
            async with bound:
                sock = await self._reach(url, route, redirected)
                return await self._attach(url, route, sock, tls)
        except TimeoutError:
            if not bound.expired():
                raise
            raise FetchTimeout(
                f"no connection to {route.key} came about within {self._connect_ms} ms (fetch.connect_ms), "
                "with resolving its name and the TLS handshake"
            ) from None
        finally:
            del bound  # It keeps the task, the task its exception, and that this frame: a circle.

    async def _reach(self, url: URL, route: Route, redirected: bool) -> socket.socket:
        """A socket that is connected to the other end of the route's first leg."""
        if route.socket is not None:
            return await _connect_unix(route.socket, route)
        if route.proxy is not None:
            return await _connect(route, await self._resolver.resolve(route.proxy.hostname, route.proxy.port))
        infos = await self._resolver.resolve(url.hostname, url.port)
        return await _connect(route, self._guard.allowed(url.hostname, infos, redirected=redirected))

    async def _trusted(self) -> ssl.SSLContext:
        if self._tls is None:
            self._tls = await asyncio.to_thread(trust)
        return self._tls

    async def _attach(self, url: URL, route: Route, sock: socket.socket, tls: ssl.SSLContext | None) -> Connection:
        """Put the protocol on a connected socket, and TLS between them for https."""
        connection: Connection | None = None
        attached = False
        try:
            if route.proxy is not None and tls is not None:
                await open_tunnel(sock, route.proxy, route, url)
            address = str(route.socket or sock.getpeername()[0])
            # Where a proxy got its answer is not known: it may have been public.
            public = route.proxy is not None or (route.socket is None and is_public(forms_of(address)))
            made = connection = Connection(route.key, address, self._settings, public=public)
            transport, _ = await asyncio.get_running_loop().create_connection(
                lambda: made,
                sock=sock,
                ssl=None if tls is None else self._sessions.resuming(tls, route.key),
                server_hostname=None if tls is None else url.hostname,
            )
            if tls is not None:
                made.proven = partial(self._sessions.keep, route.key, transport.get_extra_info("ssl_object"))
            attached = True
            return connection
        except ConnectFailed:
            raise
        except ssl.SSLCertVerificationError as error:
            raise ConnectFailed(
                f"{route.key} has no certificate that can be trusted for {url.hostname}: {error.verify_message}; "
                "a private authority can be named by fetch.ca_file (wrangler-like.toml)"
            ) from None
        except ssl.SSLError as error:
            raise ConnectFailed(f"the TLS handshake with {route.key} failed: {error.reason or error}") from None
        except OSError as error:
            step = "after connecting" if tls is None else "during the TLS handshake"
            raise ConnectFailed(f"{route.key} left {step}: {error.strerror or error}") from None
        finally:
            if not attached:
                if connection is not None:
                    connection.close()
                sock.close()


async def _connect(route: Route, infos: list[AddressInfo]) -> socket.socket:
    """A connected socket to the first address that answers."""
    try:
        sock = await aiohappyeyeballs.start_connection(infos, happy_eyeballs_delay=NEXT_ADDRESS_S)
    except (OSError, RuntimeError) as error:
        error.__traceback__ = None  # A frame of it keeps the error: a circle.
        # The loops word it each in its own way; the number is the same.
        reason = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)
        addresses = ", ".join(str(info[4][0]) for info in infos)
        raise ConnectFailed(f"no connection to {route.key} at {addresses}: {reason}") from None
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


async def _connect_unix(path: Path, route: Route) -> socket.socket:
    """A socket that is connected to a Unix socket."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connected = False
    try:
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, str(path))
        connected = True
        return sock
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise ConnectFailed(f"no connection to {route.key}: {reason}") from None
    finally:
        if not connected:
            sock.close()
