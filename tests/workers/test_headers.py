"""The Headers face."""

import copy
from http.client import HTTPMessage

import pytest

from atoll.workers.headers import Headers, joined


@pytest.mark.parametrize(
    "init",
    [
        {"Content-Type": "a/b", "X-N": 1},
        [("Content-Type", "a/b"), ["X-N", 1]],
        Headers({"Content-Type": "a/b", "X-N": "1"}),
        (pair for pair in [("Content-Type", "a/b"), ("X-N", "1")]),
    ],
)
def test_headers_are_made_of_a_dict_of_pairs_or_of_headers(init: object) -> None:
    """All forms give the same fields, readable as an HTTPMessage."""
    headers = Headers(init)
    assert isinstance(headers, HTTPMessage)
    assert headers.items() == [("Content-Type", "a/b"), ("X-N", "1")]
    assert headers["content-type"] == headers.get("CONTENT-TYPE") == "a/b"
    assert headers.get_content_type() == "a/b"
    assert "x-n" in headers
    assert headers["absent"] is None
    assert headers.get("absent", "default") == "default"


@pytest.mark.parametrize("init", ["text", 5, b"bytes", [("a",)], ["ab"], [1]])
def test_headers_of_another_type_are_a_type_error(init: object) -> None:
    """The error says what may be given."""
    with pytest.raises(TypeError, match="pairs"):
        Headers(init)


def test_repeats_are_kept_and_joined_when_one_is_asked_for() -> None:
    """get_all has each; get has them joined, as fetch's Headers do; Set-Cookie is never joined."""
    headers = Headers([("Vary", "a"), ("Set-Cookie", "x=1"), ("vary", "b"), ("set-cookie", "y=2")])
    assert headers.get_all("vary") == ["a", "b"]
    assert headers["Vary"] == "a, b"
    assert headers["set-cookie"] == "x=1"
    assert headers.getSetCookie() == ["x=1", "y=2"]
    assert joined(headers._headers) == [("Vary", "a, b"), ("Set-Cookie", "x=1"), ("set-cookie", "y=2")]


def test_writing_replaces_and_appending_adds() -> None:
    """`headers[name] = value` replaces, unlike an HTTPMessage's; JavaScript's and Python's names both work."""
    headers = Headers({"A": "1"})
    headers["a"] = 2
    assert headers.items() == [("a", "2")]
    headers.append("A", True)
    headers.add_header("Content-Disposition", "attachment", filename="x.txt")
    assert headers.get_all("a") == ["2", "true"]
    assert headers["content-disposition"] == 'attachment; filename="x.txt"'
    headers.set("a", "3")
    assert headers.get_all("a") == ["3"]
    assert headers.has("A")
    headers.delete("A")
    assert not headers.has("a")


@pytest.mark.parametrize("value", ["a\r\nSet-Cookie: x=1", "a\nb", "a\x00b", "日本"])
def test_a_value_that_would_split_the_head_is_refused_at_every_write(value: str) -> None:
    """Nothing that was refused stays behind."""
    headers = Headers({"A": "1"})
    with pytest.raises(ValueError, match="'A'"):
        headers["A"] = value
    with pytest.raises(ValueError, match="'A'"):
        headers.append("A", value)
    with pytest.raises(ValueError, match="'A'"):
        Headers({"A": value})
    assert headers.items() == [("A", "1")]


@pytest.mark.parametrize("name", ["", "a b", "a:", "ä", "a\r\n"])
def test_a_name_that_is_no_token_is_refused(name: str) -> None:
    """RFC 9110, section 5.6.2."""
    with pytest.raises(ValueError, match="not a valid header name"):
        Headers({name: "x"})


def test_a_copy_is_independent() -> None:
    """Headers(headers) and the copy module make a second list."""
    first = Headers({"a": "1"})
    for second in (Headers(first), copy.deepcopy(first)):
        second["a"] = "2"
        assert first["a"] == "1"
    assert repr(first) == "Headers([('a', '1')])"
