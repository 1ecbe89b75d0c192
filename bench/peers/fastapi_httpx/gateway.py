"""What `bench/macro/worker.py` does, with FastAPI on uvicorn (uvloop, httptools) and one httpx client.

As many connections as the other peers, none let go while idle, no timeouts, and orjson past FastAPI's own encoding.
"""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import orjson
from fastapi import FastAPI, Response
from fastapi.responses import StreamingResponse

UPSTREAM = os.environ["UPSTREAM"]
CONNECTIONS = int(os.environ["CONNECTIONS"]) or None
LIMITS = httpx.Limits(max_connections=CONNECTIONS, max_keepalive_connections=CONNECTIONS, keepalive_expiry=None)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with httpx.AsyncClient(limits=LIMITS, timeout=None, trust_env=False) as app.state.client:
        yield


app = FastAPI(lifespan=lifespan, openapi_url=None)


@app.get("/")
async def fan_out(n: int = 0) -> Response:
    parts = await asyncio.gather(*(one(number) for number in range(n)))
    return Response(orjson.dumps(parts), media_type="application/json")


@app.get("/stream")
async def stream(bytes: int) -> StreamingResponse:
    client: httpx.AsyncClient = app.state.client
    response = await client.send(client.build_request("GET", f"{UPSTREAM}/bytes?size={bytes}"), stream=True)
    headers = {name: response.headers[name] for name in ("content-type", "content-length")}
    return StreamingResponse(passed_on(response), headers=headers)


async def passed_on(response: httpx.Response) -> AsyncIterator[bytes]:
    try:
        async for chunk in response.aiter_raw():
            yield chunk
    finally:
        await response.aclose()


async def one(number: int) -> Any:
    response = await app.state.client.get(f"{UPSTREAM}/item/{number}")
    return orjson.loads(response.content)
