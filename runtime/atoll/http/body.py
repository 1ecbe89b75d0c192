"""A message body: bytes that are there, or a source from which they come; read once, closed once.

The body owns what stands behind it: closing it gives back the connection, ends the generator, frees the slot.
Invariants: `Source.read` returns b"" only at the end and again after it; `close` is synchronous, may be called
at any time and any number of times, and never raises. A body that fails raises `BodyBroken` (or a subclass of
`AbortError`); it never ends as if it were whole.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from typing import Protocol

from atoll.errors import AtollError, BodyBroken, BodyUsed
from atoll.http.coding import Decoded, coding_of
from atoll.http.headers import Headers


class Source(Protocol):
    """Where the bytes of a streamed body come from."""

    async def read(self) -> bytes:
        """The next chunk; b"" at the end. Raises BodyBroken or AbortError when the rest cannot come."""
        ...

    def close(self) -> None:
        """Let go of what stands behind the source, wherever the reading stands."""
        ...


class Body:
    """One representation's bytes; `length` is the number of bytes where it is known beforehand, else None.

    A body with an `encoding` (such as "gzip") keeps the bytes as they came: who reads it gets them decoded, and
    who only passes it on under the same Content-Encoding takes `raw_for` those headers and nothing is decoded.
    """

    __slots__ = ("_raw", "encoding", "held", "length", "raw_length", "used")

    def __init__(
        self,
        held: bytes | None = b"",
        *,
        source: Source | None = None,
        length: int | None = None,
        encoding: str | None = None,
    ) -> None:
        self._raw: bytes | Source = (held or b"") if source is None else source
        self.raw_length = length if source is not None else len(held or b"")
        """The number of bytes as they came; None where it is not known beforehand."""
        self.encoding = encoding
        self.held = held if source is None and encoding is None else None
        """The whole body when it needs no waiting and no decoding; else None."""
        self.length = self.raw_length if encoding is None else None
        self.used = False

    @property
    def source(self) -> Source | None:
        """What the bytes come from, to look at and not to read: `take` hands it over."""
        return None if isinstance(self._raw, bytes) else self._raw

    def take(self) -> "bytes | Source":
        """Hand over the bytes or the source to the one that reads them; `BodyUsed` the second time.

        Who takes a source closes it.
        """
        raw = self.take_raw()
        return raw if self.encoding is None else Decoded(raw, self.encoding)

    def take_raw(self) -> "bytes | Source":
        """`take`, but as the bytes came: for one that sends them on with the same Content-Encoding."""
        if self.used:
            raise BodyUsed
        self.used = True
        return self._raw

    def raw_for(self, headers: Headers) -> "Body":
        """The body to send under these headers: as it came where they still name its coding, else decoded."""
        if self.encoding is None or coding_of(headers.get("content-encoding")) != self.encoding:
            return self
        raw = self.take_raw()
        return Body(raw) if isinstance(raw, bytes) else Body(source=raw, length=self.raw_length)

    def again(self) -> "Body | None":
        """A second body of the same bytes, taken or not, when all of them are here; None for a stream."""
        return Body(self._raw, encoding=self.encoding) if isinstance(self._raw, bytes) else None

    async def read_all(self, bytes_max: int | None = None) -> bytes:
        """Read to the end and join; past `bytes_max` the source is closed and `BodyBroken` raised."""
        taken = self.take()
        if isinstance(taken, bytes):
            return taken
        chunks: list[bytes] = []
        size = 0
        try:
            while chunk := await taken.read():
                size += len(chunk)
                if bytes_max is not None and size > bytes_max:
                    raise BodyBroken(f"the body is larger than {bytes_max} bytes")
                chunks.append(chunk)
        finally:
            taken.close()
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    async def chunks(self) -> AsyncIterator[bytes]:
        """Iterate over the chunks as they come; leaving the loop early closes the source."""
        taken = self.take()
        if isinstance(taken, bytes):
            if taken:
                yield taken
            return
        try:
            while chunk := await taken.read():
                yield chunk
        finally:
            taken.close()

    def tee(self) -> "Body":
        """Make a second body of the same bytes; each is read at its own pace.

        The slower of the two is what memory holds. `BodyUsed` when reading has begun.
        """
        raw = self.take_raw()
        self.used = False
        if isinstance(raw, bytes):
            return Body(raw, encoding=self.encoding)
        shared = _Shared(raw)
        self._raw = _Branch(shared, 0)
        return Body(source=_Branch(shared, 1), length=self.raw_length, encoding=self.encoding)

    def close(self) -> None:
        """Close the source, read or not; a held body has nothing to close."""
        self.used = True
        if not isinstance(self._raw, bytes):
            self._raw.close()

    def __repr__(self) -> str:
        state = "used" if self.used else "held" if isinstance(self._raw, bytes) else "streamed"
        coded = f", {self.encoding}" if self.encoding is not None else ""
        return f"<Body {state}, {'?' if self.raw_length is None else self.raw_length} bytes{coded}>"


class _Shared:
    """One source read by two branches: a chunk that one branch reads is queued for the other."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.queued: tuple[deque[bytes], deque[bytes]] = (deque(), deque())
        self.closed = [False, False]
        self.ended = False
        self.failure: BaseException | None = None
        self.reading: asyncio.Task[None] | None = None

    async def read(self, side: int) -> bytes:
        while not self.queued[side]:
            if self.failure is not None:
                raise self.failure
            if self.ended:
                return b""
            if self.reading is None:
                self.reading = asyncio.get_running_loop().create_task(self._pull())
            await asyncio.shield(self.reading)
        return self.queued[side].popleft()

    async def _pull(self) -> None:
        try:
            chunk = await self.source.read()
        except AtollError as failure:
            self.failure = failure
        else:
            if not chunk:
                self.ended = True
            else:
                for side in (0, 1):
                    if not self.closed[side]:
                        self.queued[side].append(chunk)
        finally:
            self.reading = None

    def close(self, side: int) -> None:
        self.closed[side] = True
        self.queued[side].clear()
        if all(self.closed):
            if self.reading is not None:
                self.reading.cancel()
            self.source.close()


class _Branch:
    """One of the two ends of a tee; what its source says of itself holds for it too."""

    def __init__(self, shared: _Shared, side: int) -> None:
        self._shared = shared
        self._side = side
        self.author_code = getattr(shared.source, "author_code", False)

    async def read(self) -> bytes:
        return await self._shared.read(self._side)

    def close(self) -> None:
        self._shared.close(self._side)

    async def aclose(self) -> None:
        """Close, and when the other end is closed too, let the source end as it wishes."""
        self.close()
        if all(self._shared.closed) and self.author_code:
            await self._shared.source.aclose()  # type: ignore[attr-defined]
