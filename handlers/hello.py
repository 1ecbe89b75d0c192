"""The smallest worker: greets as text, or as JSON for a client that asks for it.

Shows: an entrypoint class, a variable from the configuration, reading the URL, two kinds of response.

    curl localhost:8787/
    curl localhost:8787/?name=Ada -H 'Accept: application/json'
"""

from urllib.parse import parse_qs, urlsplit

from workers import Response, WorkerEntrypoint


class Default(WorkerEntrypoint):
    async def fetch(self, request):
        query = parse_qs(urlsplit(request.url).query)
        name = query.get("name", ["world"])[0]
        greeting = f"{self.env.GREETING}, {name}!"
        if "application/json" in request.headers.get("Accept", ""):
            return Response.json({"greeting": greeting})
        return Response(greeting + "\n")
