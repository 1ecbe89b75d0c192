"""Response: what a handler returns, and what `fetch` gives.

Source: fetch standard, "Response class"; Cloudflare's Python Workers for Python's names and errors.
"""

import re
from http import HTTPStatus
from typing import Any, Final

from atoll.errors import BodyUsed
from atoll.http import headers as http
from atoll.http import url as urls
from atoll.http.body import Body
from atoll.http.coding import is_coded
from atoll.http.message import NO_BODY_STATUS
from atoll.http.message import Response as Inner
from atoll.workers.bodies import body_of
from atoll.workers.content import Content
from atoll.workers.headers import pairs_of
from atoll.workers.sealed import Later, sealed
from atoll.workers.text import dump_json

_PHRASES: Final = {status.value: status.phrase for status in HTTPStatus}
_REASON: Final = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
_REDIRECTS: Final = (301, 302, 303, 307, 308)
_OF_ANOTHER_BODY: Final = ("content-length", "content-encoding", "transfer-encoding")


class _Json:
    """`Response.json(data)` builds a response; `await response.json()` parses one."""

    __slots__ = ()

    def __get__(self, instance: "Response | None", owner: "type[Response]") -> Any:
        return owner.from_json if instance is None else instance._parse


@sealed
class Response(Content):
    """`Response(body=None, status=None, status_text="", headers=None, web_socket=None)`."""

    __module__ = "workers"
    __slots__ = ("_sent",)

    _inner: Inner
    _sent: bool

    def __init__(
        self,
        body: Any = None,
        status: int | None = None,
        status_text: str = "",
        headers: Any = None,
        web_socket: None = None,
    ) -> None:
        self._headers = None
        self._sent = False
        if web_socket is not None:
            raise TypeError("workers.Response: web_socket is not part of Atoll yet")
        if isinstance(body, Response):
            if status is not None or status_text or headers is not None:
                raise ValueError("Expected no options when constructing Response from a js.Response")
            self._inner = body._copied(body._inner.body)
        else:
            content, content_type = body_of(body, "Response")
            self._inner = _made(content, content_type, status, status_text, headers)

    @classmethod
    def _of(cls, inner: Inner) -> "Response":
        """The face of a response that came from a Fetcher."""
        face = cls.__new__(cls)
        face._inner = inner
        face._headers = None
        face._sent = False
        return face

    @classmethod
    def from_json(cls, data: Any, status: int | None = None, status_text: str = "", headers: Any = None) -> "Response":
        """A response of the JSON text of `data`, as `json.dumps` writes it."""
        return cls._of(_made(Body(dump_json(data)), "application/json", status, status_text, headers))

    json: Any = _Json()

    @classmethod
    def redirect(cls, url: str, status: int = 302) -> "Response":
        """A redirect to an absolute URL; ValueError unless the status is 301, 302, 303, 307 or 308."""
        if status not in _REDIRECTS:
            raise ValueError(f"a redirect has status 301, 302, 303, 307 or 308, not {status!r}")
        try:
            location = urls.parse(str(url)).href
        except ValueError as error:
            raise TypeError(f"Unable to parse URL: {error} (a redirect needs an absolute one)") from None
        return cls._of(Inner(int(status), http.Headers([("location", location)])))

    def clone(self) -> "Response":
        """A second response with the same body, each read at its own pace; `OSError` after a read."""
        return Response._of(self._copied(self._tee()))

    def replace_body(self, body: Any) -> "Response":
        """The same status and headers with another body; headers about the bytes of the old one are left out."""
        content, content_type = body_of(body, "Response")
        inner = self._copied(_fitting(content, self._inner.status))
        for name in _OF_ANOTHER_BODY:
            inner.headers.delete(name)
        if content_type is not None and "content-type" not in inner.headers:
            inner.headers.append("content-type", content_type)
        return Response._of(inner)

    def _copied(self, body: Body | None) -> Inner:
        inner = self._inner
        return Inner(inner.status, self._settled().copy(), body, inner.reason, inner.url, inner.redirected)

    def _sendable(self) -> Inner:
        """The internal response to send; `BodyUsed` when its body has been read or sent before."""
        inner = self._inner
        body = inner.body
        if body is None:
            return self._copied(None) if self._sent else self._settle()
        if self._sent or body.used:
            raise BodyUsed
        return self._settle()

    def _settle(self) -> Inner:
        self._sent = True
        inner = self._inner
        inner.headers = headers = self._settled()
        body = inner.body
        if body is None:
            return inner
        if body.encoding is not None:
            inner.body = body.raw_for(headers)
            if inner.body is body:
                # It leaves decoded, so what the upstream said of its length does not hold.
                headers.delete("content-length")
        elif getattr(body.source, "author_code", False):
            # Headers copied from an upstream say how long and how coded its body was. What comes of an iterator is
            # as long as it turns out, and is not coded; on Cloudflare, too, such a stream's length is not believed.
            headers.delete("content-length")
            headers.delete("content-encoding")
        elif body.held is not None and len(headers) > 1:
            _name_no_coding_that_is_not(headers, body.held)
        return inner

    @property
    def status(self) -> int:
        """The status code."""
        return self._inner.status

    @property
    def status_text(self) -> str:
        """The reason phrase."""
        inner = self._inner
        return inner.reason or _PHRASES.get(inner.status, "")

    @property
    def ok(self) -> bool:
        """Whether the status is 200 to 299."""
        return 200 <= self._inner.status <= 299

    @property
    def url(self) -> str:
        """The URL that answered in the end; empty for a response made here."""
        return self._inner.url

    @property
    def redirected(self) -> bool:
        """Whether it took a redirect to get it."""
        return self._inner.redirected

    @property
    def type(self) -> str:
        """The response type of the fetch standard; there are no other origins here to hide anything from."""
        return "default"

    def raise_for_status(self) -> None:
        """Raise OSError for a status of 400 to 599."""
        status = self._inner.status
        if 400 <= status <= 599:
            side = "Client" if status < 500 else "Server"
            raise OSError(f"{status} {side} Error: {self.status_text} for url: {self._inner.url}")

    def __repr__(self) -> str:
        content_type = self.headers.get("content-type")
        return (
            f"{type(self).__name__}(status={self.status}, status_text={self.status_text!r}, "
            f"content_type={content_type!r})"
        )

    js_response = Later()
    web_socket = Later()


def _made(body: Body | None, content_type: str | None, status: object, status_text: str, headers: object) -> Inner:
    code = 200 if status is None else _checked_status(status)
    reason = _checked_reason(status_text) if status_text else None
    body = _fitting(body, code)
    if headers is None:
        pairs = [("content-type", content_type)] if content_type is not None and body is not None else []
        return Inner(code, http.Headers.trusted(pairs), body, reason)
    fields = http.Headers(pairs_of(headers))
    if content_type is not None and body is not None and "content-type" not in fields:
        fields.pairs.append(("content-type", content_type))
    return Inner(code, fields, body, reason)


def _checked_status(status: object) -> int:
    if not isinstance(status, int) or isinstance(status, bool):
        raise TypeError(f"the status of a Response must be an int, not {type(status).__name__}")
    if not (200 <= status <= 599 or status == 101):
        raise ValueError(f"the status of a Response must be in the range 200 to 599 (or 101), not {int(status)}")
    return int(status)


def _checked_reason(text: object) -> str:
    if not isinstance(text, str):
        raise TypeError(f"the status_text of a Response must be a str, not {type(text).__name__}")
    if not _REASON.fullmatch(text):
        raise ValueError(f"the status_text of a Response holds a character that cannot be sent: {text[:80]!r}")
    return text


def _fitting(body: Body | None, status: int) -> Body | None:
    if body is None or status not in NO_BODY_STATUS:
        return body
    # Cloudflare lets an empty text or bytes pass, and so it is no body.
    if body.length == 0:
        return None
    raise TypeError(
        f"Response with null body status (101, 204, 205, or 304) cannot have a body; its status is {status}"
    )


def _name_no_coding_that_is_not(headers: http.Headers, held: bytes) -> None:
    """Drop `Content-Encoding: gzip` over bytes that are not gzip.

    A handler that reads a compressed answer (which decodes it) and answers with the changed text under the
    upstream's headers means just that; Cloudflare compresses again, which a client cannot tell from this.
    """
    coding = headers.get("content-encoding")
    if coding is None:
        return
    coding = coding.strip().lower()
    is_zlib = len(held) > 1 and held[0] & 0x0F == 8 and int.from_bytes(held[:2], "big") % 31 == 0
    # brotli has no mark at its beginning: to tell, its first bytes are decoded.
    if (
        (coding in ("gzip", "x-gzip") and not held.startswith(b"\x1f\x8b"))
        or (coding == "deflate" and not is_zlib)
        or (coding in ("br", "zstd") and not is_coded(held, coding))
    ):
        headers.delete("content-encoding")
