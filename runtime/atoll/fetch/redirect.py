"""Redirects are followed as the fetch standard says, each hop through all the wrappers that the first one went through.

Invariants: credentials never cross an origin, in any number of copies; a body that cannot be sent twice is not sent
twice; the answer of a hop is closed before the next hop leaves.
Source: fetch standard, "HTTP-redirect fetch"; the bound of 20 is Cloudflare's and the standard's.
"""

from typing import Final

from atoll.errors import AbortError
from atoll.fetch.hop import Answer, Hop
from atoll.http import url as urls
from atoll.http.headers import Headers
from atoll.http.message import Request, Response
from atoll.http.url import URL
from atoll.limits import REDIRECTS_MAX
from atoll.ports import Fetcher

REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})

_CREDENTIALS: Final = frozenset({"authorization", "cookie", "proxy-authorization", "host"})
_ABOUT_BODY: Final = frozenset(
    {"content-encoding", "content-language", "content-location", "content-type", "content-length"}
)


class Redirected:
    """A `Fetcher` that follows redirects where the request wants it."""

    def __init__(self, inner: Fetcher) -> None:
        self._inner = inner

    async def fetch(self, request: Request) -> Response:
        """Pass on, and follow what is a redirect; `AbortError` for one that cannot be followed, TypeError after 20."""
        response = await self._inner.fetch(request)
        if response.status not in REDIRECTS or request.redirect == "manual":
            return response
        return await self._follow(request, response)

    async def _follow(self, request: Request, response: Response) -> Response:
        hops = 0
        public = False
        while response.status in REDIRECTS:
            locations = response.headers.get_all("location")
            if request.redirect != "error" and not locations:
                break
            public = public or (isinstance(response, Answer) and response.public)
            if response.body is not None:
                response.body.close()
            if request.redirect == "error":
                raise AbortError(f"{request.url.origin} redirected ({response.status}), and redirect is 'error'")
            if hops == REDIRECTS_MAX:
                raise TypeError("Too many redirects.")
            hops += 1
            request = _next(request, response.status, _target(request.url, locations), public)
            response = await self._inner.fetch(request)
        response.redirected = hops > 0
        return response


def _target(base: URL, locations: list[str]) -> URL:
    """Where a redirect leads, resolved against where it came from."""
    if len(set(locations)) > 1:
        raise AbortError(f"{base.origin} redirected to {len(locations)} different locations at once")
    # Fields are latin-1 here; servers that put other characters into a Location mean UTF-8 (fetch standard).
    location = locations[0].encode("latin-1").decode("utf-8", "replace")
    try:
        target = urls.parse(location, base.href)
        if not target.fragment and base.fragment:
            target = urls.parse(target.href + base.fragment)
    except ValueError:
        raise AbortError(f"{base.origin} redirected to {location[:200]!r}, which is not a valid URL") from None
    if target.scheme not in ("http", "https"):
        raise AbortError(f"{base.origin} redirected to a {target.scheme!r} URL; only http and https are followed")
    return target


def _next(request: Request, status: int, target: URL, public: bool) -> Request:
    """The request of the next hop."""
    method, headers, body = request.method, request.headers, request.body
    if body is not None and status != 303:
        body = body.again()
        if body is None:
            raise AbortError(
                f"{request.url.origin} redirected ({status}) a request whose body is a stream, which cannot be sent "
                "again; give fetch the body as bytes, or redirect='manual'"
            )
    unsent: frozenset[str] = frozenset()
    if (status in (301, 302) and method == "POST") or (status == 303 and method not in ("GET", "HEAD")):
        method, body, unsent = "GET", None, _ABOUT_BODY
    if target.origin != request.url.origin:
        unsent |= _CREDENTIALS
    if unsent:
        headers = Headers.trusted([pair for pair in headers.pairs if pair[0].lower() not in unsent])
    # Whoever is sent on by a public server stays judged as such.
    return (Hop if public else Request)(method, target, headers, body, request.redirect)
