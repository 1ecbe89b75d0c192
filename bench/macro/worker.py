"""The worker of the macro benchmarks: `/?n=10` fans out to ten upstreams and answers with what came, and
`/stream?bytes=1000` passes on an upstream's body of so many bytes."""

import asyncio
from urllib.parse import parse_qs, urlsplit

from workers import Response, WorkerEntrypoint, fetch


class Default(WorkerEntrypoint):
    """Fans out with gather; one fetch and one parse for each part."""

    async def fetch(self, request):
        url = urlsplit(request.url)
        query = parse_qs(url.query)
        if url.path == "/stream":
            return await fetch(f"{self.env.UPSTREAM}/bytes?size={query['bytes'][0]}")
        count = int(query.get("n", ["0"])[0])
        parts = await asyncio.gather(*(self.one(number) for number in range(count)))
        return Response.json(parts)

    async def one(self, number):
        response = await fetch(f"{self.env.UPSTREAM}/item/{number}")
        return await response.json()
