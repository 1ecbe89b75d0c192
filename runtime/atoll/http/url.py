"""URLs, parsed once, by the WHATWG URL standard; everything that needs a part of a URL takes it from here.

A check made with one parser and a connection made with another is a hole, so this file is the only doorway to
the parser, and a `URL` is the only thing the rest of the runtime connects to. The parser is ada, by its fast
binding can_ada; that one cannot resolve references, for which ada's other binding, ada_url, serves.
Source: WHATWG URL standard, section 4.4, as ada implements it.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import ada_url
import can_ada

MEMO_MAX: Final = 4096
DEFAULT_PORT: Final = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class URL:
    """An absolute URL in its normal form.

    `scheme` without the colon; `hostname` is ASCII (punycode), IPv6 without brackets; `authority` is host and,
    unless it is the scheme's default, port, as the Host field carries it; `port` is never absent for http and
    https (0 for other schemes); `target` is path and query, as a request line carries it; `fragment` has its `#`.
    """

    href: str
    scheme: str
    hostname: str
    authority: str
    port: int
    origin: str
    path: str
    query: str
    target: str
    fragment: str
    has_credentials: bool

    def __str__(self) -> str:
        return self.href


@lru_cache(maxsize=MEMO_MAX)
def parse(text: str, base: str | None = None) -> URL:
    """Parse an absolute URL, or a reference against `base`; `ValueError` names the text that is not a URL."""
    try:
        parsed = can_ada.parse(text if base is None else ada_url.join_url(base, text))
    except ValueError:
        raise ValueError(f"{text[:200]!r} is not a valid URL") from None
    scheme = parsed.protocol[:-1]
    hostname = parsed.hostname
    if hostname.startswith("["):
        hostname = hostname[1:-1]
    path = parsed.pathname
    query = parsed.search
    return URL(
        href=parsed.href,
        scheme=scheme,
        hostname=hostname,
        authority=parsed.host,
        port=int(parsed.port) if parsed.port else DEFAULT_PORT.get(scheme, 0),
        origin=parsed.origin,
        path=path,
        query=query,
        target=path + query,
        fragment=parsed.hash,
        has_credentials=parsed.has_credentials(),
    )
