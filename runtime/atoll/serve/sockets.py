"""The listening sockets: bound once by the supervisor and inherited by every process.

One socket that all processes share spreads connections fairly and loses none when a process dies; one socket a
process (SO_REUSEPORT) strands the connections that wait in a dead one's queue.
"""

import errno
import ipaddress
import socket
from typing import Final

from atoll.errors import StartError
from atoll.serve.holder import holder_of

_BACKLOG: Final = 4096
_ATTEMPTS_AT_A_FREE_PORT: Final = 8


def listen(ip: str, port: int) -> list[socket.socket]:
    """Bind and listen; `localhost` means 127.0.0.1 and, where the machine has it, ::1; port 0 means any free one.

    Raises `StartError` for an address that is no address or not this machine's, and for a port that is taken or
    not allowed.
    """
    if not 0 <= port <= 65535:
        raise StartError(f"Port {port} is not a port. Expected a number from 0 (any free port) to 65535.")
    if ip != "localhost":
        return [_listen_on(ip, port)]
    for _ in range(_ATTEMPTS_AT_A_FREE_PORT):
        first = _listen_on("127.0.0.1", port)
        try:
            second = _listen_on("::1", port_of(first))
        except _NoSuchAddress:
            return [first]
        except StartError:
            first.close()
            # The free port of one family may be taken in the other.
            if port:
                raise
            continue
        return [first, second]
    raise StartError("No port is free on both 127.0.0.1 and ::1. Choose one with `--port`.")


def port_of(sock: socket.socket) -> int:
    """The port a socket is bound to."""
    port: int = sock.getsockname()[1]
    return port


def url_of(ip: str, port: int) -> str:
    """The address as a person would open it."""
    return f"http://[{ip}]:{port}" if ":" in ip else f"http://{ip}:{port}"


class _NoSuchAddress(StartError):
    """This machine does not have the address."""


def _listen_on(ip: str, port: int) -> socket.socket:
    try:
        version = ipaddress.ip_address(ip).version
    except ValueError:
        raise StartError(
            f"Cannot listen on {ip!r}: it is not an IP address. Expected one such as 127.0.0.1, 0.0.0.0 or ::1, "
            "or the word localhost (`--ip`)."
        ) from None
    try:
        sock = socket.socket(socket.AF_INET6 if version == 6 else socket.AF_INET, socket.SOCK_STREAM)
    except OSError as error:
        raise _NoSuchAddress(f"Cannot listen on {ip}: this machine has no IPv{version} ({error.strerror}).") from error
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if version == 6:
            # "::" alone serves both families; any other address is IPv6 only anyway.
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if ip == "::" else 1)
        sock.bind((ip, port))
        sock.listen(_BACKLOG)
    except OSError as error:
        sock.close()
        raise _explained(error, ip, port) from error
    return sock


def _explained(error: OSError, ip: str, port: int) -> StartError:
    where = url_of(ip, port).removeprefix("http://")
    match error.errno:
        case errno.EADDRINUSE:
            holder = holder_of(port)
            by = f" by process {holder[0]} ({holder[1]})" if holder else ""
            return StartError(
                f"Cannot listen on {where}: port {port} is in use{by}. Stop that program, or choose another port "
                "with `--port` (`--port 0` picks a free one)."
            )
        case errno.EACCES:
            return StartError(
                f"Cannot listen on {where}: not allowed. Ports below 1024 need the capability "
                "CAP_NET_BIND_SERVICE; choose another port with `--port`."
            )
        case errno.EADDRNOTAVAIL:
            return _NoSuchAddress(
                f"Cannot listen on {where}: this machine has no such address. Choose one with `--ip`, such as "
                "127.0.0.1 (this machine only) or 0.0.0.0 (every network)."
            )
        case _:
            return StartError(f"Cannot listen on {where}: {error.strerror}.")
