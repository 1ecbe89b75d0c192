"""What a request and a response say to each other inside this room, beyond what the rest of the runtime knows.

The address rules judge a redirect by where it came from: a public server must not point a gateway into the private
network behind it. So an answer knows whether its address was public, and the next hop whether any before it was.
"""

from atoll.http.body import Body
from atoll.http.headers import Headers
from atoll.http.message import Request, Response
from atoll.http.url import URL


class Hop(Request):
    """A request that an answer from a public address led to."""

    __slots__ = ()


class Answer(Response):
    """A response from the network; `public` when the address it came from is on the public internet."""

    __slots__ = ("public",)

    def __init__(
        self, status: int, headers: Headers, body: Body | None, reason: str, url: URL, *, public: bool
    ) -> None:
        self.status = status
        self.headers = headers
        self.body = body
        self.reason = reason
        self.url = url.href if not url.fragment else url.href[: -len(url.fragment)]
        self.redirected = False
        self.public = public
