"""The Request face."""

from http import HTTPMethod

import pytest

from atoll.http import url as urls
from atoll.http.body import Body
from atoll.http.headers import Headers as InnerHeaders
from atoll.http.message import Request as Inner
from atoll.workers.request import Request


def incoming(method: str = "GET", body: bytes | None = None, pairs: list[tuple[str, str]] | None = None) -> Request:
    """A Request as a handler gets it."""
    url = urls.parse("https://a.example/x?q=1")
    return Request._of(Inner(method, url, InnerHeaders(pairs or []), None if body is None else Body(body), "manual"))


def test_the_url_is_in_its_normal_form() -> None:
    """As the URL standard writes it."""
    request = Request("https://test.com")
    assert request.url == "https://test.com/"
    assert repr(Request("https://test.com", method="post")) == "Request(method='POST', url='https://test.com/')"


@pytest.mark.parametrize("url", ["/relative", "", "not a url", "https://", 5, None, b"https://a.example"])
def test_what_is_no_absolute_url_is_a_type_error(url: object) -> None:
    """As the fetch standard has it."""
    with pytest.raises(TypeError):
        Request(url)  # type: ignore[arg-type]


def test_a_url_with_credentials_is_a_type_error_that_does_not_repeat_them() -> None:
    """The password stays out of logs."""
    with pytest.raises(TypeError, match=r"'a\.example'") as caught:
        Request("https://user:hunter2@a.example/")
    assert "hunter2" not in str(caught.value)


def test_methods() -> None:
    """An HTTPMethod that equals its name; those of the standard in upper case; others as they are."""
    request = Request("https://a.example", method="put")
    assert request.method is HTTPMethod.PUT
    assert request.method == "PUT"
    assert Request("https://a.example", method=HTTPMethod.PATCH).method == "PATCH"
    assert type(Request("https://a.example", method=HTTPMethod.PATCH)._inner.method) is str
    assert Request("https://a.example", method="brew").method == "brew"
    assert incoming("PROPFIND").method == "PROPFIND"
    for method in ("CONNECT", "trace", "TRACK", "a b", "", 5, "GET\r\n"):
        with pytest.raises(TypeError):
            Request("https://a.example", method=method)


async def test_bodies_and_their_content_type() -> None:
    """A str has one unless it was given; bytes have none."""
    request = Request("https://a.example", method="POST", body="héllo")
    assert request.headers.items() == [("content-type", "text/plain;charset=UTF-8")]
    assert await request.text() == "héllo"
    with pytest.raises(OSError, match=r"^Body already used$"):
        await request.json()
    given = Request("https://a.example", method="POST", body="{}", headers={"Content-Type": "application/json"})
    assert given.headers.items() == [("Content-Type", "application/json")]
    assert await given.json() == {}
    assert Request("https://a.example", method="POST", body=b"x").headers.items() == []
    with pytest.raises(TypeError, match=r"^Unsupported type in Request: dict$"):
        Request("https://a.example", method="POST", body={"a": 1})
    with pytest.raises(TypeError, match=r"^Unsupported type in Request: Request$"):
        Request("https://a.example", method="POST", body=given)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_get_and_head_have_no_body(method: str) -> None:
    """As the fetch standard has it."""
    with pytest.raises(TypeError, match="GET or HEAD"):
        Request("https://a.example", method=method, body="x")


async def test_a_body_is_none_when_there_is_none() -> None:
    """stream() is then empty and text() is empty."""
    request = incoming()
    assert request.body is None
    assert [chunk async for chunk in request.stream()] == []
    assert await request.text() == ""


async def test_a_body_can_be_streamed() -> None:
    """By stream() and by body; once."""
    assert [chunk async for chunk in incoming("POST", b"abc").stream()] == [b"abc"]
    request = incoming("POST", b"abc")
    assert request.body is not None
    assert [chunk async for chunk in request.body] == [b"abc"]
    assert request.body_used
    with pytest.raises(OSError, match="Body already used"):
        request.stream()


def test_repeated_fields_are_joined_but_for_set_cookie() -> None:
    """RFC 9110, section 5.3; what is forwarded is what came."""
    request = incoming(pairs=[("Accept", "a"), ("accept", "b"), ("Set-Cookie", "x"), ("Set-Cookie", "y")])
    assert request.headers.items() == [("Accept", "a, b"), ("Set-Cookie", "x"), ("Set-Cookie", "y")]


def test_an_incoming_request_leaves_redirects_to_the_client() -> None:
    """redirect is manual, and a copy keeps it; a new request follows."""
    assert incoming().redirect == "manual"
    assert Request(incoming()).redirect == "manual"
    assert Request(incoming(), redirect="follow").redirect == "follow"
    assert Request("https://a.example").redirect == "follow"
    with pytest.raises(TypeError, match="follow, manual or error"):
        Request("https://a.example", redirect="maybe")


async def test_a_request_of_a_request_takes_its_parts() -> None:
    """Method, headers and the very body; options replace them; the first one stays as it was."""
    first = incoming("POST", b"abc", [("X", "1"), ("Content-Length", "3")])
    second = Request(first, headers={"Y": "2"})
    assert (second.url, second.method, second.headers.items()) == (first.url, "POST", [("Y", "2")])
    assert second._inner.body is first._inner.body
    other = Request(first, body="longer body")
    assert "content-length" not in other.headers
    assert first.headers["content-length"] == "3"
    assert await second.text() == "abc"
    with pytest.raises(OSError, match="Body already used"):
        Request(first)


async def test_changed_headers_go_along() -> None:
    """What the author sets on an incoming request's headers is what a copy has."""
    first = incoming(pairs=[("X", "1")])
    first.headers["X"] = "2"
    assert Request(first).headers["x"] == "2"
    assert first.clone().headers["x"] == "2"


async def test_clones() -> None:
    """Each is read by itself; after a read there is no clone."""
    first = incoming("POST", b"abc")
    second = first.clone()
    assert (await first.text(), await second.text()) == ("abc", "abc")
    with pytest.raises(OSError, match="Body already used"):
        first.clone()


def test_cf_has_every_attribute() -> None:
    """None unless it was given."""
    assert incoming().cf.country is None
    assert Request("https://a.example", cf={"cacheTtl": 5}).cf.cacheTtl == 5
    assert not hasattr(incoming().cf, "__len__")


def test_options_that_are_not_known_are_ignored() -> None:
    """signal is kept, others go unseen."""
    signal = object()
    request = Request("https://a.example", signal=signal, keepalive=True, whatever=1)
    assert request.signal is signal
    assert request.referrer == ""
    assert incoming(pairs=[("Referer", "https://b.example/")]).referrer == "https://b.example/"


def test_authors_may_keep_things_on_a_request() -> None:
    """As middleware does: `request.user = ...`."""
    request = incoming()
    request.user = "a"  # type: ignore[attr-defined]
    assert request.user == "a"  # type: ignore[attr-defined]
