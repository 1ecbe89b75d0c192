"""Content codings: decoded chunk by chunk, when and only when someone reads.

Rules of this file: the decoding of one body, whatever its coding; no headers, no sockets. An answer that is only passed
on is never decoded. A body in a coding that is not known here is handed over as it came.
Invariants: one read gives at most `DECODED_MAX` bytes, however much the input would inflate to; a stream that ends
before its end raises `BodyBroken`. Source: RFC 9110, section 8.4.1.
"""

from typing import TYPE_CHECKING, Final

from atoll.errors import BodyBroken
from atoll.http.decoders import CODINGS, DECODED_MAX, SINGLE, Decoder, decoder_of

if TYPE_CHECKING:
    from atoll.http.body import Source

__all__ = ["DECODED_MAX", "Decoded", "coding_of", "is_coded"]

SLICE_MAX: Final = 16_384
"""Decoders copy what a call leaves over, so that many small streams in one large chunk would cost quadratically."""
STREAMS_FREE: Final = 1_000
STREAM_BYTES: Final = 64
"""Past the first thousand, the streams of a body must have this size on average: beginning one costs far more than
its empty frame of nine bytes."""


def coding_of(content_encoding: str | None) -> str | None:
    """The coding that can be decoded here, by the value of Content-Encoding; None for none, unknown and nested ones."""
    return None if content_encoding is None else CODINGS.get(content_encoding.strip().lower())


def is_coded(held: bytes, coding: str) -> bool:
    """Whether these bytes may be what their coding says: their first slice is looked at, and no more."""
    piece = held[:SLICE_MAX]
    if not piece:
        return True
    try:
        decoder = decoder_of(coding, piece)
        decoder.decode(piece)
    except BodyBroken:
        return False
    return decoder.ended or decoder.full or decoder.left > 0 or len(piece) < len(held)


class Decoded:
    """A body source (`http.body.Source`) that decodes what it reads from raw bytes or from another source."""

    __slots__ = ("_at", "_coding", "_decoder", "_pending", "_raw", "_streams", "_taken")

    def __init__(self, raw: "bytes | Source", coding: str) -> None:
        self._coding = coding
        self._raw: Source | None = None if isinstance(raw, bytes) else raw
        self._pending = raw if isinstance(raw, bytes) else b""
        self._at = 0
        self._decoder: Decoder | None = None
        self._streams = 0
        self._taken = 0
        """The bytes of all that was pending before."""

    async def read(self) -> bytes:
        """The next decoded chunk; b"" at the end."""
        while True:
            while self._at < len(self._pending) or (self._decoder is not None and self._decoder.full):
                if chunk := self._decode():
                    return chunk
            self._taken += len(self._pending)
            self._pending = b"" if self._raw is None else await self._raw.read()
            self._at = 0
            if not self._pending:
                if self._decoder is not None:
                    raise BodyBroken(f"the body ended in the middle of its {self._coding} stream")
                return b""

    def close(self) -> None:
        """Let go of the raw source and of what was not decoded yet."""
        self._pending = b""
        self._decoder = None
        if self._raw is not None:
            self._raw.close()

    def _decode(self) -> bytes:
        """Decode one slice of what is pending; may give b"" where the input was only a part of something."""
        decoder = self._decoder
        piece = self._pending[self._at : self._at + SLICE_MAX] if decoder is None or decoder.hungry else b""
        if decoder is None:
            decoder = self._decoder = self._begin(piece)
        chunk = decoder.decode(piece)
        # What an ended stream leaves may have been given to it by an earlier call.
        self._at += len(piece) - decoder.left
        if decoder.ended:
            self._decoder = None
            if self._coding in SINGLE and self._at < len(self._pending):
                raise self._followed()
        return chunk

    def _begin(self, piece: bytes) -> Decoder:
        if self._streams and self._coding in SINGLE:
            raise self._followed()
        self._streams += 1
        if self._streams > STREAMS_FREE + (self._taken + self._at) // STREAM_BYTES:
            raise BodyBroken(
                f"the body has {self._streams} {self._coding} streams in {self._taken + self._at} bytes; expected "
                f"{STREAM_BYTES} bytes of each on average"
            )
        return decoder_of(self._coding, piece)

    def _followed(self) -> BodyBroken:
        return BodyBroken(f"bytes follow the end of the {self._coding} stream")
