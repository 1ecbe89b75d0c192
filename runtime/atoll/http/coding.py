"""Content codings: decoded chunk by chunk, when and only when someone reads.

Rules of this file: pure decoding of one body; no headers, no sockets. An answer that is only passed on is never
decoded. Brotli and zstd are not decoded; a body in a coding that is not known here is handed over as it came.
Invariants: one read gives at most `DECODED_MAX` bytes, however much the input would inflate to; a stream that ends
before its end raises `BodyBroken`. Source: RFC 9110, section 8.4.1; RFC 1950; RFC 1952.
"""

import zlib
from typing import TYPE_CHECKING, Final

from atoll.errors import BodyBroken

if TYPE_CHECKING:
    from atoll.http.body import Source

DECODED_MAX: Final = 65_536
SLICE_MAX: Final = 16_384
"""zlib copies what a call leaves over, so that many small members in one large chunk would cost quadratically."""
_CODINGS: Final = {"gzip": "gzip", "x-gzip": "gzip", "deflate": "deflate"}
_GZIP_WBITS: Final = 31
_ZLIB_WBITS: Final = 15
_RAW_WBITS: Final = -15


def coding_of(content_encoding: str | None) -> str | None:
    """The coding that can be decoded here, by the value of Content-Encoding; None for none, unknown and nested ones."""
    return None if content_encoding is None else _CODINGS.get(content_encoding.strip().lower())


class Decoded:
    """A body source (`http.body.Source`) that decodes what it reads from raw bytes or from another source."""

    __slots__ = ("_at", "_coding", "_full", "_inflate", "_pending", "_raw")

    def __init__(self, raw: "bytes | Source", coding: str) -> None:
        self._coding = coding
        self._raw: Source | None = None if isinstance(raw, bytes) else raw
        self._pending = raw if isinstance(raw, bytes) else b""
        self._at = 0
        self._inflate: zlib._Decompress | None = None
        self._full = False

    async def read(self) -> bytes:
        """The next decoded chunk; b"" at the end."""
        while True:
            while self._at < len(self._pending) or self._full:
                if chunk := self._decode():
                    return chunk
            self._pending = b"" if self._raw is None else await self._raw.read()
            self._at = 0
            if not self._pending:
                if self._inflate is not None:
                    raise BodyBroken(f"the body ended in the middle of its {self._coding} stream")
                return b""

    def close(self) -> None:
        """Let go of the raw source and of what was not decoded yet."""
        self._pending = b""
        self._full = False
        self._inflate = None
        if self._raw is not None:
            self._raw.close()

    def _decode(self) -> bytes:
        """Decode one slice of what is pending; may give b"" where the input was only a part of something."""
        piece = self._pending[self._at : self._at + SLICE_MAX]
        inflate = self._inflate
        if inflate is None:
            inflate = self._inflate = zlib.decompressobj(self._window_bits(piece))
        try:
            chunk = inflate.decompress(piece, DECODED_MAX)
        except zlib.error as error:
            raise BodyBroken(
                f"the body is not valid {self._coding}, which its Content-Encoding promised: {error}"
            ) from None
        left = len(inflate.unused_data) if inflate.eof else len(inflate.unconsumed_tail)
        self._at += len(piece) - left
        # A full chunk may have been cut by its bound while zlib holds more output for no further input.
        self._full = len(chunk) == DECODED_MAX and not inflate.eof
        if inflate.eof:
            self._inflate = None
            if self._coding == "deflate" and self._at < len(self._pending):
                raise BodyBroken("bytes follow the end of the deflate stream")
        return chunk

    def _window_bits(self, piece: bytes) -> int:
        """What zlib shall expect; "deflate" is a zlib stream by its standard, and a bare one in the wild."""
        if self._coding == "gzip":
            return _GZIP_WBITS
        return _ZLIB_WBITS if piece[0] & 0x0F == 8 and piece[0] >> 4 <= 7 else _RAW_WBITS
