"""The baseline: the same fan-out written by hand with aiohttp's server and client. `... PORT UPSTREAM_PORT`."""

import asyncio
import sys

import orjson
import uvloop
from aiohttp import ClientSession, TCPConnector, web


async def main(port: int, upstream: str) -> None:
    """Serve until killed."""
    async with ClientSession(connector=TCPConnector(limit=0)) as session:

        async def one(number: int) -> object:
            async with session.get(f"{upstream}/item/{number}") as response:
                return orjson.loads(await response.read())

        async def handle(request: web.BaseRequest) -> web.StreamResponse:
            count = int(request.query.get("n", "0"))
            parts = await asyncio.gather(*(one(number) for number in range(count)))
            return web.Response(body=orjson.dumps(parts), content_type="application/json")

        runner = web.ServerRunner(web.Server(handle, access_log=None))
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port, backlog=4096).start()
        print("ready", flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]), sys.argv[2]))
