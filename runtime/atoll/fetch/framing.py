"""One response, from bytes to status, fields and pieces of body; llhttp reads, this file judges.

Rules of this file: no sockets, no loop, no clock; bytes go in, state comes out, `BadAnswer` says what was seen and
what was expected. One parser for one response, so that no state of one answer can reach the next.
llhttp takes what cannot be trusted, and meets no limit when fields come in small segments. Checked here: the version
and the status, Transfer-Encoding, unasked upgrades, control characters in the reason, and the number of all bytes
that are not body (fields, chunk extensions, trailers).
Source: RFC 9112, sections 4, 6 and 7; RFC 9110, section 15; the bounds are those of `limits.md` for request fields.
"""

from typing import Final

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from atoll.errors import BadAnswer

HEAD_BYTES_MAX: Final = 131_072
TAIL_BYTES_MAX: Final = 16_384
"""Chunk extensions and trailers beyond one byte for each byte of body; the bound and its form are Go's net/http's."""
FIELDS_MAX: Final = 256
INFORMATIONAL_MAX: Final = 16
CHUNK_FRAMING_BYTES: Final = 20
"""What a chunk may need beside its data: sixteen digits of size and two line ends."""
LF: Final = 0x0A

_STARTS: Final = (b"HTTP/1.1 ", b"HTTP/1.0 ")
_TELLING_FIELDS: Final = frozenset(
    {"content-length", "transfer-encoding", "content-encoding", "keep-alive", "set-cookie"}
)


class Reading:
    """What has been understood of one response so far; `chunks` are the pieces of body since they were last taken."""

    __slots__ = (
        "_counted",
        "_excuse",
        "_informational",
        "_line",
        "_overhead",
        "_overhead_max",
        "_parser",
        "_peer",
        "_problem",
        "begun",
        "body_bytes",
        "bodyless",
        "chunks",
        "complete",
        "continued",
        "facts",
        "fields",
        "head_done",
        "length",
        "reason",
        "reusable",
        "status",
        "until_eof",
    )

    def __init__(self, peer: str, method: str) -> None:
        self._peer = peer
        self.begun = False
        """Whether any byte has come at all."""
        self.continued = False
        """Whether the request's body was asked for, by `100 Continue`."""
        self.head_done = False
        self.complete = False
        self.reusable = False
        """Whether the connection may carry another exchange; final once `complete`."""
        self.body_bytes = 0
        self.bodyless = method == "HEAD"
        self.until_eof = False
        self.length: int | None = None
        self.status = 0
        self.reason = ""
        self.fields: list[tuple[str, str]] = []
        self.facts: dict[str, str] = {}
        """The fields that say something about framing, coding and reuse, by lower-case name."""
        self.chunks: list[bytes] = []
        self._line: bytearray | None = None
        self._overhead = 0
        self._overhead_max = HEAD_BYTES_MAX
        self._excuse = 1
        """How much overhead a byte of body takes back: itself, and once the head is past a byte of framing too."""
        self._informational = 0
        self._counted = False
        """Whether all that follows the head's segment is body."""
        self._problem = ""
        parser = HttpResponseParser(self)
        self._parser: HttpResponseParser | None = parser
        # Old servers pad the size of a chunk, and a recipient must read that (RFC 9112, 7.1.1); it hides nothing.
        parser.set_dangerous_leniencies(lenient_spaces_after_chunk_size=True)

    def feed(self, data: bytes) -> None:
        """Take in what came; `BadAnswer` when it is not a response that can be trusted."""
        if not self.head_done:
            whole = self._whole_lines(data)
            if whole is None:
                return
            data = whole
        elif self._counted:
            self._count(data)
            return
        parser = self._parser
        if parser is None:
            self.reusable = False  # Bytes after the end.
            return
        self._overhead += len(data)
        try:
            parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade) as error:
            if not self.complete:
                what = self._problem or f"sent what is not a valid response: {error}"
                raise BadAnswer(f"{self._peer} {what}") from None
            self.reusable = False
        if self._overhead > self._overhead_max:
            raise self._too_long()
        if self.head_done:
            self._overhead_max = TAIL_BYTES_MAX
            self._overhead = 0 if self._excuse == 1 else max(self._overhead, 0)
            self._excuse = 2
        if self.complete:
            # The parser holds methods of this object: a circle that would wait for the collector.
            self._parser = None
            if self.bodyless and data[-1] != LF:
                self.reusable = False

    def _count(self, data: bytes) -> None:
        """Take in more of a body that only its length or the connection's end bounds; llhttp would only copy it."""
        self._parser = None
        if self.length is not None:
            left = self.length - self.body_bytes
            if len(data) > left:
                self.reusable = False  # Bytes after the end.
                data = data[:left]
            self.complete = len(data) == left
        if data:
            self.body_bytes += len(data)
            self.chunks.append(data)

    def end(self) -> bool:
        """The peer has closed: whether the response is whole, which then only the end could tell."""
        self._parser = None
        self.reusable = False
        if self.head_done and self.until_eof:
            self.complete = True
        return self.complete

    def take_chunks(self) -> list[bytes]:
        """Hand over the pieces of body that have come since the last time."""
        chunks = self.chunks
        self.chunks = []
        return chunks

    def drop(self) -> None:
        """Let go of the parser, wherever the reading stands."""
        self._parser = None

    # What llhttp calls.

    def on_message_begin(self) -> None:
        if self.complete:
            self.reusable = False

    def on_status(self, reason: bytes) -> None:
        if not self.head_done:
            self.reason = reason.decode("latin-1")

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.head_done:
            return  # A trailer: counted as overhead, and of no use to anyone yet.
        text = name.decode("latin-1")
        # llhttp leaves white space at the end of a value that came in two segments.
        self.fields.append((text, value.rstrip().decode("latin-1")))
        lower = text.lower()
        if lower in _TELLING_FIELDS:
            known = self.facts.get(lower)
            last = self.fields[-1][1]
            self.facts[lower] = last if known is None else f"{known}, {last}"

    def on_headers_complete(self) -> None:
        if self.complete:
            self.reusable = False
            return
        parser = self._parser
        assert parser is not None
        status = self.status = parser.get_status_code()
        if status < 200:
            self._skip_informational(status)
            return
        if self._informational and (version := parser.get_http_version()) not in ("1.1", "1.0"):
            self._refuse(f"answered with HTTP/{version}, expected HTTP/1.1 or HTTP/1.0")
        if status > 599:
            self._refuse(f"answered with status {status}, expected 100 to 599")
        if len(self.fields) > FIELDS_MAX:
            self._refuse(f"sent {len(self.fields)} header fields, at most {FIELDS_MAX} are read")
        if self.reason != "OK" and not _is_text(self.reason):
            self._refuse(f"sent control characters in its status line: {self.reason[:80]!r}")
        self.head_done = True
        self._decide_framing(parser)

    def on_body(self, data: bytes) -> None:
        if self.complete:
            self.reusable = False
            return
        size = len(data)
        self.body_bytes += size
        self._overhead -= size * self._excuse
        self.chunks.append(data)

    def on_chunk_header(self) -> None:
        self._overhead -= CHUNK_FRAMING_BYTES
        if self.complete:
            self.reusable = False

    def on_message_complete(self) -> None:
        if self.head_done:
            self.complete = True

    # The judgement.

    def _decide_framing(self, parser: HttpResponseParser) -> None:
        """Where the body ends, and whether the connection lives on (RFC 9112, sections 6.3 and 9.3)."""
        coded = self.facts.get("transfer-encoding")
        self.reusable = parser.should_keep_alive()
        if coded is not None:
            if coded.lower() != "chunked":
                self._refuse(f"sent Transfer-Encoding: {coded[:80]!r}, expected exactly 'chunked'")
            if parser.get_http_version() == "1.0":
                self.reusable = False
        elif (length := self.facts.get("content-length")) is not None:
            self.length = int(length)
        if self.bodyless or self.status == 204 or self.status == 304:
            # llhttp would take what follows an answer to HEAD for its body.
            self.bodyless = self.complete = True
        elif coded is None:
            self.until_eof = self.length is None
            self._counted = True

    def _skip_informational(self, status: int) -> None:
        if status < 100:
            self._refuse(f"answered with status {status:03}, expected 100 to 599")
        if status == 101:
            self._refuse("switched protocols (101), which nobody asked for")
        if status == 100:
            self.continued = True
        self._informational += 1
        if self._informational > INFORMATIONAL_MAX:
            self._refuse(f"sent more than {INFORMATIONAL_MAX} informational (1xx) responses to one request")
        self.fields = []
        self.facts = {}
        self.reason = ""

    def _whole_lines(self, data: bytes) -> bytes | None:
        """Hold back a line that has not ended: fed in small segments, the parser would copy it again and again."""
        line = self._line
        self.begun = True
        if line is None:
            if self._overhead == 0 and not data.startswith(_STARTS):
                self._check_start(data)
            if b"\n" in data:
                return data
            line = self._line = bytearray()
        line += data
        if self._overhead == 0 and len(line) - len(data) < len(_STARTS[0]):
            self._check_start(line)
        if b"\n" in data:
            self._line = None
            return bytes(line)
        if len(line) + self._overhead > HEAD_BYTES_MAX:
            raise self._too_long()
        return None

    def _check_start(self, data: bytes | bytearray) -> None:
        """Refuse early what is no HTTP/1 response, such as another protocol's greeting or HTTP/2."""
        start = data[:9]
        if not any(known.startswith(start) for known in _STARTS):
            raise BadAnswer(
                f"{self._peer} sent {bytes(data[:40])!r}, expected a response that begins with HTTP/1.1 or HTTP/1.0"
            )

    def _refuse(self, what: str) -> None:
        """Stop the parser; `feed` says why. Kept as text, for an error kept here would be a circle with its frames."""
        self._problem = what
        raise BadAnswer(what)

    def _too_long(self) -> BadAnswer:
        what = "chunk extensions and trailers" if self.head_done else "status line and header fields"
        return BadAnswer(f"{self._peer} sent more than {self._overhead_max} bytes of {what}")


def _is_text(reason: str) -> bool:
    return all(character >= " " or character == "\t" for character in reason) and "\x7f" not in reason
