"""`fetch`: an author's subrequest, handed to the Fetcher of the running invocation."""

from typing import Any

from atoll import current
from atoll.http.headers import Headers
from atoll.http.message import Request as Inner
from atoll.workers.request import Request, url_of
from atoll.workers.response import Response


async def fetch(resource: str | Request, **options: Any) -> Response:
    """Send a request and return its response, which has come as far as its head.

    Options: method, headers, body, redirect ("follow", "manual", "error"), cf, signal; others are ignored.
    A failure on the network is an `AbortError`, which is an OSError; one past the cap says how many there may be.
    """
    running = current.invocation.get() or current.running("fetch")
    if not options and isinstance(resource, str):
        request = Inner("GET", url_of(resource), Headers.trusted([]))
    elif not options and isinstance(resource, Request):
        request = resource._outgoing()
    else:
        request = Request(resource, **options)._inner
    return Response._of(await running.fetcher.fetch(request))
