"""Request: what a handler is given, and what `fetch` can be given.

Source: fetch standard, "Request class"; Cloudflare's Python Workers for Python's names and errors.
"""

import re
from http import HTTPMethod
from typing import Any, Final

from atoll.errors import BodyUsed
from atoll.http import headers as http
from atoll.http import url as urls
from atoll.http.message import RedirectMode
from atoll.http.message import Request as Inner
from atoll.http.url import URL
from atoll.workers.bodies import body_of, unsupported
from atoll.workers.content import Content
from atoll.workers.headers import Pair, joined, pairs_of
from atoll.workers.sealed import Later, Sealed, sealed
from atoll.workers.streams import Chunks

_METHODS: Final = {method.value: method for method in HTTPMethod}
_FORBIDDEN_METHODS: Final = frozenset({"CONNECT", "TRACE", "TRACK"})
_TOKEN: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_REDIRECT_MODES: Final[dict[object, RedirectMode]] = {"follow": "follow", "manual": "manual", "error": "error"}


@sealed
class Cf(metaclass=Sealed):
    """What Cloudflare tells about a request: every attribute is there, and None unless it was given."""

    __module__ = "workers"
    __slots__ = ("_values",)

    def __init__(self, values: Any = None) -> None:
        self._values: dict[str, Any] = dict(values) if values is not None else {}

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return self._values.get(name)

    def __repr__(self) -> str:
        return f"Cf({self._values!r})"


@sealed
class Request(Content):
    """`Request(input: Request | str, method=, headers=, body=, redirect=, cf=, signal=, ...)`."""

    __module__ = "workers"
    __slots__ = ("_cf", "_signal")

    _inner: Inner
    _cf: Cf | None
    _signal: Any

    def __init__(self, input: "Request | str", **options: Any) -> None:
        self._headers = None
        self._cf = None
        self._signal = options.get("signal")
        if isinstance(input, Request):
            self._inner = input._outgoing()
            self._cf = input._cf
        else:
            self._inner = Inner("GET", url_of(input))
        if options:
            self._apply(options)
        body = self._inner.body
        if body is not None and body.used:
            raise BodyUsed

    @classmethod
    def _of(cls, inner: Inner) -> "Request":
        """The face of a request that came in."""
        face = cls.__new__(cls)
        face._inner = inner
        face._headers = face._cf = face._signal = None
        return face

    def _apply(self, options: dict[str, Any]) -> None:
        inner = self._inner
        if (method := options.get("method")) is not None:
            inner.method = _normal(method)
        if (headers := options.get("headers")) is not None:
            inner.headers = http.Headers(pairs_of(headers))
        if (redirect := options.get("redirect")) is not None:
            inner.redirect = _mode(redirect)
        if (cf := options.get("cf")) is not None:
            self._cf = cf if isinstance(cf, Cf) else Cf(cf)
        if (body := options.get("body")) is not None:
            if isinstance(body, Content):
                raise unsupported(body, "Request")
            inner.body, content_type = body_of(body, "Request")
            if inner.body is not None and inner.body.length is not None:
                # Headers taken from another request tell of another body.
                inner.headers.delete("content-length")
            if content_type is not None and "content-type" not in inner.headers:
                inner.headers.append("content-type", content_type)
        if inner.body is not None and inner.method in ("GET", "HEAD") and ("body" in options or "method" in options):
            raise TypeError("Request with a GET or HEAD method cannot have a body.")

    def _pairs(self) -> list[Pair]:
        return joined(self._inner.headers.pairs)

    def _outgoing(self) -> Inner:
        """An internal request of its own that shares this one's body."""
        inner = self._inner
        return Inner(inner.method, inner.url, self._settled().copy(), inner.body, inner.redirect)

    def clone(self) -> "Request":
        """A second request with the same body, each read at its own pace; `OSError` after a read."""
        second = self._tee()
        inner = self._outgoing()
        inner.body = second
        face = Request._of(inner)
        face._cf = self._cf
        return face

    @property
    def url(self) -> str:
        """The URL in its normal form."""
        return self._inner.url.href

    @property
    def method(self) -> HTTPMethod | str:
        """The method; compares equal to its name. A plain str for one that the http module does not know."""
        method = self._inner.method
        return _METHODS.get(method, method)

    @property
    def redirect(self) -> RedirectMode:
        """What `fetch` does with a redirect: follow, manual or error."""
        return self._inner.redirect

    @property
    def referrer(self) -> str:
        """The Referer field; empty when there is none."""
        return self._inner.headers.get("referer") or ""

    @property
    def cf(self) -> Cf:
        """Facts about the client that only Cloudflare knows: every one is None here, unless it was given."""
        if self._cf is None:
            self._cf = Cf()
        return self._cf

    @property
    def signal(self) -> Any:
        """What was given as `signal`; nothing is done with it."""
        return self._signal

    def stream(self) -> Chunks:
        """Atoll: an async iterator over the body, chunk by chunk as it comes."""
        return Chunks(self._inner.body)

    async def json(self, **loads: Any) -> Any:
        """The body parsed as JSON; keyword arguments are those of `json.loads`, as are the errors."""
        return await self._parse(**loads)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(method={str(self._inner.method)!r}, url={self._inner.url.href!r})"

    js_request = Later()


def url_of(text: object) -> URL:
    """The URL of a request; TypeError as the fetch standard has it."""
    if not isinstance(text, str):
        raise TypeError(f"a Request needs a URL (str) or another Request, not {type(text).__name__}")
    try:
        url = urls.parse(text)
    except ValueError as error:
        raise TypeError(f"Invalid URL: {error}; an absolute one is needed (https://example.com/path)") from None
    if url.has_credentials:
        raise TypeError(
            f"the URL for host {url.hostname!r} holds a user name or password, which a Request may not: "
            "send an Authorization header instead"
        )
    return url


def _normal(method: object) -> str:
    """The fetch standard's normal form, extended to all methods that the http module knows (PATCH)."""
    if not isinstance(method, str) or not _TOKEN.fullmatch(method):
        raise TypeError(f"{method!r} is not a valid HTTP method.")
    upper = method.upper()
    if upper in _FORBIDDEN_METHODS:
        raise TypeError(f"{upper!r} HTTP method is unsupported.")
    return upper if upper in _METHODS else str(method)


def _mode(redirect: object) -> RedirectMode:
    mode = _REDIRECT_MODES.get(redirect)
    if mode is None:
        raise TypeError(f"redirect must be follow, manual or error, not {redirect!r}")
    return mode
