"""The ways of subrequests: `fetch.proxy`, `fetch.http2` and `fetch.unix`."""

import base64
from pathlib import Path
from typing import Final
from urllib.parse import unquote_to_bytes

from atoll.config.check import Report, absolute
from atoll.config.values import ProxyConfig
from atoll.http import url

SOCKET_PATH_BYTES_MAX: Final = 107
"""What the kernel has room for in the address of a Unix socket (unix(7))."""


def read_proxy(text: str, report: Report) -> ProxyConfig | None:
    """`http://host:port`, with `user:password@` before the host where the proxy asks for them."""
    path = "fetch.proxy"
    expected = "the URL of an HTTP proxy, such as http://proxy.example:3128 or http://user:password@proxy.example:3128"
    try:
        parsed = url.parse(text)
    except ValueError:
        parsed = None
    if parsed is None or parsed.scheme != "http" or parsed.target != "/" or parsed.fragment or not parsed.port:
        # What was read may hold a password, so it is not shown.
        report.error(path, f"cannot be used, expected {expected}")
        return None
    credentials = parsed.href.removeprefix("http://").rpartition("@")[0]
    return ProxyConfig(
        hostname=parsed.hostname, port=parsed.port, origin=parsed.origin, authorization=_basic(credentials)
    )


def _basic(credentials: str) -> str | None:
    """User and password, as they stand in a URL, in the form of RFC 7617."""
    if not credentials:
        return None
    user, _, password = credentials.partition(":")
    return "Basic " + base64.b64encode(unquote_to_bytes(user) + b":" + unquote_to_bytes(password)).decode("ascii")


def read_host(text: str, path: str, report: Report) -> str:
    """A host, and its port unless that is the one of https, in its normal form."""
    try:
        parsed = url.parse(f"https://{text}")
    except ValueError:
        parsed = None
    if parsed is None or parsed.target != "/" or text.endswith("/") or parsed.fragment or parsed.has_credentials:
        report.wrong(path, text, 'a host such as "api.example.com" or "api.example.com:8443"')
        return text
    return parsed.authority


def read_sockets(table: dict[str, str], report: Report) -> dict[str, Path]:
    """Origins and the sockets they are at; paths are relative to the configuration's folder."""
    sockets: dict[str, Path] = {}
    for key, text in table.items():
        path = f'fetch.unix."{key}"'
        try:
            origin = url.parse(key)
        except ValueError:
            origin = None
        if (
            origin is None
            or origin.scheme not in ("http", "https")
            or origin.target != "/"
            or origin.has_credentials
            or origin.fragment
        ):
            report.error(path, 'expected an origin as the key, such as "http://docker"')
            continue
        socket = absolute(report.file.parent, text)
        if not text or len(bytes(socket)) > SOCKET_PATH_BYTES_MAX:
            report.wrong(path, text, f"the path of a Unix socket, at most {SOCKET_PATH_BYTES_MAX} bytes long")
            continue
        sockets[origin.origin] = socket
    return sockets
