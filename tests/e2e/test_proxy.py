"""`handlers/proxy.py`: what comes under /proxy passes through, in both directions, at any size."""

import gzip
import hashlib
import json
from collections.abc import AsyncIterator

import httpx
import pytest

from support.processes import Program, rss_bytes
from support.waiting import eventually

MB = 1024 * 1024


async def test_proxy_passes_a_request_on_as_it_came(client: httpx.AsyncClient, shop: str) -> None:
    """Method, path, query, header lines and body arrive unchanged; what is about the connection does not."""
    headers = [
        ("X-Twice", "one"),
        ("X-Twice", "two"),
        ("Connection", "keep-alive, X-Mine"),
        ("X-Mine", "secret"),
        ("TE", "trailers"),
        ("Keep-Alive", "timeout=5"),
    ]
    told = (await client.patch("/proxy/echo/a%2Fb//c?q=%20x&q=", content=b"body", headers=headers)).json()
    assert (told["method"], told["target"]) == ("PATCH", "/echo/a%2Fb//c?q=%20x&q=")
    assert (told["body_bytes"], told["sha256"]) == (4, hashlib.sha256(b"body").hexdigest())
    lines = [(name.lower(), value) for name, value in told["headers"]]
    names = [name for name, _ in lines]
    assert ", ".join(value for name, value in lines if name == "x-twice") == "one, two"
    assert not {"x-mine", "te", "keep-alive"} & set(names)
    assert [value for name, value in lines if name == "host"] == [shop.removeprefix("http://")]
    assert names.count("content-length") + names.count("transfer-encoding") == 1


async def test_proxy_passes_an_answer_back_as_it_came(client: httpx.AsyncClient) -> None:
    """Statuses and redirects are the client's to deal with."""
    for code in (200, 204, 304, 404, 418, 503):
        assert (await client.get(f"/proxy/status/{code}")).status_code == code
    hop = await client.get("/proxy/redirect?n=2")
    assert (hop.status_code, hop.headers["location"]) == (302, "/redirect?n=1")


async def test_proxy_downloads_in_constant_memory(client: httpx.AsyncClient, gateway: Program) -> None:
    """128 MB pass through whole while the gateway's memory grows by a fraction of that."""
    size = 128 * MB
    expected = (await client.get(f"/proxy/bytes/sha256?size={size}")).json()["sha256"]
    before = memory_of(gateway)
    hashed, most = hashlib.sha256(), 0
    async with client.stream("GET", f"/proxy/bytes?size={size}") as response:
        assert response.headers["content-length"] == str(size)
        async for chunk in response.aiter_raw(MB):
            hashed.update(chunk)
            most = max(most, memory_of(gateway))
    assert hashed.hexdigest() == expected
    assert most - before < 32 * MB


@pytest.mark.parametrize("framing", ["length", "chunked"])
async def test_proxy_uploads_in_constant_memory(client: httpx.AsyncClient, gateway: Program, framing: str) -> None:
    """A body larger than the default limit passes, because the limit is raised for this worker; either framing."""
    piece, pieces = bytes(range(256)) * 4096, 128
    before, most = memory_of(gateway), 0

    async def body() -> AsyncIterator[bytes]:
        nonlocal most
        for _ in range(pieces):
            most = max(most, memory_of(gateway))
            yield piece

    headers = {"Content-Length": str(pieces * len(piece))} if framing == "length" else {}
    told = (await client.post("/proxy/echo", content=body(), headers=headers)).json()
    assert told["body_bytes"] == pieces * len(piece)
    assert told["sha256"] == hashlib.sha256(piece * pieces).hexdigest()
    assert most - before < 32 * MB


async def test_proxy_leaves_a_compressed_body_as_it_is(client: httpx.AsyncClient, upstreams: httpx.AsyncClient) -> None:
    """A client that accepts gzip gets the upstream's own bytes, neither inflated nor compressed again."""
    async with client.stream("GET", "/proxy/recommendations/1", headers={"Accept-Encoding": "gzip"}) as response:
        raw = b"".join([chunk async for chunk in response.aiter_raw()])
    assert response.headers["content-encoding"] == "gzip"
    assert json.loads(gzip.decompress(raw)) == (await upstreams.get("/recommendations/1")).json()


@pytest.mark.parametrize("headers", [{"Accept-Encoding": "identity"}, {}])
async def test_proxy_gives_no_compressed_body_to_those_who_did_not_ask(
    client: httpx.AsyncClient, headers: dict[str, str]
) -> None:
    """Whatever the subrequest may negotiate on its own, the client gets what it can read."""
    request = client.build_request("GET", "/proxy/recommendations/1", headers=headers)
    if not headers:
        del request.headers["accept-encoding"]
    answer = await client.send(request, stream=True)
    raw = b"".join([chunk async for chunk in answer.aiter_raw()])
    assert "content-encoding" not in answer.headers
    assert json.loads(raw)["id"] == "1"


async def test_proxy_answers_head_without_a_body(client: httpx.AsyncClient) -> None:
    """HEAD tells the length of what GET would bring."""
    answer = await client.head("/proxy/bytes?size=5m")
    assert (answer.status_code, answer.headers["content-length"], answer.content) == (200, str(5 * MB), b"")


async def test_proxy_stops_the_upstream_when_the_client_leaves(
    client: httpx.AsyncClient, upstreams: httpx.AsyncClient
) -> None:
    """A client that goes away in the middle of a stream takes the subrequest with it."""
    async with client.stream("GET", "/proxy/bytes?size=100g") as response:
        chunks = response.aiter_raw()  # Kept: httpx closes the response when the iterator is collected.
        await anext(chunks)
        assert (await upstreams.get("/stats")).json()["in_flight"] == 1

    async def stopped() -> bool:
        return bool((await upstreams.get("/stats")).json()["in_flight"] == 0)

    await eventually(stopped, what="the upstream's request was cancelled")


def memory_of(program: Program) -> int:
    """Resident memory of a program and all its processes."""
    return sum(rss_bytes(pid) for pid in (program.pid, *program.family()))
