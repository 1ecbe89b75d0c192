"""The bytes of a request: what is written, what is left out, and that nothing can break out of its line."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atoll import __version__
from atoll.fetch.outgoing import CHUNKED, NO_BODY, ONE_WRITE_BYTES_MAX, head_of, outgoing
from atoll.http.body import Body
from atoll.http.headers import Headers
from atoll.http.message import Request
from atoll.http.url import parse
from support.raw_upstream import ListSource

URL = parse("http://example.com:8080/a/b?c=d#e")
DEFAULTS = f"accept: */*\r\naccept-encoding: gzip, deflate, br, zstd\r\nuser-agent: atoll/{__version__}\r\n"


def head(*pairs: tuple[str, str], method: str = "GET", length: int = NO_BODY) -> str:
    return head_of(method, URL, Headers.trusted(list(pairs)), length).decode("latin-1")


def test_a_plain_get() -> None:
    """Target and host come from the URL; defaults stand in for what was not given."""
    assert head() == f"GET /a/b?c=d HTTP/1.1\r\nhost: example.com:8080\r\n{DEFAULTS}\r\n"


def test_the_default_port_is_not_said() -> None:
    """The Host field is the URL's authority (RFC 9110, section 7.2)."""
    assert b"host: example.com\r\n" in head_of("GET", parse("https://example.com:443/"), Headers(), NO_BODY)


def test_given_fields_replace_defaults() -> None:
    """Accept, Accept-Encoding and User-Agent of the author stand; the other defaults stay."""
    text = head(("Accept-Encoding", "br"), ("USER-AGENT", "mine"))
    assert "Accept-Encoding: br\r\nUSER-AGENT: mine\r\naccept: */*\r\n" in text
    assert "gzip" not in text
    assert "atoll/" not in text


@pytest.mark.parametrize(
    "name",
    [
        "Host",
        "Connection",
        "Keep-Alive",
        "Proxy-Connection",
        "Transfer-Encoding",
        "Content-Length",
        "TE",
        "Trailer",
        "Upgrade",
        "Expect",
    ],
)
def test_framing_is_not_the_authors(name: str) -> None:
    """Fields about host, connection and framing are left out, in any case and number."""
    text = head((name, "evil"), (name.lower(), "evil"), ("X-Kept", "1"))
    assert "evil" not in text
    assert "X-Kept: 1\r\n" in text


def test_fields_named_by_connection_stay_here() -> None:
    """A hop-by-hop field goes no further, whichever name it has (RFC 9110, section 7.6.1)."""
    text = head(("X-Auth", "secret"), ("Connection", "close, x-AUTH"), ("X-Other", "1"))
    assert "secret" not in text
    assert "X-Other: 1\r\n" in text


@pytest.mark.parametrize(
    ("method", "length", "line"),
    [
        ("GET", NO_BODY, None),
        ("DELETE", NO_BODY, None),
        ("POST", NO_BODY, "content-length: 0"),
        ("PUT", NO_BODY, "content-length: 0"),
        ("POST", 17, "content-length: 17"),
        ("GET", 3, "content-length: 3"),
        ("POST", CHUNKED, "transfer-encoding: chunked"),
    ],
)
def test_framing_of_the_body(method: str, length: int, line: str | None) -> None:
    """Exactly one field says how long the body is, and none where no body is meant."""
    lines = [text for text in head(method=method, length=length).split("\r\n") if "length" in text or "coding" in text]
    lines.remove("accept-encoding: gzip, deflate, br, zstd")
    assert lines == ([] if line is None else [line])


@pytest.mark.parametrize("bad", ["a\r\nX-Evil: 1", "a\nb", "a\rb", "a\0b"])
def test_no_line_break_gets_out(bad: str) -> None:
    """Even a field that entered as trusted cannot split the head; the error names it."""
    with pytest.raises(ValueError, match=r"X-Field.*line break or NUL"):
        head(("X-Field", bad))
    with pytest.raises(ValueError, match="line break or NUL"):
        head((bad, "value"))


def test_text_beyond_latin_1_is_refused_by_name() -> None:
    """What cannot be a byte of a field is an error that names the field."""
    with pytest.raises(ValueError, match=r"'X-Snow'.*latin-1"):
        head(("X-Snow", "\u2603"))


@pytest.mark.parametrize("method", ["", "GE T", "GET\r\n", "GET / HTTP/1.1\r\nX: ", "CONNECT", "TRACE", "G\u00c9T"])
def test_refuses_methods(method: str) -> None:
    """A method is a token, and not one that would turn the connection into something else."""
    with pytest.raises(ValueError, match="method"):
        head(method=method)


def test_unknown_methods_are_sent() -> None:
    """Any other token is the author's business."""
    assert head(method="PURGE").startswith("PURGE /a/b?c=d HTTP/1.1\r\n")


def request(body: Body | None, method: str = "POST") -> Request:
    return Request(method, URL, Headers(), body)


def test_small_bodies_leave_with_the_head() -> None:
    """A small body that is there needs no second write."""
    sending = outgoing(request(Body(b"hello")))
    assert sending.payload is None
    assert sending.head.endswith(b"content-length: 5\r\n\r\nhello")
    assert sending.replayable


def test_large_and_streamed_bodies_follow() -> None:
    """A large body is sent piece by piece; a stream can be sent once only."""
    large = outgoing(request(Body(b"x" * (ONE_WRITE_BYTES_MAX + 1))))
    assert (len(large.payload or b""), large.replayable) == (ONE_WRITE_BYTES_MAX + 1, True)  # type: ignore[arg-type]
    sized = outgoing(request(Body(source=ListSource([b"abc"]), length=3)))
    assert (sized.length, sized.replayable) == (3, False)
    assert outgoing(request(Body(source=ListSource([b"abc"])))).length == CHUNKED


def test_an_empty_body_of_a_get_is_not_announced() -> None:
    """An empty body is said aloud only where the method gives it a meaning."""
    assert b"content-length" not in outgoing(request(Body(b""), "GET")).head
    assert b"content-length: 0" in outgoing(request(Body(b""), "POST")).head


@given(pairs=st.lists(st.tuples(st.text(max_size=12), st.text(max_size=12)), max_size=5), method=st.text(max_size=8))
def test_whatever_is_given_one_head_comes_out(pairs: list[tuple[str, str]], method: str) -> None:
    """Arbitrary text gives a ValueError, or exactly as many lines as there are fields."""
    try:
        sent = head_of(method, URL, Headers.trusted(pairs), NO_BODY)
    except ValueError:
        return
    lines = sent.split(b"\r\n")
    assert lines[-2:] == [b"", b""]
    assert len(lines) <= 2 + 2 + 3 + 1 + len(pairs)
    assert sent.count(b"\n") == sent.count(b"\r") == len(lines) - 1
