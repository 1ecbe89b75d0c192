"""The shop's HTTP services, each with knobs, and what they count: one aiohttp application.

The services differ in transport on purpose: reviews come chunked, in several pieces; recommendations come
compressed for a client that accepts gzip; the rest come whole with their length. All keep connections alive.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import orjson
from aiohttp import web

import shop
import tools
from knobs import Failures, Knobs

PIECE_BYTES = 512
PIECES_MAX = 64
PADDING = "The quick brown fox jumps over the lazy dog. "


class Services:
    """The knobs and the counters behind the routes."""

    def __init__(self, knobs: dict[str, Knobs]) -> None:
        self.knobs = knobs
        self.failures = Failures()
        self.requests: Counter[str] = Counter()
        self.in_flight = 0
        self.in_flight_max = 0

    def application(self) -> web.Application:
        """Build the application with all routes."""
        app = web.Application(middlewares=[self._count])
        app.add_routes(tools.routes)
        app.add_routes(
            [
                web.get("/", _index),
                web.get("/healthz", _healthz),
                web.get("/stats", self._stats),
                web.get("/knobs", self._knobs),
                web.put("/knobs/{service}", self._turn),
            ]
        )
        for service in shop.SERVICES:
            app.router.add_get(f"/{service}/{{product}}", self._service(service))
        return app

    def _service(self, service: str) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        tell = shop.SERVICES[service]

        async def answer(request: web.Request) -> web.StreamResponse:
            knobs = _turned(self.knobs[service], request)
            product = request.match_info["product"]
            await asyncio.sleep(knobs.latency_ms / 1000)
            if self.failures.due(service, knobs.fail):
                return _json(request, {"error": f"{service} fails on purpose (fail={knobs.fail:g})"}, 503)
            if not shop.knows(product):
                known = ", ".join(shop.PRODUCTS)
                return _json(request, {"error": f"no product has the id {product!r}; the ids are {known}"}, 404)
            facts = _padded(tell(product), int(knobs.size_kb * 1024))
            if service == "reviews":
                return await _in_pieces(request, facts)
            return _json(request, facts, gzip=service == "recommendations")

        return answer

    async def _knobs(self, request: web.Request) -> web.StreamResponse:
        return _json(request, {name: _shown(knobs) for name, knobs in self.knobs.items()})

    async def _turn(self, request: web.Request) -> web.StreamResponse:
        service = request.match_info["service"]
        if service not in self.knobs:
            return _json(request, {"error": f"no service is called {service!r}", "known": list(self.knobs)}, 404)
        self.knobs[service] = _turned(self.knobs[service], request)
        return _json(request, {service: _shown(self.knobs[service])})

    async def _stats(self, request: web.Request) -> web.StreamResponse:
        # The request for the statistics is not one of those that they are about.
        facts = {"in_flight": self.in_flight - 1, "in_flight_max": self.in_flight_max, "requests": dict(self.requests)}
        return _json(request, facts)

    @web.middleware
    async def _count(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        self.requests[request.path.split("/")[1] or "index"] += 1
        self.in_flight += 1
        self.in_flight_max = max(self.in_flight_max, self.in_flight)
        try:
            return await handler(request)
        except ConnectionResetError:
            # The client left in the middle of a stream, which is its right: end the handler without a word in the log.
            raise asyncio.CancelledError from None
        finally:
            self.in_flight -= 1


async def _index(request: web.Request) -> web.StreamResponse:
    lines = [f"{route.method:5} {route.resource.canonical}" for route in request.app.router.routes() if route.resource]
    return web.Response(text="\n".join(line for line in lines if not line.startswith("HEAD")) + "\n")


async def _healthz(request: web.Request) -> web.StreamResponse:
    return web.Response(text="ok\n")


async def _in_pieces(request: web.Request, facts: dict[str, Any]) -> web.StreamResponse:
    """Send the JSON text chunked, a piece at a time, as a service does that does not know its length beforehand."""
    text = orjson.dumps(facts)
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    response.enable_chunked_encoding()
    await response.prepare(request)
    piece_bytes = max(PIECE_BYTES, len(text) // PIECES_MAX)
    for start in range(0, len(text), piece_bytes):
        await response.write(text[start : start + piece_bytes])
    await response.write_eof()
    return response


def _json(request: web.Request, facts: dict[str, Any], status: int = 200, *, gzip: bool = False) -> web.Response:
    response = web.Response(status=status, body=orjson.dumps(facts), content_type="application/json")
    if gzip:
        response.headers["Vary"] = "Accept-Encoding"
        if "gzip" in request.headers.get("Accept-Encoding", ""):
            response.enable_compression(web.ContentCoding.gzip)
    return response


def _padded(facts: dict[str, Any], size_bytes: int) -> dict[str, Any]:
    missing = size_bytes - len(orjson.dumps(facts)) - len(b',"padding":""')
    return facts | {"padding": (PADDING * (missing // len(PADDING) + 1))[:missing]} if missing > 0 else facts


def _turned(knobs: Knobs, request: web.Request) -> Knobs:
    try:
        return knobs.turned(request.query)
    except ValueError as error:
        raise web.HTTPBadRequest(text=f"{error}\n") from None


def _shown(knobs: Knobs) -> dict[str, float]:
    return {"latency_ms": knobs.latency_ms, "fail": knobs.fail, "size_kb": knobs.size_kb}
