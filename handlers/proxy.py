"""A reverse proxy: whatever comes under /proxy goes to the upstream, and its answer comes back.

Shows: the function form of a handler, and streaming. Neither body is ever read here, so both pass through at
any size in constant memory, and what the upstream compressed stays as it is.

    curl 'localhost:8787/proxy/bytes?size=1g' | sha256sum
    curl localhost:8787/proxy/echo --data-binary @file
"""

from urllib.parse import urlsplit

from workers import Response, fetch

# Fields that are about one connection and not about the message (RFC 9110, section 7.6.1); Host is the upstream's own.
HOP_BY_HOP = {
    "connection",
    "host",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
}


async def on_fetch(request, env, ctx):
    try:
        return await fetch(
            target(request.url, env.UPSTREAM),
            method=request.method,
            headers=end_to_end(request.headers),
            body=request.body,
            redirect="manual",
        )
    except TimeoutError as error:
        return Response(f"The upstream took too long: {error}\n", status=504)
    except OSError as error:
        return Response(f"The upstream cannot be reached: {error}\n", status=502)


def target(url, upstream):
    """The upstream's URL: the same path and query without the prefix of the route."""
    parts = urlsplit(url)
    query = f"?{parts.query}" if parts.query else ""
    return upstream + parts.path.removeprefix("/proxy") + query


def end_to_end(headers):
    """The header lines to pass on: not the connection's own, nor those that Connection names."""
    dropped = HOP_BY_HOP | {name.strip().lower() for name in headers.get("Connection", "").split(",")}
    return [(name, value) for name, value in headers.items() if name.lower() not in dropped]
