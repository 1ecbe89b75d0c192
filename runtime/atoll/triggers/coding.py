"""Content codings towards the client: what it did not say it can read leaves decoded.

A subrequest asks for gzip on its own account, so a body that is only passed on may come compressed to a client that
never asked for that; such a one, curl without `--compressed` say, gets it decoded. RFC 9110 would let a gateway send
any coding to a client without Accept-Encoding; the ones that leave the field out are those that cannot decode.
Source: RFC 9110, sections 8.4 and 12.5.3; section 7.7 for what must not be transformed.
"""

from atoll.http.body import Body
from atoll.http.coding import coding_of
from atoll.http.headers import Headers
from atoll.http.message import Response


def readable(response: Response, asked: Headers) -> Response:
    """The response itself where the client, by its `asked` fields, reads its coding, or where it must be left alone.

    Else a decoded one.
    """
    headers = response.headers
    coding = coding_of(headers.get("content-encoding"))
    if coding is None or response.status == 206 or accepts(asked.get("accept-encoding"), coding):
        return response
    if "no-transform" in (headers.get("cache-control") or "").lower():
        return response
    headers = headers.copy()
    headers.delete("content-encoding")
    headers.delete("content-length")
    if (tag := headers.get("etag")) is not None and tag.startswith('"'):
        headers.set("ETag", f"W/{tag}")
    return Response(response.status, headers, _decoded(response.body, coding), response.reason)


def accepts(accept_encoding: str | None, coding: str) -> bool:
    """Whether an Accept-Encoding field takes this coding; a client without the field takes none."""
    weights: dict[str, bool] = {}
    for item in (accept_encoding or "").lower().split(","):
        name, _, parameters = item.partition(";")
        weight = parameters.strip().removeprefix("q=").strip()
        weights[name.strip()] = not weight or weight.strip("0.") != ""
    return weights.get(coding, weights.get(f"x-{coding}", weights.get("*", False)))


def _decoded(body: Body | None, coding: str) -> Body | None:
    if body is None:
        return None
    raw = body.take_raw()
    return Body(raw, encoding=coding) if isinstance(raw, bytes) else Body(source=raw, encoding=coding)
