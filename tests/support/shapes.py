"""Several hundred shapes of a response, generated: what upstreams send, rightly, oddly and wrongly.

A shape is bytes and whether the connection ends after them. `sound` ones cross statuses, framings, connection fields,
versions, 1xx answers before and methods; `odd` and `wrong` ones are listed, each with the rule that it stretches or
breaks. Source: RFC 9110 and 9112, by section where a shape is listed.
"""

from collections.abc import Iterator
from itertools import product
from typing import NamedTuple

BODY = b"hello world"


class Shape(NamedTuple):
    """One response to one request."""

    name: str
    method: str
    raw: bytes
    close: bool


class Framing(NamedTuple):
    """How a response says where its body ends; without `fields` the end of the connection does."""

    name: str
    fields: bytes
    body: bytes


LENGTH = Framing("length", b"Content-Length: 11\r\n", BODY)
FRAMINGS = (
    LENGTH,
    Framing("empty", b"Content-Length: 0\r\n", b""),
    Framing("chunked", b"Transfer-Encoding: chunked\r\n", b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n"),
    Framing("no chunk", b"Transfer-Encoding: chunked\r\n", b"0\r\n\r\n"),
    Framing(
        "extensions",
        b"transfer-encoding: Chunked\r\n",
        b'5;a=b\r\nhello\r\n006 ;c="d;e";f\r\n world\r\n000\r\n\r\n',
    ),
    Framing(
        "trailers",
        b"Trailer: X-T\r\nTransfer-Encoding: chunked\r\n",
        b"B\r\nhello world\r\n0\r\nX-T: 1\r\nX-U:\r\n\r\n",
    ),
    Framing("end", b"", BODY),
    Framing("end, empty", b"", b""),
)
STATUSES = (b"200 OK", b"203 Non-Authoritative Information", b"404 Not Found", b"503 Service Unavailable", b"599 ")
BODYLESS = (b"204 No Content", b"304 Not Modified")
CONNECTIONS = (b"", b"Connection: close\r\n", b"Connection: keep-alive\r\nKeep-Alive: timeout=5\r\n")
EARLY = (
    b"",
    b"HTTP/1.1 100 Continue\r\n\r\n",
    b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nContent-Length: 3\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n",
)

FIELDS = {
    "many cases": b"X-A: 1\r\nx-a: 2\r\nX-a: 3\r\n",
    "white space around values": b"X-A:1\r\nX-B:  2  \r\nX-C:\t3\t\r\nX-D: a \t b \r\n",
    "empty values": b"X-A:\r\nX-B: \r\nX-C:   \t\r\nX-D: end\r\n",
    "obs-text": b"X-A: caf\xe9\r\nX-B: caf\xc3\xa9\r\nX-C: \xff\x80\r\n",
    "repeats": b"Via: 1.1 a\r\nWarning: x\r\nVia: 1.1 b\r\nvia: 1.1 a\r\n",
    "Set-Cookie": b"Set-Cookie: a=1; Path=/\r\nSet-Cookie: b=2\r\nset-cookie: a=1; Path=/\r\nSet-Cookie: \r\n",
    "every token character": b"!#$%&'*+-.^_`|~09aZ: 1\r\n",
    "colons and commas": b'X-A: b: c, d;e="f"\r\nX-B: :\r\nX-C: ,,\r\n',
    "a long value": b"X-A: " + b"y" * 5_000 + b"\r\n",
    "many fields": b"".join(b"X-%d: %d\r\n" % (n, n) for n in range(90)),
    "a tab in a value": b"X-A: b\tc\r\n",
    "a coding that is not undone": b"Content-Encoding: x-none\r\n",
}

REASONS = {
    "no reason": b"200 ",
    "no reason, no space": b"200",
    "two spaces": b"200  OK",
    "a long reason": b"200 " + b"so " * 40 + b"what",
    "obs-text reason": b"200 tr\xe8s bien",
    "a reason with a tab": b"200 O\tK",
    "colon in reason": b"200 a: b",
}

WRONG = {
    # RFC 9112, section 4: the status line.
    "nothing": b"",
    "another protocol": b"SSH-2.0-OpenSSH_9.6\r\n\r\n",
    "HTML alone": b"<html>no head</html>\r\n\r\n",
    "HTTP/2.0": b"HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n",
    "HTTP/0.9": b"HTTP/0.9 200 OK\r\nContent-Length: 0\r\n\r\n",
    "HTTP/1.2": b"HTTP/1.2 200 OK\r\nContent-Length: 0\r\n\r\n",
    "lower-case http": b"http/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    "an empty line first": b"\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    "a space first": b" HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    "status of two digits": b"HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n",
    "status of four digits": b"HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n",
    "status of letters": b"HTTP/1.1 abc OK\r\nContent-Length: 0\r\n\r\n",
    "status 000": b"HTTP/1.1 000 OK\r\nContent-Length: 0\r\n\r\n",
    "status 600": b"HTTP/1.1 600 OK\r\nContent-Length: 0\r\n\r\n",
    "status 999": b"HTTP/1.1 999 OK\r\nContent-Length: 0\r\n\r\n",
    "no status": b"HTTP/1.1\r\nContent-Length: 0\r\n\r\n",
    "a control character in the reason": b"HTTP/1.1 200 O\x01K\r\nContent-Length: 0\r\n\r\n",
    "NUL in the reason": b"HTTP/1.1 200 O\0K\r\nContent-Length: 0\r\n\r\n",
    # Section 2.2: line ends; section 5: fields.
    "bare LF": b"HTTP/1.1 200 OK\nContent-Length: 0\n\n",
    "bare CR": b"HTTP/1.1 200 OK\r\nX: a\rb\r\nContent-Length: 0\r\n\r\n",
    "a space before the colon": b"HTTP/1.1 200 OK\r\nX-A : b\r\nContent-Length: 0\r\n\r\n",
    "a space in a name": b"HTTP/1.1 200 OK\r\nX A: b\r\nContent-Length: 0\r\n\r\n",
    "an empty name": b"HTTP/1.1 200 OK\r\n: b\r\nContent-Length: 0\r\n\r\n",
    "no colon": b"HTTP/1.1 200 OK\r\nnonsense\r\nContent-Length: 0\r\n\r\n",
    "a name beyond ASCII": b"HTTP/1.1 200 OK\r\nX-\xe9: b\r\nContent-Length: 0\r\n\r\n",
    "a folded line": b"HTTP/1.1 200 OK\r\nX-A: b\r\n c\r\nContent-Length: 0\r\n\r\n",
    "a space before the first field": b"HTTP/1.1 200 OK\r\n X-A: b\r\nContent-Length: 0\r\n\r\n",
    "NUL in a value": b"HTTP/1.1 200 OK\r\nX-A: b\0c\r\nContent-Length: 0\r\n\r\n",
    "a control character in a value": b"HTTP/1.1 200 OK\r\nX-A: b\x01c\r\nContent-Length: 0\r\n\r\n",
    # Section 6.3: the length of the body.
    "both framings": b"HTTP/1.1 200 OK\r\nContent-Length: 11\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "both framings, turned": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 11\r\n\r\n0\r\n\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
    "the same length twice": b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
    "a list of lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 3, 3\r\n\r\nabc",
    "a negative length": b"HTTP/1.1 200 OK\r\nContent-Length: -3\r\n\r\nabc",
    "a length with a plus": b"HTTP/1.1 200 OK\r\nContent-Length: +3\r\n\r\nabc",
    "a length with an underscore": b"HTTP/1.1 200 OK\r\nContent-Length: 1_1\r\n\r\n" + BODY,
    "a hexadecimal length": b"HTTP/1.1 200 OK\r\nContent-Length: 0xb\r\n\r\n" + BODY,
    "an empty length": b"HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\nabc",
    "a length of words": b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\nabc",
    "a huge length": b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999999\r\n\r\nabc",
    "cut in its length": b"HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\nhello",
    "cut in its head": b"HTTP/1.1 200 OK\r\nContent-Le",
    "cut before the last line": b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n",
    "only 1xx": b"HTTP/1.1 100 Continue\r\n\r\n",
    "an upgrade": b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\nabc",
    # Sections 6.1 and 7.1: transfer codings.
    "gzip, chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    "chunked, gzip": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, gzip\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    "chunked twice": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    "identity": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\nabc",
    "xchunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: xchunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    "quoted chunked": b'HTTP/1.1 200 OK\r\nTransfer-Encoding: "chunked"\r\n\r\n3\r\nabc\r\n0\r\n\r\n',
    **{
        f"chunks: {name}": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + body
        for name, body in {
            "not hexadecimal": b"xyz\r\nabc\r\n0\r\n\r\n",
            "0x": b"0x3\r\nabc\r\n0\r\n\r\n",
            "negative": b"-3\r\nabc\r\n0\r\n\r\n",
            "plus": b"+3\r\nabc\r\n0\r\n\r\n",
            "no size": b"\r\nabc\r\n0\r\n\r\n",
            "a space first": b" 3\r\nabc\r\n0\r\n\r\n",
            "seventeen digits": b"fffffffffffffffff\r\nabc\r\n0\r\n\r\n",
            "too little data": b"5\r\nabc\r\n0\r\n\r\n",
            "too much data": b"2\r\nabc\r\n0\r\n\r\n",
            "no line end after data": b"3\r\nabc0\r\n\r\n",
            "bare LF after size": b"3\nabc\r\n0\r\n\r\n",
            "bare LF after data": b"3\r\nabc\n0\r\n\r\n",
            "bare LF in an extension": b"3;a\nabc\r\n0\r\n\r\n",
            "no last chunk": b"3\r\nabc\r\n",
            "cut in a size": b"3\r\nabc\r\n1",
            "cut in data": b"5\r\nabc",
            "cut in trailers": b"3\r\nabc\r\n0\r\nX-T: 1\r\n",
            "a trailer without a colon": b"3\r\nabc\r\n0\r\nnonsense\r\n\r\n",
            "no line end at the end": b"3\r\nabc\r\n0\r\n",
        }.items()
    },
}


def sound() -> Iterator[Shape]:
    """Responses that must be understood."""
    for status, framing, connection, version in product(STATUSES, FRAMINGS, CONNECTIONS, (b"1.1", b"1.0")):
        if version == b"1.0" and b"ransfer" in framing.fields:
            continue
        early = EARLY[(len(status) + len(framing.name) + len(connection)) % 3] if version == b"1.1" else b""
        yield _sound("GET", status, framing, connection, version, early)
    for status, framing, connection in product((*STATUSES[:2], *BODYLESS), FRAMINGS, CONNECTIONS[:2]):
        yield _sound("HEAD", status, framing._replace(body=b""), connection, b"1.1", EARLY[len(framing.name) % 3])
    for status, connection, version in product(BODYLESS, CONNECTIONS, (b"1.1", b"1.0")):
        yield _sound("GET", status, Framing("none", b"", b""), connection, version, b"")


def odd() -> Iterator[Shape]:
    """Responses that are allowed, but seldom."""
    for (name, fields), framing in product(FIELDS.items(), FRAMINGS[:3]):
        head = b"HTTP/1.1 200 OK\r\n" + fields + framing.fields + b"\r\n"
        yield Shape(f"{name} | {framing.name}", "GET", head + framing.body, False)
    for (name, status), method in product(REASONS.items(), ("GET", "HEAD")):
        head = b"HTTP/1.1 " + status + b"\r\nContent-Length: 11\r\n\r\n"
        yield Shape(f"{name} | {method}", method, head + (BODY if method == "GET" else b""), False)
    head = b"HTTP/1.1 304 Not Modified\r\nContent-Length: 11\r\n\r\n"
    yield Shape("304 with the length it would have", "GET", head, True)
    yield Shape(
        "HTTP/1.0, chunked", "GET", b"HTTP/1.0 200 OK\r\n" + FRAMINGS[2].fields + b"\r\n" + FRAMINGS[2].body, True
    )


def wrong() -> Iterator[Shape]:
    """Responses that break a rule; the connection ends after each."""
    for name, raw in WRONG.items():
        yield Shape(name, "GET", raw, True)


def _sound(method: str, status: bytes, framing: Framing, connection: bytes, version: bytes, early: bytes) -> Shape:
    head = b"HTTP/" + version + b" " + status + b"\r\n" + connection + b"X-Shape: 1\r\n" + framing.fields + b"\r\n"
    name = f"{method} {version.decode()} {status.decode().strip()} | {framing.name}"
    name = f"{name} | {connection.decode().strip()[12:].split()[:1]} | {len(early)} bytes before"
    close = b"close" in connection or (framing.name.startswith("end") and method == "GET")
    return Shape(name, method, early + head + framing.body, close)
