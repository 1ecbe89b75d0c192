"""The example workers as a newcomer starts them: `atoll dev` beside the demo's upstreams, for all tests here."""

import sys
from collections.abc import AsyncIterator

import httpx
import pytest

from support.processes import ROOT, Program, running, running_atoll

UPSTREAMS = ["catalogue", "prices", "stock", "recommendations", "reviews"]


@pytest.fixture(scope="session")
async def shop() -> AsyncIterator[str]:
    """The origin of the demo's upstreams, without their latencies."""
    command = [sys.executable, str(ROOT / "demo" / "upstreams.py"), "--port", "0", "--latency", "all=0"]
    async with running(*command) as program:
        yield await program.origin()


@pytest.fixture(scope="session")
async def gateway(shop: str) -> AsyncIterator[Program]:
    async with running_atoll("dev", "--ip", "127.0.0.1", "--port", "0", "--var", f"UPSTREAM:{shop}") as program:
        await program.origin(30)
        yield program


@pytest.fixture
async def client(gateway: Program) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=await gateway.origin(), timeout=30) as client:
        yield client


@pytest.fixture
async def upstreams(shop: str) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the upstreams themselves; the knobs are as they were when the test ends."""
    async with httpx.AsyncClient(base_url=shop, timeout=30) as client:
        yield client
        for service in UPSTREAMS:
            (await client.put(f"/knobs/{service}?latency_ms=0&fail=0&size_kb=0")).raise_for_status()
