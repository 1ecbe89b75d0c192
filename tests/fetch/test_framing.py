"""One response from bytes: what is understood, what is refused, and that segments make no difference."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atoll.errors import BadAnswer
from atoll.fetch.framing import FIELDS_MAX, HEAD_BYTES_MAX, TAIL_BYTES_MAX, Reading

PEER = "http://upstream.test"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def read(raw: bytes, *, piece_bytes: int | None = None, method: str = "GET") -> tuple[Reading, bytes]:
    """Feed an answer in pieces of a size; the reading, and its body."""
    reading = Reading(PEER, method)
    step = piece_bytes or len(raw)
    for at in range(0, len(raw), step):
        reading.feed(raw[at : at + step])
    return reading, b"".join(reading.take_chunks())


GOOD = [
    pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", 200, b"hello", True, id="length"),
    pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 200, b"", True, id="empty"),
    pytest.param(CHUNKED + b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", 200, b"abcde", True, id="chunked"),
    pytest.param(CHUNKED + b"3;a=b\r\nabc\r\n0\r\nX-T: 1\r\n\r\n", 200, b"abc", True, id="extension and trailer"),
    pytest.param(CHUNKED + b"3  \r\nabc\r\n2 ;a=b\r\nde\r\n0 \r\n\r\n", 200, b"abcde", True, id="padded sizes"),
    pytest.param(b"HTTP/1.1 204 No Content\r\n\r\n", 204, b"", True, id="204"),
    pytest.param(b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", 304, b"", True, id="304 with a length"),
    pytest.param(b"HTTP/1.1 200\r\nContent-Length: 1\r\n\r\nx", 200, b"x", True, id="no reason"),
    pytest.param(
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx", 200, b"x", False, id="connection: close"
    ),
    pytest.param(b"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx", 200, b"x", False, id="HTTP/1.0"),
    pytest.param(
        b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\nx", 200, b"x", True, id="1.0 kept alive"
    ),
    pytest.param(
        b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
        200,
        b"x",
        False,
        id="chunked in 1.0 ends the connection",
    ),
    pytest.param(
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
        b"HTTP/1.1 201 Created\r\nContent-Length: 1\r\n\r\nx",
        201,
        b"x",
        True,
        id="informational answers are skipped",
    ),
]


@pytest.mark.parametrize(("raw", "status", "body", "reusable"), GOOD)
@pytest.mark.parametrize("piece_bytes", [1, 2, 3, 7, None])
def test_understands(raw: bytes, status: int, body: bytes, reusable: bool, piece_bytes: int | None) -> None:
    """Status, body and the fate of the connection do not depend on where the segments end."""
    reading, found = read(raw, piece_bytes=piece_bytes)
    assert (reading.status, found, reading.complete, reading.reusable) == (status, body, True, reusable)


def test_fields_keep_order_case_and_repeats() -> None:
    """Fields come as they stood, without the white space around values, and none of an informational answer."""
    raw = (
        b"HTTP/1.1 103 Early Hints\r\nX-Early: 1\r\n\r\n"
        b"HTTP/1.1 200 Fine\r\nSet-Cookie: a=1\r\nset-cookie: b=2\r\nX-Pad:   x  \r\nEmpty:\r\nX-High: \xe9\r\n"
        b"Content-Length: 0\r\n\r\n"
    )
    for piece_bytes in (1, 5, None):
        reading, _ = read(raw, piece_bytes=piece_bytes)
        assert reading.reason == "Fine"
        assert reading.fields == [
            ("Set-Cookie", "a=1"),
            ("set-cookie", "b=2"),
            ("X-Pad", "x"),
            ("Empty", ""),
            ("X-High", "é"),
            ("Content-Length", "0"),
        ]


BAD = [
    (b"SSH-2.0-OpenSSH_9.6\r\n", "begins with HTTP/1.1"),
    (b"HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n", "begins with HTTP/1.1"),
    (b"HTTP/0.9 200 OK\r\n\r\n", "begins with HTTP/1.1"),
    (b"RTSP/1.0 200 OK\r\n\r\n", "begins with HTTP/1.1"),
    (b"\r\nHTTP/1.1 200 OK\r\n\r\n", "begins with HTTP/1.1"),
    (b"http/1.1 200 OK\r\n\r\n", "begins with HTTP/1.1"),
    (b"<html>", "begins with HTTP/1.1"),
    (b"HTTP/1.1 000 Zero\r\nContent-Length: 0\r\n\r\n", "status 000"),
    (b"HTTP/1.1 999 Much\r\nContent-Length: 0\r\n\r\n", "status 999"),
    (b"HTTP/1.1 600 Much\r\nContent-Length: 0\r\n\r\n", "status 600"),
    (b"HTTP/1.1 -12 Less\r\n\r\n", "not a valid response"),
    (b"HTTP/1.1 20 Short\r\n\r\n", "not a valid response"),
    (b"HTTP/1.1 200 O\x00K\r\nContent-Length: 0\r\n\r\n", "control characters"),
    (b"HTTP/1.1 200 O\x1b[1mK\r\nContent-Length: 0\r\n\r\n", "control characters"),
    (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", "101"),
    (b"HTTP/1.1 101 Switching Protocols\r\n\r\n", "101"),
    (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n", "HTTP/2.0"),
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: xchunked\r\n\r\n", "'xchunked'"),
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", "'gzip, chunked'"),
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, identity\r\n\r\n", "'chunked, identity'"),
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\n", "'identity'"),
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", "'chunked, chunked'"),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n", "not a valid response"),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\n", "not a valid response"),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\n", "not a valid response"),
    (b"HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\n", "not a valid response"),
    (b"HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\n", "not a valid response"),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999999\r\n\r\n", "not a valid response"),
    (b"HTTP/1.1 200 OK\r\nA: b\r\n folded\r\n\r\n", "not a valid response"),
    (b"HTTP/1.1 200 OK\nContent-Length: 0\n\n", "not a valid response"),
    (b"HTTP/1.1 200 OK\r\nA: \x00\r\n\r\n", "not a valid response"),
    (b"HTTP/1.1 200 OK\r\nA b: c\r\n\r\n", "not a valid response"),
    (b"HTTP/1.1 200 OK\r\nA : c\r\n\r\n", "not a valid response"),
    (CHUNKED + b"xyz\r\n", "not a valid response"),
    (CHUNKED + b"fffffffffffffffff\r\n", "not a valid response"),
    (CHUNKED + b"3\nabc\n0\n\n", "not a valid response"),
    (CHUNKED + b"3\r\nabcd\r\n0\r\n\r\n", "not a valid response"),
]


@pytest.mark.parametrize(("raw", "text"), BAD)
@pytest.mark.parametrize("piece_bytes", [1, 3, None])
def test_refuses(raw: bytes, text: str, piece_bytes: int | None) -> None:
    """Bytes that cannot be trusted are refused, however they are cut; the error names the upstream and what it sent."""
    with pytest.raises(BadAnswer, match=text) as refusal:
        read(raw, piece_bytes=piece_bytes)
    assert str(refusal.value).startswith(PEER)


@pytest.mark.parametrize("piece_bytes", [1, 1_000, 65_536, None])
@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b"HTTP/1.1 200 OK\r\nA: " + b"x" * HEAD_BYTES_MAX + b"\r\n\r\n", id="one long field"),
        pytest.param(b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * (HEAD_BYTES_MAX // 6) + b"\r\n", id="many fields"),
        pytest.param(b"HTTP/1.1 200 " + b"x" * HEAD_BYTES_MAX + b"\r\n\r\n", id="a long reason"),
        pytest.param(b"HTTP/1.1 100 Continue\r\n\r\n" * 50, id="informational answers without end"),
        pytest.param(CHUNKED + b"1;" + b"x" * (TAIL_BYTES_MAX + HEAD_BYTES_MAX), id="a long chunk extension"),
        pytest.param(
            CHUNKED + b"0\r\n" + b"A: b\r\n" * ((TAIL_BYTES_MAX + HEAD_BYTES_MAX) // 6), id="trailers without end"
        ),
        pytest.param(CHUNKED + (b"1;" + b"x" * 500 + b"\r\nx\r\n") * 400, id="an extension on each small chunk"),
    ],
)
def test_bounds_hold_in_any_segments(raw: bytes, piece_bytes: int | None) -> None:
    """Every byte that is not body is bounded, whether it comes in one segment or in many."""
    with pytest.raises(BadAnswer, match=r"more than|at most"):
        read(raw, piece_bytes=piece_bytes)


def test_counts_fields() -> None:
    """No more than FIELDS_MAX fields are read."""
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n"
    read(head + b"A: b\r\n" * (FIELDS_MAX - 1) + b"\r\n")
    with pytest.raises(BadAnswer, match=f"{FIELDS_MAX + 1} header fields"):
        read(head + b"A: b\r\n" * FIELDS_MAX + b"\r\n")


def test_a_million_small_chunks_are_no_overhead() -> None:
    """The framing that chunks need is never held against a body, however many there are."""
    reading = Reading(PEER, "GET")
    reading.feed(CHUNKED)
    for _ in range(2_000):
        reading.feed(b"1\r\nx\r\n" * 500)
        reading.take_chunks()
    reading.feed(b"0\r\n\r\n")
    assert reading.complete
    assert reading.reusable


@pytest.mark.parametrize(
    "raw",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 404 Not Found\r\nContent-Length: 9\r\n\r\n",
    ],
)
@pytest.mark.parametrize("piece_bytes", [1, None])
def test_an_answer_to_head_ends_with_its_head(raw: bytes, piece_bytes: int | None) -> None:
    """Whatever its fields promise, an answer to HEAD has no body."""
    reading, body = read(raw, piece_bytes=piece_bytes, method="HEAD")
    assert (reading.complete, reading.bodyless, body) == (True, True, b"")


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(
    "raw",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\n\r\n",
        b"HTTP/1.1 304 Not Modified\r\nContent-Length: 4\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ],
)
@pytest.mark.parametrize("more", [b"x", b"0", b"body", b"0\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"])
def test_bytes_after_the_end_spoil_the_connection(method: str, raw: bytes, more: bytes) -> None:
    """What follows a response unasked is not part of it, and the connection is not used again."""
    reading, body = read(raw + more, method=method)
    assert (reading.complete, reading.reusable, body) == (True, False, b"")
    assert reading.status == int(raw[9:12])


@pytest.mark.parametrize("more", [b"0", b"5\r", b"x"])
def test_half_a_chunk_after_an_answer_to_head_spoils_the_connection(more: bytes) -> None:
    """Even what llhttp would still take for the beginning of a chunk is noticed."""
    reading, _ = read(CHUNKED + more, method="HEAD")
    assert (reading.complete, reading.reusable) == (True, False)


def test_a_second_answer_changes_nothing_of_the_first() -> None:
    """Two answers to one request: the first stands, with its status, reason and fields."""
    second = b"HTTP/1.1 500 Evil\r\nX-Evil: 1\r\nContent-Length: 1\r\n\r\n!"
    reading, body = read(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi" + second)
    assert (reading.status, reading.reason, body, reading.reusable) == (200, "OK", b"hi", False)
    assert reading.fields == [("Content-Length", "2")]


@pytest.mark.parametrize(
    ("raw", "whole"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\nabc", True),
        (b"HTTP/1.0 200 OK\r\n\r\n", True),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc", False),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", False),
        (b"HTTP/1.1 200 OK\r\nContent-Le", False),
        (b"HTT", False),
    ],
)
def test_the_end_of_file_ends_only_a_body_without_framing(raw: bytes, whole: bool) -> None:
    """Closing the connection completes a response only where nothing else says where it ends."""
    reading, _ = read(raw)
    assert not reading.complete
    assert (reading.end(), reading.reusable) == (whole, False)


@given(data=st.data(), index=st.integers(0, len(GOOD) - 1))
def test_any_segmentation_reads_the_same(data: st.DataObject, index: int) -> None:
    """Cut anywhere, an answer is read as when it comes whole."""
    raw, status, body, reusable = GOOD[index].values
    assert isinstance(raw, bytes)
    reading = Reading(PEER, "GET")
    while raw:
        size = data.draw(st.integers(1, len(raw)))
        reading.feed(raw[:size])
        raw = raw[size:]
    found = b"".join(reading.take_chunks())
    assert (reading.status, found, reading.complete, reading.reusable) == (status, body, True, reusable)


@given(raw=st.binary(max_size=400), pieces=st.integers(1, 40))
def test_garbage_is_refused_or_incomplete(raw: bytes, pieces: int) -> None:
    """No bytes make the reading fail with anything but BadAnswer, or make up a response."""
    try:
        reading, _ = read(b"HTTP/1.1 " + raw, piece_bytes=pieces)
    except BadAnswer:
        return
    assert not reading.head_done or 200 <= reading.status <= 599
