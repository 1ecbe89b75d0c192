"""Routes that are no part of the shop but good for trying out a client: bytes without end, echoes, redirects, statuses.

Invariant: whatever is streamed, in or out, memory stays constant; what a client does not read is not made.
"""

import asyncio
from functools import lru_cache
from hashlib import sha256, shake_256

from aiohttp import web

PERIOD_BYTES = 65_521
"""A prime, so that a piece lost or sent twice shifts the pattern, whatever power of two its size is."""

CHUNK_KB_MAX = 1_024
SIZE_BYTES_MAX = 1 << 40
_PATTERN = shake_256(b"atoll").digest(PERIOD_BYTES)
_TILED = memoryview(_PATTERN * (CHUNK_KB_MAX * 1024 // PERIOD_BYTES + 2))
_UNITS = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}

routes = web.RouteTableDef()


@routes.get("/bytes")
async def send_bytes(request: web.Request) -> web.StreamResponse:
    """Stream `size` bytes of the pattern, with a length unless `chunked=1`."""
    size = size_of(request.query.get("size", "1m"))
    chunk_bytes = int(_number(request, "chunk_kb", 64, CHUNK_KB_MAX, least=1)) * 1024
    response = web.StreamResponse(headers={"Content-Type": "application/octet-stream"})
    if request.query.get("chunked", "0") == "0":
        response.content_length = size
    else:
        response.enable_chunked_encoding()
    await response.prepare(request)
    sent = size if request.method == "HEAD" else 0
    while sent < size:
        length = min(chunk_bytes, size - sent)
        await response.write(slice_of(sent, length))
        sent += length
    await response.write_eof()
    return response


@routes.get("/bytes/sha256")
async def digest_of_bytes(request: web.Request) -> web.Response:
    """Tell the SHA-256 of what `/bytes` sends for the same `size`."""
    size = size_of(request.query.get("size", "1m"))
    return web.json_response({"size": size, "sha256": await asyncio.to_thread(digest, size)})


@routes.get("/slow-stream")
async def slow_stream(request: web.Request) -> web.StreamResponse:
    """Send `lines` numbered lines, one each `interval_ms`."""
    lines = int(_number(request, "lines", 10, 1_000_000, least=0))
    interval_ms = _number(request, "interval_ms", 200, 60_000, least=0)
    response = web.StreamResponse(headers={"Content-Type": "text/plain; charset=utf-8"})
    response.enable_chunked_encoding()
    await response.prepare(request)
    for number in range(1, lines + 1):
        await response.write(f"line {number} of {lines}\n".encode())
        if number < lines:
            await asyncio.sleep(interval_ms / 1000)
    await response.write_eof()
    return response


@routes.route("*", "/echo")
@routes.route("*", "/echo/{tail:.*}")
async def echo(request: web.Request) -> web.Response:
    """Tell what came: method, target, header lines in order, and length and SHA-256 of the body."""
    body_bytes, hashed = 0, sha256()
    async for chunk in request.content.iter_any():
        body_bytes += len(chunk)
        hashed.update(chunk)
    # Octets beyond ASCII reach a handler as surrogates, which JSON text cannot carry: show them as latin-1.
    lines = [[name.decode("latin-1"), value.decode("latin-1")] for name, value in request.raw_headers]
    answer = {"method": request.method, "target": request.raw_path, "headers": lines}
    return web.json_response(answer | {"body_bytes": body_bytes, "sha256": hashed.hexdigest()})


@routes.route("*", "/redirect")
async def redirect(request: web.Request) -> web.Response:
    """Redirect `n` times, then to `to`; `status` is one of 301, 302, 303, 307, 308."""
    left = int(_number(request, "n", 1, 1_000, least=1))
    status = int(_number(request, "status", 302, 308, least=301))
    location = request.query.get("to", "/echo")
    if left > 1:
        location = str(request.rel_url.update_query(n=left - 1))
    return web.Response(status=status, headers={"Location": location})


@routes.route("*", "/status/{code:[2-5][0-9][0-9]}")
async def status(request: web.Request) -> web.Response:
    """Answer with this status."""
    code = int(request.match_info["code"])
    if code in (204, 205, 304):
        return web.Response(status=code)
    return web.Response(status=code, text=f"status {code}\n")


def size_of(text: str) -> int:
    """Read a size such as 1500, 64k, 10m or 1g."""
    digits = text.rstrip("bkmgBKMG")
    unit = _UNITS.get(text[len(digits) :].lower())
    if unit is None or not (digits.isascii() and digits.isdigit()) or int(digits) * unit > SIZE_BYTES_MAX:
        raise web.HTTPBadRequest(text=f"size={text!r} is not a size such as 1500, 64k, 10m or 1g\n")
    return int(digits) * unit


def slice_of(start: int, length: int) -> memoryview:
    """The pattern from byte `start` on; `length` is at most CHUNK_KB_MAX."""
    offset = start % PERIOD_BYTES
    return _TILED[offset : offset + length]


@lru_cache(maxsize=64)
def digest(size: int) -> str:
    """The SHA-256 of the first `size` bytes of the pattern, in hexadecimal."""
    hashed, done, chunk_bytes = sha256(), 0, CHUNK_KB_MAX * 1024
    while done < size:
        length = min(chunk_bytes, size - done)
        hashed.update(slice_of(done, length))
        done += length
    return hashed.hexdigest()


def _number(request: web.Request, name: str, default: float, most: float, *, least: float) -> float:
    text = request.query.get(name)
    if text is None:
        return default
    try:
        value = float(text)
    except ValueError:
        value = least - 1
    if not least <= value <= most:
        raise web.HTTPBadRequest(text=f"{name}={text!r} is not a number from {least} to {most}\n")
    return value
