"""`handlers/landing.py`: five upstreams in one answer, JSON or a streamed page, whole or with gaps."""

import time
from html.parser import HTMLParser
from typing import Any

import httpx
import pytest

UPSTREAMS = ["catalogue", "prices", "stock", "recommendations", "reviews"]


async def test_landing_merges_five_upstreams(client: httpx.AsyncClient, upstreams: httpx.AsyncClient) -> None:
    """The answer has what each of the five upstreams says, and no errors."""
    answer = await client.get("/landing/7")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    expected = {name: (await upstreams.get(f"/{name}/7")).json() for name in UPSTREAMS}
    assert answer.json() == {"id": "7", **expected, "errors": []}


async def test_landing_asks_all_upstreams_at_once(client: httpx.AsyncClient, upstreams: httpx.AsyncClient) -> None:
    """Five upstreams of 300 ms take together much less than the 1,500 ms of one after the other."""
    for service in UPSTREAMS:
        await upstreams.put(f"/knobs/{service}?latency_ms=300")
    started_s = time.monotonic()
    answer = await client.get("/landing/3")
    elapsed_s = time.monotonic() - started_s
    assert answer.json()["errors"] == []
    assert 0.3 <= elapsed_s < 0.9


@pytest.mark.parametrize(
    ("accept", "html"),
    [
        (None, False),
        ("*/*", False),
        ("application/json", False),
        ("text/html", True),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", True),
        ("text/html;q=0.5, application/json", False),
        ("application/json;q=0.1, TEXT/*; q=0.2", True),
        ("text/html;q=oops", False),
    ],
)
async def test_landing_is_html_only_for_those_who_prefer_it(
    client: httpx.AsyncClient, accept: str | None, html: bool
) -> None:
    """Browsers get a page, everyone else JSON, by the weights of Accept."""
    answer = await client.send(request_with_accept(client, "/landing/1", accept))
    kind = answer.headers["content-type"].partition(";")[0]
    assert (answer.status_code, kind) == (200, "text/html" if html else "application/json")
    assert answer.headers["vary"] == "Accept"


async def test_landing_page_is_whole_and_escaped(client: httpx.AsyncClient) -> None:
    """Every element is closed, every section is there, and what looks like markup in the data is shown as text."""
    page = (await client.get("/landing/7", headers={"Accept": "text/html"})).text
    assert page.startswith("<!doctype html>\n<html lang=")
    assert page.endswith("</html>\n")
    outline = Outline(page)
    assert outline.unclosed == []
    assert outline.texts("h1") == ["Enamel mug, 350 ml"]
    assert outline.texts("h2") == ["Price", "Stock", "You may also like", "Reviews"]
    assert "the box was &lt;dented&gt; when it came" in page
    assert "a friend &amp; never" in page


async def test_landing_page_begins_while_its_parts_are_on_their_way(
    client: httpx.AsyncClient, upstreams: httpx.AsyncClient
) -> None:
    """Title and style arrive before the slowest upstream has answered, the reviews only after it."""
    await upstreams.put("/knobs/reviews?latency_ms=700")
    pieces: list[tuple[float, str]] = []
    async with client.stream("GET", "/landing/7", headers={"Accept": "text/html"}) as response:
        async for text in response.aiter_text():
            pieces.append((time.monotonic(), text))  # noqa: PERF401
    first_s, first = pieces[0]
    assert "<title>Enamel mug" in first
    assert "Reviews" not in first
    reviewed_s = next(at for at, text in pieces if "Reviews" in text)
    assert reviewed_s - first_s > 0.35


async def test_landing_with_a_failed_upstream_is_a_partial_answer(
    client: httpx.AsyncClient, upstreams: httpx.AsyncClient
) -> None:
    """The failed branch is null and named in `errors`; the page says that the section is not available."""
    await upstreams.put("/knobs/reviews?fail=1")
    answer = await client.get("/landing/2")
    assert answer.status_code == 200
    facts = answer.json()
    assert facts["reviews"] is None
    assert facts["stock"]["id"] == "2"
    assert facts["errors"] == [{"upstream": "reviews", "error": "answered with status 503"}]
    page = await client.get("/landing/2", headers={"Accept": "text/html"})
    assert page.status_code == 200
    assert page.text.count("Not available at the moment.") == 1
    assert Outline(page.text).unclosed == []


async def test_landing_without_its_catalogue_is_still_a_page(
    client: httpx.AsyncClient, upstreams: httpx.AsyncClient
) -> None:
    """The upstream that names the product may fail, too."""
    await upstreams.put("/knobs/catalogue?fail=1")
    page = await client.get("/landing/2", headers={"Accept": "text/html"})
    assert (page.status_code, Outline(page.text).texts("h1")) == (200, ["Product 2"])
    assert (await client.get("/landing/2")).json()["catalogue"] is None


async def test_landing_with_no_upstream_left_is_a_502(client: httpx.AsyncClient, upstreams: httpx.AsyncClient) -> None:
    """When nothing at all came, the status says so, in both representations."""
    for service in UPSTREAMS:
        await upstreams.put(f"/knobs/{service}?fail=1")
    answer = await client.get("/landing/2")
    assert (answer.status_code, len(answer.json()["errors"])) == (502, 5)
    assert (await client.get("/landing/2", headers={"Accept": "text/html"})).status_code == 502


@pytest.mark.parametrize("path", ["/landing/999", "/landing/mug", "/landing/", "/landing/7/8", "/landing/%37"])
async def test_landing_of_an_unknown_product_is_a_404(client: httpx.AsyncClient, path: str) -> None:
    """What the catalogue does not know, and what cannot be an id, is not found."""
    answer = await client.get(path)
    assert (answer.status_code, "no product has the id" in answer.json()["error"]) == (404, True)


async def test_landing_takes_no_other_method(client: httpx.AsyncClient) -> None:
    """POST is refused with the methods that are allowed."""
    answer = await client.post("/landing/7", content=b"x")
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD")


def request_with_accept(client: httpx.AsyncClient, path: str, accept: str | None) -> httpx.Request:
    """A request with this Accept field, or with none at all."""
    request = client.build_request("GET", path, headers={"Accept": accept or "*/*"})
    if accept is None:
        del request.headers["accept"]
    return request


class Outline(HTMLParser):
    """What a page is made of: the texts of its elements, and what was opened and not closed in order."""

    VOID = frozenset({"meta", "link", "br", "img", "input", "hr"})

    def __init__(self, page: str) -> None:
        super().__init__()
        self._open: list[str] = []
        self._texts: list[tuple[str, str]] = []
        self.unclosed: list[str] = []
        self.feed(page)
        self.close()
        self.unclosed += self._open

    def handle_starttag(self, tag: str, attrs: list[Any]) -> None:
        if tag not in self.VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if not self._open or self._open.pop() != tag:
            self.unclosed.append(tag)

    def handle_data(self, data: str) -> None:
        if self._open and data.strip():
            self._texts.append((self._open[-1], data.strip()))

    def texts(self, tag: str) -> list[str]:
        """The texts directly in elements of this name."""
        return [text for name, text in self._texts if name == tag]
