"""What Request and Response have in common: fields, and a body that is read once in one of several forms.

Source: fetch standard, "Body mixin"; Python's names beside JavaScript's.
"""

import builtins
import json
from typing import Any

from atoll.errors import BodyUsed
from atoll.http import headers as http
from atoll.http.body import Body
from atoll.workers import text as texts
from atoll.workers.headers import Headers, Pair
from atoll.workers.sealed import Later, Sealed, sealed
from atoll.workers.streams import ReadableStream


@sealed
class Content(metaclass=Sealed):
    """A face over an internal message. Authors may set attributes of their own on it; it has room for them."""

    __module__ = "workers"
    __slots__ = ("__dict__", "__weakref__", "_headers", "_inner")

    _inner: Any
    _headers: Headers | None

    @property
    def headers(self) -> Headers:
        """The header fields; changes count when the message is sent."""
        if self._headers is None:
            self._headers = Headers._over(self._pairs())
        return self._headers

    def _pairs(self) -> list[Pair]:
        """The field lines that `headers` begins with, in a list of their own."""
        return list(self._inner.headers.pairs)

    def _settled(self) -> http.Headers:
        """The fields to send: what came, unless the author has changed it."""
        face = self._headers
        if face is None or face._headers == self._inner.headers.pairs:
            found: http.Headers = self._inner.headers
            return found
        return http.Headers((name, str(value)) for name, value in face._headers)

    @property
    def body(self) -> ReadableStream | None:
        """The body as a stream; None when there is none."""
        body: Body | None = self._inner.body
        return None if body is None else ReadableStream(body)

    @property
    def body_used(self) -> bool:
        """Whether the body has been read, or is being read."""
        body: Body | None = self._inner.body
        return body is not None and body.used

    async def _read(self) -> builtins.bytes:
        body: Body | None = self._inner.body
        if body is None:
            return b""
        if body.held is None:
            return await body.read_all()
        if body.used:
            raise BodyUsed
        body.used = True
        return body.held

    async def bytes(self) -> builtins.bytes:
        """The whole body; `OSError("Body already used")` the second time, as for all that read it."""
        return await self._read()

    async def buffer(self) -> builtins.memoryview:
        """The whole body as a memoryview."""
        return memoryview(await self._read())

    async def memoryview(self) -> builtins.memoryview:
        """The whole body as a memoryview."""
        return memoryview(await self._read())

    async def text(self) -> str:
        """The whole body as text: UTF-8 whatever the content type says, as the fetch standard has it."""
        return texts.decode(await self._read())

    async def string(self) -> str:
        """The whole body as text."""
        return texts.decode(await self._read())

    async def _parse(self, **loads: Any) -> Any:
        body: Body | None = self._inner.body
        if body is not None and body.held is not None and not body.used and not loads:
            # What most handlers do with most answers, without another coroutine.
            body.used = True
            return texts.parse_json(body.held)
        raw = await self._read()
        return json.loads(texts.decode(raw), **loads) if loads else texts.parse_json(raw)

    def _tee(self) -> Body | None:
        """A second body of the same bytes, for a clone."""
        body: Body | None = self._inner.body
        return None if body is None else body.tee()

    blob = Later()
    form_data = Later()
    formData = Later()
    js_object = Later()
