"""A connection comes about: resolve, judge the addresses, connect to the first that answers, shake hands over TLS.

The address that was judged is the address that is connected to. All of it shares one bound, `fetch.connect_ms`.
Invariant: whatever fails or is cancelled on the way, no socket stays open.
Source: RFC 8305 (Happy Eyeballs), by aiohappyeyeballs; RFC 9110, section 4.3.4 (what https promises).
"""

import asyncio
import os
import socket
import ssl
from pathlib import Path
from typing import Final

import aiohappyeyeballs

from atoll.errors import AddressDenied, ConfigError, ConnectFailed, FetchTimeout
from atoll.fetch.address import forms_of, is_public
from atoll.fetch.guard import Guard
from atoll.fetch.http1 import Connection, Settings
from atoll.fetch.resolve import AddressInfo, Resolver
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
        self._tls = None if ca_file is None else trust(ca_file)

    async def dial(self, url: URL, *, redirected: bool) -> Connection:
        """Connect to a URL's origin; `ConnectFailed`, `AddressDenied` or `FetchTimeout`."""
        tls = await self._trusted() if url.scheme == "https" else None
        bound = asyncio.timeout(self._connect_ms / 1000)
        try:
            async with bound:
                infos = await self._resolver.resolve(url.hostname, url.port)
                infos = self._judged(url.hostname, infos, redirected)
                return await self._attach(url, await _connect(url, infos), tls)
        except TimeoutError:
            if not bound.expired():
                raise
            raise FetchTimeout(
                f"no connection to {url.origin} came about within {self._connect_ms} ms (fetch.connect_ms), "
                "with resolving its name and the TLS handshake"
            ) from None
        finally:
            del bound  # It keeps the task, the task its exception, and that this frame: a circle.

    def _judged(self, hostname: str, infos: list[AddressInfo], redirected: bool) -> list[AddressInfo]:
        """Those of the addresses that may be connected to; `AddressDenied` if there are none."""
        allowed: list[AddressInfo] = []
        denied: AddressDenied | None = None
        for info in infos:
            try:
                self._guard.check_address(hostname, info[4][0], redirected=redirected)
            except AddressDenied as denial:
                denied = denial
            else:
                allowed.append(info)
        if denied is not None and not allowed:
            raise denied
        return allowed

    async def _trusted(self) -> ssl.SSLContext:
        if self._tls is None:
            self._tls = await asyncio.to_thread(trust)
        return self._tls

    async def _attach(self, url: URL, sock: socket.socket, tls: ssl.SSLContext | None) -> Connection:
        """Put the protocol on a connected socket, and TLS between them for https."""
        connection: Connection | None = None
        attached = False
        try:
            address = sock.getpeername()[0]
            made = connection = Connection(url.origin, address, self._settings, public=is_public(forms_of(address)))
            await asyncio.get_running_loop().create_connection(
                lambda: made, sock=sock, ssl=tls, server_hostname=None if tls is None else url.hostname
            )
            attached = True
            return connection
        except ssl.SSLCertVerificationError as error:
            raise ConnectFailed(
                f"{url.origin} has no certificate that can be trusted for {url.hostname}: {error.verify_message}; "
                "a private authority can be named by fetch.ca_file (wrangler-like.toml)"
            ) from None
        except ssl.SSLError as error:
            raise ConnectFailed(f"the TLS handshake with {url.origin} failed: {error.reason or error}") from None
        except OSError as error:
            step = "after connecting" if tls is None else "during the TLS handshake"
            raise ConnectFailed(f"{url.origin} left {step}: {error.strerror or error}") from None
        finally:
            if not attached:
                if connection is not None:
                    connection.close()
                sock.close()


async def _connect(url: URL, infos: list[AddressInfo]) -> socket.socket:
    """A connected socket to the first address that answers."""
    try:
        sock = await aiohappyeyeballs.start_connection(infos, happy_eyeballs_delay=NEXT_ADDRESS_S)
    except (OSError, RuntimeError) as error:
        error.__traceback__ = None  # A frame of it keeps the error: a circle.
        # The loops word it each in its own way; the number is the same.
        reason = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)
        addresses = ", ".join(str(info[4][0]) for info in infos)
        raise ConnectFailed(f"no connection to {url.origin} at {addresses}: {reason}") from None
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def trust(ca_file: Path | None = None) -> ssl.SSLContext:
    """The TLS client settings: the system's authorities and those of `fetch.ca_file`; names are always checked."""
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    if ca_file is not None:
        try:
            context.load_verify_locations(cafile=ca_file)
        except (OSError, ssl.SSLError) as error:
            raise ConfigError(
                f"fetch.ca_file = {str(ca_file)!r} cannot be used: {error}; expected a file of PEM certificates"
            ) from None
    return context
