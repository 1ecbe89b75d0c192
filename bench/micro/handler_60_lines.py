"""A handler as authors write them; the sixty lines whose module graph the micro benchmark makes anew."""

from workers import Response, WorkerEntrypoint
import json
import asyncio
from urllib.parse import urlsplit, parse_qs

LIMIT = 10
NAMES = ["a", "b", "c"]
TABLE = {"x": 1, "y": 2, "z": 3}


def clean(text):
    return text.strip().lower()


def parse(url):
    parts = urlsplit(url)
    return parse_qs(parts.query)


async def one(n):
    await asyncio.sleep(0)
    return n


async def many(n):
    return await asyncio.gather(*(one(i) for i in range(n)))


class Store:
    items = []

    def add(self, item):
        self.items.append(item)

    def get(self, key):
        return self.items[key]


class Default(WorkerEntrypoint):
    async def fetch(self, request):
        query = parse(request.url)
        n = int(query.get("n", ["1"])[0])
        got = await many(n)
        return Response(json.dumps(got))

    def helper(self):
        return clean("x")


def tail(n):
    if n:
        return tail(n - 1)
    return 0


VALUES = [tail(i) for i in range(3)]
