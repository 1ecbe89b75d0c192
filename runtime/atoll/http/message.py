"""A request and a response as the runtime passes them around: plain objects that carry a body.

Source: RFC 9110, sections 6, 9 and 15; the redirect modes are the fetch standard's.
"""

from typing import Literal

from atoll.http.body import Body
from atoll.http.headers import Headers
from atoll.http.url import URL

RedirectMode = Literal["follow", "manual", "error"]

NO_BODY_STATUS = frozenset({101, 204, 205, 304})
"""Statuses whose responses have no body that an author could set (RFC 9110, section 15)."""


class Request:
    """What is asked: of a worker by a client, or of an upstream by a worker."""

    __slots__ = ("body", "headers", "method", "redirect", "url")

    def __init__(
        self,
        method: str,
        url: URL,
        headers: Headers | None = None,
        body: Body | None = None,
        redirect: RedirectMode = "follow",
    ) -> None:
        self.method = method
        self.url = url
        self.headers = headers if headers is not None else Headers()
        self.body = body
        self.redirect: RedirectMode = redirect

    def __repr__(self) -> str:
        return f"<Request {self.method} {self.url.href}>"


class Response:
    """What was answered; `url` is the one that answered in the end, `redirected` whether it took a hop to get there."""

    __slots__ = ("body", "headers", "reason", "redirected", "status", "url")

    def __init__(
        self,
        status: int = 200,
        headers: Headers | None = None,
        body: Body | None = None,
        reason: str | None = None,
        url: str = "",
        redirected: bool = False,
    ) -> None:
        self.status = status
        self.headers = headers if headers is not None else Headers()
        self.body = body
        self.reason = reason
        self.url = url
        self.redirected = redirected

    def __repr__(self) -> str:
        return f"<Response {self.status} {self.body!r}>"
