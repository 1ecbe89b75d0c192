"""One decoder for one stream of each content coding, behind one small face; what the libraries raise ends here.

Rules of this file: the doorway of zlib, brotli and zstd. The latter two are imported where a body first needs them,
for most processes start without one.
Invariant: one call gives at most `DECODED_MAX` bytes, and what a decoder keeps back is at most one slice of input and
the window of its coding. Source: RFC 1950, 1951, 1952; RFC 7932; RFC 8878; RFC 9659 (the window of zstd is 8 MiB).
"""

import sys
import zlib
from types import ModuleType
from typing import Final, Protocol

from atoll.errors import BodyBroken

DECODED_MAX: Final = 65_536
CODINGS: Final = {"gzip": "gzip", "x-gzip": "gzip", "deflate": "deflate", "br": "br", "zstd": "zstd"}
"""What can be decoded: the names that Content-Encoding may have for it, and ours."""
SINGLE: Final = frozenset({"deflate", "br"})
"""Codings whose body is one stream; the others may have several, one after the other."""

_GZIP_WBITS: Final = 31
_ZLIB_WBITS: Final = 15
_RAW_WBITS: Final = -15
_BROTLI_STEP: Final = 16_384
"""brotli looks at its bound between blocks that double in size: with this one it stops at 32 KiB."""
_ZSTD_WINDOW_LOG_MAX: Final = 23


class Decoder(Protocol):
    """One stream: a gzip member, a zstd frame, or the whole of a deflate or brotli body."""

    ended: bool
    """The stream is whole."""
    full: bool
    """It may have more output without more input."""
    hungry: bool
    """It takes input; if not, give it b"" until it has no more output."""
    left: int
    """How many bytes at the end of all that was given it did not take."""

    def decode(self, piece: bytes) -> bytes:
        """Decode; `BodyBroken` for what is not this coding."""
        ...


def decoder_of(coding: str, start: bytes) -> Decoder:
    """A decoder for a stream that begins with these bytes, of which there is at least one."""
    if coding == "br":
        return _Brotli()
    if coding == "zstd":
        return _Zstd()
    return _Zlib(coding, start)


class _Zlib:
    __slots__ = ("_coding", "_inflate", "ended", "full", "left")
    hungry = True

    def __init__(self, coding: str, start: bytes) -> None:
        # "deflate" is a zlib stream by its standard, and a bare one in the wild.
        standard = start[0] & 0x0F == 8 and start[0] >> 4 <= 7
        wbits = _GZIP_WBITS if coding == "gzip" else _ZLIB_WBITS if standard else _RAW_WBITS
        self._coding = coding
        self._inflate = zlib.decompressobj(wbits)
        self.ended = self.full = False
        self.left = 0

    def decode(self, piece: bytes) -> bytes:
        inflate = self._inflate
        try:
            chunk = inflate.decompress(piece, DECODED_MAX)
        except zlib.error as error:
            raise _invalid(self._coding, error) from None
        self.ended = inflate.eof
        self.left = len(inflate.unused_data) if inflate.eof else len(inflate.unconsumed_tail)
        # A full chunk may have been cut by its bound while zlib holds more output for no further input.
        self.full = len(chunk) == DECODED_MAX and not inflate.eof
        return chunk


class _Brotli:
    __slots__ = ("_inner", "ended", "full", "hungry")
    left = 0

    def __init__(self) -> None:
        import brotli

        self._inner = brotli.Decompressor()
        self.ended = self.full = False
        self.hungry = True

    def decode(self, piece: bytes) -> bytes:
        import brotli

        inner = self._inner
        try:
            chunk: bytes = inner.process(piece, output_buffer_limit=_BROTLI_STEP)
        except brotli.error as error:
            raise _invalid("br", error) from None
        self.ended = inner.is_finished()
        self.hungry = inner.can_accept_more_data()
        # It does not tell whether its window holds more output; one call more does.
        self.full = not self.ended and (not self.hungry or chunk != b"")
        return chunk


class _Zstd:
    __slots__ = ("_inner", "ended", "full", "hungry", "left")

    def __init__(self) -> None:
        zstd = _zstd()
        self._inner = zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: _ZSTD_WINDOW_LOG_MAX})
        self.ended = self.full = False
        self.hungry = True
        self.left = 0

    def decode(self, piece: bytes) -> bytes:
        inner = self._inner
        try:
            chunk: bytes = inner.decompress(piece, DECODED_MAX)
        except _zstd().ZstdError as error:
            raise _invalid("zstd", error) from None
        self.ended = inner.eof
        self.left = len(inner.unused_data) if inner.eof else 0
        self.hungry = inner.needs_input
        self.full = not inner.eof and not inner.needs_input
        return chunk


def _zstd() -> ModuleType:
    if sys.version_info >= (3, 14):
        from compression import zstd
    else:
        from backports import zstd
    return zstd


def _invalid(coding: str, error: Exception) -> BodyBroken:
    return BodyBroken(f"the body is not valid {coding}, which its Content-Encoding promised: {error}")
