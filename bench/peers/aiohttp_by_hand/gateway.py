"""The baseline: what `bench/macro/worker.py` does, written by hand with aiohttp's server and client.

The low-level server without a router, no cookie jar, orjson: what one does to make it fast.
"""

import asyncio
import os

import orjson
import uvloop
from aiohttp import ClientSession, DummyCookieJar, TCPConnector, web

UPSTREAM = os.environ["UPSTREAM"]


class Gateway:
    """Answers with one session for all subrequests."""

    def __init__(self, session: ClientSession) -> None:
        self._session = session

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.path == "/stream":
            return await self._stream(request)
        count = int(request.query.get("n", "0"))
        parts = await asyncio.gather(*(self._one(number) for number in range(count)))
        return web.Response(body=orjson.dumps(parts), content_type="application/json")

    async def _one(self, number: int) -> object:
        async with self._session.get(f"{UPSTREAM}/item/{number}") as response:
            return orjson.loads(await response.read())

    async def _stream(self, request: web.BaseRequest) -> web.StreamResponse:
        async with self._session.get(f"{UPSTREAM}/bytes?size={request.query['bytes']}") as response:
            answer = web.StreamResponse(headers={"Content-Type": response.content_type})
            answer.content_length = response.content_length
            await answer.prepare(request)
            async for chunk in response.content.iter_any():
                await answer.write(chunk)
            return answer


async def main() -> None:
    """Serve until killed."""
    connector = TCPConnector(limit=int(os.environ["CONNECTIONS"]), keepalive_timeout=600)
    async with ClientSession(connector=connector, cookie_jar=DummyCookieJar(), read_bufsize=1 << 19) as session:
        runner = web.ServerRunner(web.Server(Gateway(session).handle, access_log=None))
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", int(os.environ["PORT"]), backlog=4096).start()
        await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(main())
