"""Content codings: what is decoded, what is refused, and that the output is bounded."""

import gzip
import subprocess
import sys
import zlib
from collections.abc import Callable
from functools import partial

import brotli
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atoll.errors import BodyBroken
from atoll.http.body import Body
from atoll.http.coding import DECODED_MAX, Decoded, coding_of
from atoll.http.headers import Headers
from support.raw_upstream import ListSource

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

SKIPPED = b"\x50\x2a\x4d\x18\x04\x00\x00\x00meta"
TEXT = b"the quick brown fox jumps over the lazy dog " * 500


def bare_deflate(data: bytes) -> bytes:
    compressor = zlib.compressobj(wbits=-15)
    return compressor.compress(data) + compressor.flush()


CODED = [
    pytest.param("gzip", gzip.compress(TEXT), id="gzip"),
    pytest.param("gzip", gzip.compress(TEXT[:100]) + gzip.compress(TEXT[100:]), id="gzip of two members"),
    pytest.param("deflate", zlib.compress(TEXT), id="deflate as its standard says"),
    pytest.param("deflate", bare_deflate(TEXT), id="bare deflate, as some servers send it"),
    pytest.param("br", brotli.compress(TEXT), id="br"),
    pytest.param("zstd", zstd.compress(TEXT), id="zstd"),
    pytest.param("zstd", zstd.compress(TEXT[:100]) + SKIPPED + zstd.compress(TEXT[100:]), id="zstd of three frames"),
]


@pytest.mark.parametrize(("coding", "raw"), CODED)
@pytest.mark.parametrize("piece_bytes", [1, 7, 1_000_000])
async def test_decodes_however_the_bytes_come(coding: str, raw: bytes, piece_bytes: int) -> None:
    """The decoded bytes do not depend on how the raw ones were cut."""
    pieces = [raw[at : at + piece_bytes] for at in range(0, len(raw), piece_bytes)]
    assert await Body(source=ListSource(pieces), encoding=coding).read_all() == TEXT


@pytest.mark.parametrize(("coding", "raw"), CODED)
async def test_decodes_held_bytes(coding: str, raw: bytes) -> None:
    """A body whose raw bytes are all here is not `held`, for its bytes are not those that a reader gets."""
    body = Body(raw, encoding=coding)
    assert (body.held, body.length, body.raw_length) == (None, None, len(raw))
    assert await body.read_all() == TEXT


@pytest.mark.parametrize(("coding", "raw"), CODED)
@pytest.mark.parametrize("cut", [1, 5, -1, -6])
async def test_a_truncated_stream_breaks(coding: str, raw: bytes, cut: int) -> None:
    """A coded body that lacks its end is never taken for whole."""
    with pytest.raises(BodyBroken, match="middle of its"):
        await Body(raw[:cut], encoding=coding).read_all()


@pytest.mark.parametrize(
    ("coding", "raw"),
    [
        ("gzip", b"plain text"),
        ("gzip", gzip.compress(b"x") + b"tail"),
        ("deflate", zlib.compress(b"x") + b"tail"),
        ("br", b"plain text"),
        ("br", brotli.compress(b"x") + b"tail"),
        ("zstd", b"plain text"),
        ("zstd", zstd.compress(b"x") + b"tail"),
    ],
)
async def test_what_is_not_that_coding_breaks(coding: str, raw: bytes) -> None:
    """A wrong Content-Encoding, and bytes after the end, are errors and not silence."""
    for cut in (1, len(raw) - 4, len(raw)):
        with pytest.raises(BodyBroken):
            await Body(source=ListSource([raw[:cut], *([raw[cut:]] if raw[cut:] else [])]), encoding=coding).read_all()


async def test_an_empty_coded_body_is_empty() -> None:
    """Servers name a coding for empty bodies too."""
    assert await Body(b"", encoding="gzip").read_all() == b""


@pytest.mark.parametrize(
    ("coding", "compress"), [("gzip", gzip.compress), ("br", brotli.compress), ("zstd", zstd.compress)]
)
async def test_a_bomb_comes_in_small_chunks(coding: str, compress: Callable[[bytes], bytes]) -> None:
    """However far a chunk inflates, one read gives a bounded piece, so that whoever reads can stop."""
    bomb = compress(b"\0" * 50_000_000)
    source = Decoded(bomb, coding)
    for _ in range(20):
        assert 0 < len(await source.read()) <= DECODED_MAX
    source.close()
    with pytest.raises(BodyBroken, match="larger than 1000000"):
        await Body(bomb, encoding=coding).read_all(1_000_000)


async def test_a_zstd_window_beyond_the_bound_is_refused() -> None:
    """A frame that wants more memory than 8 MiB of window is not decoded (RFC 9659)."""
    compressor = zstd.ZstdCompressor(options={zstd.CompressionParameter.window_log: 24})
    with pytest.raises(BodyBroken, match="too much memory"):
        await Body(compressor.compress(b"x") + compressor.flush(), encoding="zstd").read_all()


@pytest.mark.parametrize(("coding", "empty"), [("gzip", gzip.compress(b"")), ("zstd", zstd.compress(b""))])
async def test_a_body_of_nothing_but_beginnings_is_refused(coding: str, empty: bytes) -> None:
    """Streams that hold nothing cost time and give no byte at which anyone could stop: they are bounded."""
    assert await Body(empty * 900, encoding=coding).read_all() == b""
    with pytest.raises(BodyBroken, match=f"{coding} streams in"):
        await Body(source=ListSource([empty * 500] * 200), encoding=coding).read_all()


def test_the_start_loads_no_decoder() -> None:
    """brotli and zstd are imported when a body needs them."""
    code = (
        "import sys, atoll.serve, atoll.http.body; sys.exit('brotli' in sys.modules or 'backports.zstd' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("value", "coding"),
    [
        ("gzip", "gzip"),
        ("X-GZip", "gzip"),
        (" deflate ", "deflate"),
        ("BR", "br"),
        ("zstd", "zstd"),
        ("compress", None),
        ("br, gzip", None),
        ("gzip, gzip", None),
        (None, None),
    ],
)
def test_which_codings_are_decoded(value: str | None, coding: str | None) -> None:
    """Only what can be decoded is; nested and unknown codings are handed over as they came."""
    assert coding_of(value) == coding


async def test_passing_on_under_the_same_coding_decodes_nothing() -> None:
    """`raw_for` gives the bytes as they came where the headers still name the coding, else the body to be decoded."""
    raw = gzip.compress(TEXT)
    same = Body(raw, encoding="gzip").raw_for(Headers([("Content-Encoding", "GZIP")]))
    assert (same.held, same.length) == (raw, len(raw))
    streamed = Body(source=ListSource([raw]), length=len(raw), encoding="gzip").raw_for(
        Headers([("content-encoding", "gzip")])
    )
    assert (streamed.length, await streamed.read_all()) == (len(raw), raw)
    other = Body(raw, encoding="gzip").raw_for(Headers())
    assert await other.read_all() == TEXT


async def test_both_ends_of_a_tee_decode() -> None:
    """A coded body can be cloned before it is read."""
    body = Body(source=ListSource([gzip.compress(TEXT)]), encoding="gzip")
    twin = body.tee()
    assert await body.read_all() == TEXT
    assert await twin.read_all() == TEXT


async def test_closing_reaches_the_raw_source() -> None:
    """Closing the decoder, or the body it came from, closes what stands behind it."""
    source = ListSource([gzip.compress(TEXT)])
    body = Body(source=source, encoding="gzip")
    body.take()
    body.close()
    assert source.closed


@settings(max_examples=60, deadline=None)
@pytest.mark.parametrize("coding", ["gzip", "br", "zstd"])
@given(data=st.binary(max_size=300_000), cuts=st.lists(st.integers(1, 5_000), max_size=20))
async def test_any_bytes_survive_any_cuts(coding: str, data: bytes, cuts: list[int]) -> None:
    """What was compressed comes out again, wherever the segments end."""
    raw = {"gzip": gzip.compress, "br": partial(brotli.compress, quality=1), "zstd": zstd.compress}[coding](data)
    pieces = []
    for cut in cuts:
        piece, raw = raw[:cut], raw[cut:]
        if piece:
            pieces.append(piece)
    assert await Body(source=ListSource([*pieces, *([raw] if raw else [])]), encoding=coding).read_all() == data
