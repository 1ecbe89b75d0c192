"""A tunnel through an HTTP proxy: CONNECT, and its answer, on a socket that TLS takes over afterwards.

Invariant: what follows the proxy's answer belongs to TLS, so a proxy that sends more than its answer is left.
Source: RFC 9110, section 9.3.6.
"""

import asyncio
import re
import socket
from typing import Final

from atoll.config import ProxyConfig
from atoll.errors import ConnectFailed
from atoll.fetch.route import Route
from atoll.http.url import URL

ANSWER_BYTES_MAX: Final = 16_384
END: Final = b"\r\n\r\n"
_STATUS: Final = re.compile(rb"HTTP/1\.[01] ([1-5]\d\d)(?: ([^\r\n]*))?\r\n")


async def open_tunnel(sock: socket.socket, proxy: ProxyConfig, route: Route, url: URL) -> None:
    """Ask the proxy at the other end of a connected socket for a tunnel to a URL's host; `ConnectFailed`."""
    loop = asyncio.get_running_loop()
    host = f"[{url.hostname}]" if ":" in url.hostname else url.hostname
    credentials = "" if proxy.authorization is None else f"proxy-authorization: {proxy.authorization}\r\n"
    ask = f"CONNECT {host}:{url.port} HTTP/1.1\r\nhost: {host}:{url.port}\r\n{credentials}\r\n"
    answer = b""
    try:
        await loop.sock_sendall(sock, ask.encode("ascii"))
        while END not in answer and len(answer) <= ANSWER_BYTES_MAX:
            piece = await loop.sock_recv(sock, 4_096)
            if not piece:
                break
            answer += piece
    except OSError as error:
        raise ConnectFailed(f"no tunnel for {route.key}: {error.strerror or error}") from None
    _judge(answer, proxy, host)


def _judge(answer: bytes, proxy: ProxyConfig, host: str) -> None:
    who = f"{proxy.origin} (fetch.proxy)"
    if END not in answer:
        how = "closed the connection" if len(answer) <= ANSWER_BYTES_MAX else f"sent more than {ANSWER_BYTES_MAX} bytes"
        raise ConnectFailed(f"{who} {how} before the end of its answer to CONNECT {host}")
    status = _STATUS.match(answer)
    if status is None:
        raise ConnectFailed(f"{who} answered {answer[:40]!r} to CONNECT, expected HTTP/1.1 and a status")
    if status[1] == b"407":
        raise ConnectFailed(f"{who} asks for credentials (407); write them into it: http://user:password@host:port")
    if not status[1].startswith(b"2"):
        reason = (status[2] or b"").decode("latin-1")[:80]
        raise ConnectFailed(f"{who} refused a tunnel to {host}: {status[1].decode()} {reason!r}")
    if answer.index(END) + len(END) != len(answer):
        raise ConnectFailed(f"{who} sent bytes into the tunnel to {host} before anything was asked")
