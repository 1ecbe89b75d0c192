"""Many subrequests at once: `/fanout?n=10&latency_ms=50` asks an upstream n times and counts what came of it.

Shows: concurrent subrequests, and the cap on them. Past the cap `fetch` raises before anything leaves, so n=60
answers with 50 that went well and 10 that were refused.

    curl 'localhost:8787/fanout?n=60'
"""

import asyncio
import time
from urllib.parse import parse_qsl, urlsplit

from workers import Response, WorkerEntrypoint, fetch

N_MAX = 1_000


class Default(WorkerEntrypoint):
    async def fetch(self, request):
        query = dict(parse_qsl(urlsplit(request.url).query))
        try:
            n = int(query.get("n", "10"))
            latency_ms = float(query.get("latency_ms", "50"))
        except ValueError:
            return Response("n and latency_ms must be numbers\n", status=400)
        if not (0 <= n <= N_MAX and 0 <= latency_ms <= 10_000):
            return Response(f"n must be from 0 to {N_MAX}, latency_ms from 0 to 10000\n", status=400)

        started = time.monotonic()
        answers = await asyncio.gather(*(self.ask(latency_ms) for _ in range(n)), return_exceptions=True)
        failures = [answer for answer in answers if isinstance(answer, Exception)]
        return Response.json(
            {
                "n": n,
                "ok": n - len(failures),
                "failed": len(failures),
                "ms": round((time.monotonic() - started) * 1000, 1),
                "errors": sorted({str(failure) for failure in failures}),
            }
        )

    async def ask(self, latency_ms):
        response = await fetch(f"{self.env.UPSTREAM}/stock/1?latency_ms={latency_ms:g}")
        response.raise_for_status()
        return await response.json()
