"""The Response face."""

import gzip
import json
import random
from http import HTTPStatus

import brotli
import pytest
from hypothesis import given
from hypothesis import strategies as st

from atoll.errors import BodyUsed
from atoll.http.body import Body
from atoll.http.headers import Headers as InnerHeaders
from atoll.http.message import Response as Inner
from atoll.workers.headers import Headers
from atoll.workers.response import Response


def fetched(body: bytes = b"upstream", **headers: str) -> Response:
    """A Response as `fetch` gives it."""
    return Response._of(Inner(200, InnerHeaders(headers.items()), Body(body), url="https://a.example/"))


async def test_text_has_a_content_type_and_bytes_have_none() -> None:
    """str → text/plain;charset=UTF-8, unless it was given."""
    text = Response("héllo")
    assert text.headers.items() == [("content-type", "text/plain;charset=UTF-8")]
    assert await text.text() == "héllo"
    assert Response(b"x").headers.items() == []
    assert Response("<p>", headers={"Content-Type": "text/html"}).headers.items() == [("Content-Type", "text/html")]
    assert Response().headers.items() == []


@pytest.mark.parametrize("body", [5, 1.5, {"a": 1}, {1}, object(), [1, 2], True, (("a",),)])
def test_a_body_of_another_type_is_a_type_error(body: object) -> None:
    """The text names the class, as Cloudflare's does."""
    with pytest.raises(TypeError, match=f"^Unsupported type in Response: {type(body).__name__}$"):
        Response(body)


async def test_all_bytes_like_bodies_and_lists_of_chunks_are_held() -> None:
    """bytes, bytearray, memoryview, and a list of str and bytes."""
    for body in (b"abc", bytearray(b"abc"), memoryview(b"abc"), ["a", b"bc"], ("abc",)):
        response = Response(body)
        assert response._inner.body is not None
        assert response._inner.body.length == 3
        assert await response.bytes() == b"abc"


@given(
    st.recursive(
        st.none() | st.integers() | st.floats() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)
    )
)
def test_json_bytes_are_those_of_the_json_module(data: object) -> None:
    """The bytes on the wire are json.dumps(data) with its default separators."""
    for response in (Response.json(data), Response.from_json(data)):
        assert response._inner.body is not None
        assert response._inner.body.held == json.dumps(data).encode()


async def test_json_builds_from_the_class_and_parses_from_an_instance() -> None:
    """One name, two meanings, as in JavaScript."""
    made = Response.json([1, 2, 3], status=201, headers={"X": "y"})
    assert (made.status, made.headers.items()) == (201, [("X", "y"), ("content-type", "application/json")])
    assert await made.json() == [1, 2, 3]
    assert await Response("1.5").json(parse_float=str) == "1.5"
    assert Response.json({}, headers={"Content-Type": "application/problem+json"}).headers.items() == [
        ("Content-Type", "application/problem+json")
    ]
    with pytest.raises(TypeError, match="not JSON serializable"):
        Response.json(object())
    with pytest.raises(json.JSONDecodeError):
        await Response("{").json()


async def test_a_subclass_builds_itself() -> None:
    """The class methods make the class they are called on."""

    class Page(Response):
        pass

    assert type(Page.json(1)) is Page
    assert type(Page.redirect("https://a.example")) is Page
    assert await Page("x").text() == "x"


async def test_every_way_of_reading() -> None:
    """text, string, bytes, buffer, memoryview, json, and the stream."""
    assert await Response("1").text() == await Response("1").string() == "1"
    assert await Response("1").bytes() == await Response("1").buffer() == await Response("1").memoryview() == b"1"
    assert await Response("1").json() == 1
    body = Response("1").body
    assert body is not None
    assert [chunk async for chunk in body] == [b"1"]


async def test_a_body_is_read_once() -> None:
    """The second read, and a clone after a read, are OSError("Body already used")."""
    response = Response("x")
    assert not response.body_used
    await response.text()
    assert response.body_used
    for read in (response.text, response.bytes, response.json):
        with pytest.raises(OSError, match=r"^Body already used$"):
            await read()
    with pytest.raises(OSError, match=r"^Body already used$"):
        response.clone()
    with pytest.raises(OSError, match=r"^Body already used$"):
        Response(response.body)


async def test_no_body_reads_as_nothing() -> None:
    """body is None, text is empty, and nothing is used up."""
    response = Response()
    assert response.body is None
    assert await response.text() == await response.text() == ""
    assert not response.body_used


@pytest.mark.parametrize("status", [200, 204, 404, 599, 101, HTTPStatus.CREATED])
def test_statuses_that_may_be_set(status: int) -> None:
    """200 to 599, and 101."""
    assert Response(None, status=status).status == status
    assert type(Response(None, status=status)._inner.status) is int


@pytest.mark.parametrize("status", [0, 99, 100, 103, 199, 600, 1000, -1])
def test_statuses_out_of_range_are_a_value_error(status: int) -> None:
    """The text names range and value."""
    with pytest.raises(ValueError, match=f"200 to 599.*{status}"):
        Response("x", status=status)


@pytest.mark.parametrize("status", ["200", 200.0, True])
def test_a_status_is_an_int(status: object) -> None:
    """Neither text nor bool."""
    with pytest.raises(TypeError, match="must be an int"):
        Response("x", status=status)  # type: ignore[arg-type]


@pytest.mark.parametrize("status", [101, 204, 205, 304])
def test_a_status_without_body_refuses_one(status: int) -> None:
    """An empty text passes, as on Cloudflare, and is no body."""
    with pytest.raises(TypeError, match="cannot have a body"):
        Response("x", status=status)
    with pytest.raises(TypeError, match="cannot have a body"):
        Response.json({}, status=status)
    assert Response("", status=status).body is None


@pytest.mark.parametrize("text", ["a\r\nb", "日本", "\x00"])
def test_a_status_text_cannot_split_the_head(text: str) -> None:
    """It stands in the status line."""
    with pytest.raises(ValueError, match="cannot be sent"):
        Response("x", status_text=text)


def test_properties_and_repr() -> None:
    """status_text defaults to the reason phrase."""
    response = Response.json({})
    assert repr(response) == "Response(status=200, status_text='OK', content_type='application/json')"
    assert (response.ok, response.url, response.type, response.redirected) == (True, "", "default", False)
    assert Response("x", status=404).status_text == "Not Found"
    assert Response("x", status=404, status_text="Gone Fishing").status_text == "Gone Fishing"
    assert Response("x", status=299).status_text == ""
    assert not Response("x", status=404).ok
    assert fetched().url == "https://a.example/"


def test_redirect() -> None:
    """A Location in normal form; ValueError on the status, TypeError on the URL."""
    response = Response.redirect("https://test.com")
    assert (response.status, response.headers["Location"]) == (302, "https://test.com/")
    assert Response.redirect("https://test.com/", 308).status == 308
    with pytest.raises(ValueError, match="not 200"):
        Response.redirect("https://test.com", status=200)
    for url in ("/relative", "not a url", ""):
        with pytest.raises(TypeError, match="Unable to parse URL"):
            Response.redirect(url)


async def test_wrapping_a_response_takes_no_options() -> None:
    """Response(response) has the same everything; with any option it is a ValueError."""
    upstream = fetched(**{"X-A": "1"})
    wrapped = Response(upstream)
    wrapped.headers["X-A"] = "2"
    assert upstream.headers["X-A"] == "1"
    assert (wrapped.url, await wrapped.text(), upstream.body_used) == ("https://a.example/", "upstream", True)
    for options in ({"status": 200}, {"headers": {}}, {"status_text": "x"}):
        with pytest.raises(ValueError, match=r"^Expected no options when constructing Response from a js\.Response$"):
            Response(fetched(), **options)  # type: ignore[arg-type]


def test_the_body_of_a_fetched_response_passes_through_untouched() -> None:
    """The very body object: nothing is copied on the way of a proxy."""
    upstream = fetched()
    body = upstream._inner.body
    assert Response(upstream.body, status=203, headers=upstream.headers)._sendable().body is body
    again = fetched()
    inner = again._inner
    assert again._sendable() is inner


async def test_clones_are_read_each_at_its_own_pace() -> None:
    """Both have the whole body and fields of their own."""
    first = Response("body", headers={"a": "1"}, status=201)
    second = first.clone()
    second.headers["a"] = "2"
    assert (await first.text(), await second.text()) == ("body", "body")
    assert (first.headers["a"], second.headers["a"], second.status) == ("1", "2", 201)


async def test_replace_body_leaves_out_what_was_said_of_the_old_one() -> None:
    """Status and other headers stay; length and coding of the old bytes go."""
    upstream = fetched(**{"Content-Length": "8", "Content-Encoding": "gzip", "Content-Type": "text/html", "X": "y"})
    replaced = upstream.replace_body("new")
    assert replaced.headers.items() == [("Content-Type", "text/html"), ("X", "y")]
    assert (await replaced.text(), await upstream.text()) == ("new", "upstream")
    assert Response().replace_body("x").headers["content-type"] == "text/plain;charset=UTF-8"
    with pytest.raises(TypeError, match="cannot have a body"):
        Response(status=204).replace_body("x")


def test_header_changes_count_when_sent_and_are_checked() -> None:
    """What the author sets through any door of the HTTPMessage is checked before it is sent."""
    response = Response("x")
    response.headers["X-A"] = "1"
    response.headers.append("Set-Cookie", "a=1")
    response.headers.append("Set-Cookie", "b=2")
    assert response._sendable().headers.pairs == [
        ("content-type", "text/plain;charset=UTF-8"),
        ("X-A", "1"),
        ("Set-Cookie", "a=1"),
        ("Set-Cookie", "b=2"),
    ]
    sly = Response("x")
    sly.headers.set_raw("X-A", "1\r\nSet-Cookie: stolen=1")
    with pytest.raises(ValueError, match="'X-A'"):
        sly._sendable()


def test_headers_that_were_only_read_are_sent_as_they_came() -> None:
    """Reading costs no second check: the list that came is the list that goes."""
    upstream = fetched(**{"X-A": "1"})
    came = upstream._inner.headers
    assert upstream.headers["x-a"] == "1"
    assert upstream._sendable().headers is came


def test_a_response_is_sent_once_but_one_without_body_again_and_again() -> None:
    """In a reused isolate a response kept in a global would otherwise give its body to two clients."""
    response = Response("x")
    response._sendable()
    with pytest.raises(BodyUsed):
        response._sendable()
    empty = Response(None, status=404, headers={"a": "1"})
    first, second = empty._sendable(), empty._sendable()
    assert first is not second
    assert first.headers is not second.headers
    assert second.headers.pairs == [("a", "1")]


@pytest.mark.parametrize(
    ("coding", "body", "kept"),
    [
        ("gzip", b"plain", False),
        ("gzip", b"\x1f\x8b\x08rest", True),
        ("deflate", b"plain", False),
        ("deflate", b"\x78\x9crest", True),
        ("br", b"plain text that is no brotli", False),
        ("br", brotli.compress(b"plain"), True),
        ("br", brotli.compress(random.Random(1).randbytes(100_000)), True),
        ("zstd", b"plain", False),
        ("zstd", bytes.fromhex("28b52ffd2000010000"), True),
    ],
)
def test_a_coding_is_not_claimed_of_bytes_that_do_not_have_it(coding: str, body: bytes, kept: bool) -> None:
    """A text that was read decoded and sent on under the upstream's headers is not gzip any more."""
    sent = Response(body, headers={"X": "y", "Content-Encoding": coding})._sendable()
    assert ("content-encoding" in sent.headers) is kept


async def test_a_compressed_body_that_nobody_reads_leaves_as_it_came() -> None:
    """A proxy decodes nothing; without the Content-Encoding field the body leaves decoded, and without its length."""
    raw = gzip.compress(b"plain")

    def compressed() -> Response:
        fields = [("Content-Encoding", "gzip"), ("Content-Length", str(len(raw)))]
        return Response._of(Inner(200, InnerHeaders(fields), Body(raw, encoding="gzip")))

    for passed in (compressed(), Response(compressed()), Response((one := compressed()).body, headers=one.headers)):
        sent = passed._sendable()
        assert sent.body is not None
        assert sent.body.held == raw
        assert sent.headers.get("content-encoding") == "gzip"
    upstream = compressed()
    upstream.headers.delete("Content-Encoding")
    sent = upstream._sendable()
    assert sent.body is not None
    assert sent.headers.pairs == []
    assert await sent.body.read_all() == b"plain"
    assert await compressed().text() == "plain"


def test_raise_for_status() -> None:
    """An OSError for 400 to 599 that names status and URL."""
    Response("x", status=399).raise_for_status()
    with pytest.raises(OSError, match=r"^404 Client Error: Not Found for url: $"):
        Response("x", status=404).raise_for_status()
    with pytest.raises(OSError, match="502 Server Error"):
        Response("x", status=502).raise_for_status()


def test_what_is_not_there_yet_says_so() -> None:
    """blob and form_data are absent, with a text of their own."""
    response = Response("x")
    assert not hasattr(response, "blob")
    with pytest.raises(AttributeError, match=r"workers\.Response\.form_data is not part of Atoll yet"):
        _ = response.form_data
    with pytest.raises(TypeError, match="web_socket is not part of Atoll yet"):
        Response(None, web_socket=object())  # type: ignore[arg-type]


def test_authors_may_keep_things_on_a_response() -> None:
    """An instance has room for attributes; its properties are still guarded."""
    response = Response("x")
    response.extra = 1  # type: ignore[attr-defined]
    with pytest.raises(AttributeError):
        response.status = 404  # type: ignore[misc]


def test_headers_must_be_headers() -> None:
    """Anything else is a TypeError."""
    with pytest.raises(TypeError, match="headers must be a dict"):
        Response("x", headers="a: b")
    assert Response("x", headers=Headers({"a": "b"})).headers["a"] == "b"
