"""Route patterns: what a host and a path must look like for a worker to answer.

`[http[s]://]host[/path]` as in wrangler, or a bare `/path` for every host. A `*` may begin the host, where it
stands for any text (`*.example.com`: the subdomains; `*example.com`: the host itself too), and may end the path.
A pattern without a path means the path `/` alone. Host and path are kept in the URL standard's normal form, which
is the form that requests are matched in; the query is no part of a match.
Source: Cloudflare's documentation of Workers routes, "Matching behavior".
"""

from typing import Final

import msgspec

from atoll.http import url

SCHEMES: Final = ("http://", "https://")


class RoutePattern(msgspec.Struct, frozen=True):
    """One pattern, taken apart: `host` is "" with `host_wild` for every host, else the literal after the `*`."""

    host: str
    host_wild: bool
    path: str
    path_wild: bool


def parse_pattern(text: str) -> RoutePattern:
    """Take a pattern apart; `ValueError` says what is expected instead."""
    rest = text.strip()
    for scheme in SCHEMES:
        if rest.lower().startswith(scheme):
            rest = rest[len(scheme) :]
            if rest.startswith("/"):
                raise ValueError("a host after the scheme")
    if "://" in rest:
        raise ValueError("http:// or https://, or no scheme")
    if "?" in rest or "#" in rest:
        raise ValueError("no query and no fragment: only host and path are matched")
    if not rest:
        raise ValueError('a host, a path or both, such as "example.com/api/*" or "/api/*"')
    host, _, path = rest.partition("/")
    path, path_wild = _parse_path("/" + path)
    if rest.startswith("/"):
        return RoutePattern("", True, path, path_wild)
    host, host_wild = _parse_host(host)
    return RoutePattern(host, host_wild, path, path_wild)


def _parse_path(text: str) -> tuple[str, bool]:
    wild = text.endswith("*")
    literal = text[:-1] if wild else text
    if "*" in literal:
        raise ValueError("a * only at the start of the host and at the end of the path")
    # Normalising the bare prefix of "/.*" would take its dot for a segment of its own; a letter keeps it open.
    if wild:
        return url.parse(f"http://a{literal}a").path[:-1], True
    return url.parse(f"http://a{literal}").path, False


def _parse_host(text: str) -> tuple[str, bool]:
    wild = text.startswith("*")
    literal = text[1:] if wild else text
    if "*" in literal:
        raise ValueError("a * only at the start of the host and at the end of the path")
    if wild and not literal:
        return "", True
    if not literal.strip("."):
        raise ValueError("a host name")
    if wild and not literal.partition(".")[0].isascii():
        raise ValueError("a * that stands before a dot, as part of a label beyond ASCII cannot be matched")
    # The letter stands in for what the * stands for, so that ".0.0.1" is not taken for a whole address.
    try:
        parsed = url.parse(f"http://{'a' if wild else ''}{literal}/")
    except ValueError:
        raise ValueError("a host name or an address") from None
    if parsed.has_credentials or parsed.authority.strip("[]") != parsed.hostname:
        raise ValueError("a host without port and user: a gateway answers on the port it listens on")
    if parsed.path != "/":
        raise ValueError("/ between host and path")
    return parsed.hostname.removesuffix(".")[1 if wild else 0 :], wild
