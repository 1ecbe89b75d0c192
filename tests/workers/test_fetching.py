"""`fetch`: what leaves, and what comes back."""

import inspect
from collections.abc import AsyncIterator

import pytest

from atoll.errors import AbortError, ConnectFailed, NoInvocation
from atoll.http.body import Body
from atoll.http.headers import Headers
from atoll.http.message import Request as Inner
from atoll.http.message import Response as InnerResponse
from atoll.workers.fetching import fetch
from atoll.workers.request import Request
from atoll.workers.response import Response
from support.invoked import running


async def echo(request: Inner) -> InnerResponse:
    """Answers with the request's body, and a field of its own."""
    body = b"" if request.body is None else await request.body.read_all()
    return InnerResponse(200, Headers([("X-Method", request.method)]), Body(body), url=request.url.href)


async def test_a_url_is_fetched_by_get() -> None:
    """The result has the URL that answered."""
    with running(echo) as invoked:
        response = await fetch("https://test.com")
    assert type(response) is Response
    assert (response.url, response.status, response.headers["x-method"]) == ("https://test.com/", 200, "GET")
    (asked,) = invoked.fetcher.asked
    assert (asked.method, asked.redirect, asked.body, asked.headers.pairs) == ("GET", "follow", None, [])


async def test_options_make_the_request() -> None:
    """method, headers, body, redirect; others are ignored."""
    with running(echo) as invoked:
        response = await fetch(
            "https://a.example", method="post", headers={"X": 1}, body="hi", redirect="error", cf={"a": 1}, other=2
        )
        assert await response.text() == "hi"
    (asked,) = invoked.fetcher.asked
    assert (asked.method, asked.redirect) == ("POST", "error")
    assert asked.headers.pairs == [("X", "1"), ("content-type", "text/plain;charset=UTF-8")]


async def test_an_async_generator_is_a_streamed_body() -> None:
    """Its length is not known, and its chunks may be text."""

    async def chunks() -> AsyncIterator[str | bytes]:
        yield "a"
        yield b"b"

    with running(echo) as invoked:
        response = await fetch("https://a.example", method="PUT", body=chunks())
        assert await response.text() == "ab"
    (asked,) = invoked.fetcher.asked
    assert asked.body is not None
    assert asked.body.length is None


async def test_an_incoming_request_is_passed_on_whole() -> None:
    """Method, headers, the very body and the redirect mode."""
    inner = Inner("POST", Request("https://a.example/p")._inner.url, Headers([("X", "1")]), Body(b"abc"), "manual")
    with running(echo) as invoked:
        response = await fetch(Request._of(inner))
        assert await response.bytes() == b"abc"
    (asked,) = invoked.fetcher.asked
    assert (asked.method, asked.redirect, asked.headers.pairs, asked.url.path) == ("POST", "manual", [("X", "1")], "/p")
    assert asked.body is inner.body
    assert asked.headers.pairs is not inner.headers.pairs


async def test_the_body_of_a_request_can_be_sent_elsewhere() -> None:
    """fetch(url, body=request.body) streams it on."""
    request = Request("https://a.example", method="POST", body="abc")
    with running(echo):
        response = await fetch("https://b.example", method="POST", body=request.body)
        assert await response.text() == "abc"
    assert request.body_used


async def test_a_request_with_options_is_changed_for_this_fetch_only() -> None:
    """The request itself stays as it was."""
    request = Request("https://a.example")
    with running(echo) as invoked:
        await fetch(request, method="DELETE", headers={"X": "1"})
    assert invoked.fetcher.asked[0].method == "DELETE"
    assert (request.method, request.headers.items()) == ("GET", [])


def test_a_second_positional_argument_is_refused() -> None:
    """The text is Python's own, and Cloudflare's."""
    with pytest.raises(TypeError, match=r"fetch\(\) takes 1 positional argument but 2 were given$"):
        fetch("https://a.example", {"method": "POST"})  # type: ignore[call-arg]


@pytest.mark.parametrize("url", ["/relative", "https://user:password@a.example/", 5, None])
async def test_what_cannot_be_fetched_is_a_type_error(url: object) -> None:
    """Nothing leaves."""
    with running() as invoked, pytest.raises(TypeError):
        await fetch(url)  # type: ignore[arg-type]
    assert invoked.fetcher.asked == []


async def test_without_an_invocation_there_is_no_fetch() -> None:
    """The error says where it may be used."""
    with pytest.raises(NoInvocation, match="fetch needs a running invocation"):
        await fetch("https://a.example")


async def test_a_failure_on_the_network_is_an_os_error() -> None:
    """It comes to the author as the fetcher raised it."""

    async def refuse(request: Inner) -> InnerResponse:
        raise ConnectFailed("refused")

    with running(refuse):
        with pytest.raises(AbortError, match="refused"):
            await fetch("https://a.example")
        with pytest.raises(OSError, match="refused"):
            await fetch("https://a.example")


def test_fetch_is_a_coroutine_function() -> None:
    """Libraries that ask are told so."""
    assert inspect.iscoroutinefunction(fetch)
