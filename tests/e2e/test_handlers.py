"""`handlers/hello.py` and `handlers/fanout.py`, and what all examples do when their upstream is gone."""

import httpx
import pytest

from support.processes import running_atoll
from support.upstream import refusing


async def test_hello_greets_as_text(client: httpx.AsyncClient) -> None:
    """The greeting is the configured variable, and any path without a route of its own comes here."""
    answer = await client.get("/any/where?name=Zo%C3%AB")
    assert (answer.status_code, answer.text) == (200, "Hello, Zoë!\n")
    assert answer.headers["content-type"].replace(" ", "").lower() == "text/plain;charset=utf-8"


async def test_hello_greets_as_json_for_those_who_ask(client: httpx.AsyncClient) -> None:
    """Accept decides between text and JSON."""
    answer = await client.get("/", headers={"Accept": "application/json"})
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == {"greeting": "Hello, world!"}


async def test_fanout_is_concurrent(client: httpx.AsyncClient) -> None:
    """Thirty subrequests of 100 ms take a fraction of the 3 s that they would take in turn."""
    facts = (await client.get("/fanout?n=30&latency_ms=100")).json()
    assert (facts["n"], facts["ok"], facts["failed"], facts["errors"]) == (30, 30, 0, [])
    assert 100 <= facts["ms"] < 1_000


async def test_fanout_past_the_cap_is_refused_before_it_leaves(
    client: httpx.AsyncClient, upstreams: httpx.AsyncClient
) -> None:
    """Of 60 subrequests 50 arrive, 10 raise in the handler, and the handler answers 200 all the same."""
    before = (await upstreams.get("/stats")).json()["requests"].get("stock", 0)
    answer = await client.get("/fanout?n=60&latency_ms=1")
    facts = answer.json()
    assert (answer.status_code, facts["n"], facts["ok"], facts["failed"]) == (200, 60, 50, 10)
    assert len(facts["errors"]) == 1
    assert facts["errors"][0].startswith("Too many subrequests by single Worker invocation.")
    assert (await upstreams.get("/stats")).json()["requests"]["stock"] - before == 50


async def test_the_cap_is_each_invocation_s_own(client: httpx.AsyncClient) -> None:
    """What one request has used up is there again for the next."""
    for _ in range(3):
        assert (await client.get("/fanout?n=50&latency_ms=0")).json()["ok"] == 50


@pytest.mark.parametrize("query", ["n=many", "n=-1", "n=1001", "n=1&latency_ms=nan", "latency_ms=1e9"])
async def test_fanout_refuses_what_is_no_sensible_number(client: httpx.AsyncClient, query: str) -> None:
    """A wrong number is the client's fault."""
    assert (await client.get(f"/fanout?{query}")).status_code == 400


async def test_an_unreachable_upstream_is_a_502_and_not_a_500() -> None:
    """Landing tells which branches failed, the proxy says in one line what it could not reach; hello is unharmed."""
    with refusing() as nowhere:
        async with (
            running_atoll("dev", "--ip", "127.0.0.1", "--port", "0", "--var", f"UPSTREAM:{nowhere}") as gateway,
            httpx.AsyncClient(base_url=await gateway.origin(30), timeout=30) as client,
        ):
            landing = await client.get("/landing/1")
            assert (landing.status_code, len(landing.json()["errors"])) == (502, 5)
            proxied = await client.get("/proxy/healthz")
            assert (proxied.status_code, proxied.text[:31]) == (502, "The upstream cannot be reached:")
            fanned = (await client.get("/fanout?n=3")).json()
            assert (fanned["ok"], fanned["failed"]) == (0, 3)
            assert (await client.get("/")).status_code == 200
