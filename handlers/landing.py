"""A product page put together from five upstreams at once: JSON for programs, HTML for browsers.

Shows: concurrent subrequests, an upstream's failure as a gap in the answer and not as an error page, content
negotiation, and a page that is streamed while its parts are still on their way (see landing_page.py).

    curl localhost:8787/landing/7
    curl localhost:8787/landing/7 -H 'Accept: text/html'
"""

import asyncio
from urllib.parse import urlsplit

from workers import Response, WorkerEntrypoint, fetch

from landing_page import render

UPSTREAMS = ("catalogue", "prices", "stock", "recommendations", "reviews")


class Default(WorkerEntrypoint):
    async def fetch(self, request):
        if request.method not in ("GET", "HEAD"):
            return Response("Only GET and HEAD\n", status=405, headers={"Allow": "GET, HEAD"})
        product = urlsplit(request.url).path.removeprefix("/landing/")
        if not product.isdecimal():
            return not_found(product)

        # All five leave at once, and each is a task, so that it goes on while the page is being sent.
        parts = {name: asyncio.create_task(self.part(name, product)) for name in UPSTREAMS}

        # A status cannot be changed once a page has begun, so what decides it is awaited first.
        catalogue = await parts["catalogue"]
        if catalogue.get("status") == 404:
            return not_found(product)
        status = 200
        if "error" in catalogue and all("error" in answer for answer in await asyncio.gather(*parts.values())):
            status = 502

        headers = {"Vary": "Accept", "Cache-Control": "no-store"}
        if prefers_html(request.headers.get("Accept", "")):
            headers["Content-Type"] = "text/html;charset=UTF-8"
            return Response(render(product, parts), status=status, headers=headers)
        answers = dict(zip(parts, await asyncio.gather(*parts.values()), strict=True))
        return Response.json(merged(product, answers), status=status, headers=headers)

    async def part(self, name, product):
        """Ask one upstream; `{"data": ...}`, or `{"error": ...}` with the `status` if there was one."""
        try:
            response = await fetch(f"{self.env.UPSTREAM}/{name}/{product}")
            if not response.ok:
                return {"error": f"answered with status {response.status}", "status": response.status}
            return {"data": await response.json()}
        except (OSError, ValueError) as error:
            return {"error": f"{type(error).__name__}: {error}"}


def merged(product, answers):
    """One object with a key for each upstream, null where it failed, and the failures in `errors`."""
    errors = [{"upstream": name, "error": answer["error"]} for name, answer in answers.items() if "error" in answer]
    return {"id": product, **{name: answer.get("data") for name, answer in answers.items()}, "errors": errors}


def not_found(product):
    return Response.json({"error": f"no product has the id {product!r}"}, status=404)


def prefers_html(accept):
    """Whether an Accept field puts HTML before JSON (RFC 9110, section 12.5.1); JSON if it does not care."""
    weights = {}
    for item in accept.lower().split(","):
        media_type, *parameters = (part.strip() for part in item.split(";"))
        weight = next((parameter[2:] for parameter in parameters if parameter.startswith("q=")), "1")
        weights[media_type] = float(weight) if weight.replace(".", "", 1).isdecimal() else 0.0
    anything = weights.get("*/*", 0.0)
    html = weights.get("text/html", weights.get("text/*", anything))
    return html > weights.get("application/json", weights.get("application/*", anything))
