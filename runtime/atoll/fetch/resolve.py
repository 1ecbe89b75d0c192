"""From a host name to its addresses: the system's resolver, asked once for all who want to know at the same time.

The cache is bounded and short-lived: it spares a look-up per connection, and does not outlive a change of the name.
Invariant: a look-up belongs to no invocation; one that is cancelled while it waits takes nothing from the others.
"""

import asyncio
import socket
from collections.abc import Callable
from contextvars import Context
from typing import Final, NamedTuple, cast

from atoll.errors import ConnectFailed
from atoll.fetch.address import forms_of, is_literal

FRESH_S: Final = 10.0
ENTRIES_MAX: Final = 1_024

AddressInfo = tuple[int, int, int, str, tuple[str, int] | tuple[str, int, int, int]]


class _Entry(NamedTuple):
    infos: list[AddressInfo]
    until_s: float


class Resolver:
    """Host names resolved, and remembered for `FRESH_S` seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._known: dict[tuple[str, int], _Entry] = {}
        self._asking: dict[tuple[str, int], asyncio.Task[list[AddressInfo]]] = {}

    async def resolve(self, hostname: str, port: int) -> list[AddressInfo]:
        """The addresses of a host in the order in which to try them; `ConnectFailed` when there are none."""
        literal = _literal(hostname, port)
        if literal is not None:
            return [literal]
        key = (hostname, port)
        entry = self._known.get(key)
        if entry is not None and entry.until_s > self._clock():
            return entry.infos
        asking = self._asking.get(key)
        if asking is None:
            asking = Context().run(asyncio.get_running_loop().create_task, self._ask(key))
            self._asking[key] = asking
            asking.add_done_callback(lambda task: self._answered(key, task))
        await asyncio.wait((asking,))
        return asking.result()

    async def aclose(self) -> None:
        """Give up the look-ups that are under way."""
        for asking in list(self._asking.values()):
            asking.cancel()
        self._known.clear()

    def _answered(self, key: tuple[str, int], asking: asyncio.Task[list[AddressInfo]]) -> None:
        self._asking.pop(key, None)
        if not asking.cancelled():
            asking.exception()  # Whoever asked may have been cancelled, so that nobody else looks at it.

    async def _ask(self, key: tuple[str, int]) -> list[AddressInfo]:
        hostname, port = key
        try:
            found = await asyncio.get_running_loop().getaddrinfo(
                hostname, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP
            )
        except OSError as error:
            raise ConnectFailed(f"the host name {hostname} could not be resolved: {error.strerror or error}") from None
        except UnicodeError:
            raise ConnectFailed(f"{hostname!r} is not a host name that can be resolved") from None
        infos = [cast(AddressInfo, info) for info in found if info[0] in (socket.AF_INET, socket.AF_INET6)]
        if not infos:
            raise ConnectFailed(f"the host name {hostname} has no address")
        self._remember(key, infos)
        return infos

    def _remember(self, key: tuple[str, int], infos: list[AddressInfo]) -> None:
        self._known.pop(key, None)
        if len(self._known) >= ENTRIES_MAX:
            del self._known[next(iter(self._known))]  # The oldest, as a dictionary keeps its order.
        self._known[key] = _Entry(infos, self._clock() + FRESH_S)


def _literal(hostname: str, port: int) -> AddressInfo | None:
    """An address that stands in the URL itself."""
    if not is_literal(hostname):
        return None
    if forms_of(hostname)[0].version == 4:
        return (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (hostname, port))
    return (socket.AF_INET6, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (hostname, port, 0, 0))
