"""Bodies that come piece by piece: a body as an author reads it, and an author's iterator as a body.

Invariant: a `Pulled` runs author code. It says so (`author_code`), and whoever sends it reads it and awaits
`aclose` inside the invocation that it belongs to, where its time is charged.
"""

from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Iterator
from typing import Any, ClassVar

from atoll.errors import BodyBroken
from atoll.http.body import Body, Source
from atoll.workers.sealed import Sealed, sealed
from atoll.workers.text import encode


@sealed
class ReadableStream(metaclass=Sealed):
    """The body of a Request or Response: an async iterable of bytes, which can be read once or passed on whole."""

    __module__ = "workers"
    __slots__ = ("_body",)

    def __init__(self, body: Body) -> None:
        self._body = body

    def __aiter__(self) -> AsyncIterator[bytes]:
        return Chunks(self._body)

    @property
    def locked(self) -> bool:
        """Whether it is being read or has been passed on."""
        return self._body.used

    def tee(self) -> "tuple[ReadableStream, ReadableStream]":
        """Two streams of the same bytes; what the slower one has not read yet is held in memory."""
        second = self._body.tee()
        return ReadableStream(self._body), ReadableStream(second)

    def cancel(self, reason: object = None) -> None:
        """Close it, wherever the reading stands."""
        self._body.close()

    def __repr__(self) -> str:
        return f"<ReadableStream {self._body!r}>"


class Chunks:
    """The chunks of a body as they come. No generator, for an unfinished one would be closed by the collector."""

    __slots__ = ("_rest", "_source")

    def __init__(self, body: Body | None) -> None:
        taken = body.take() if body is not None else b""
        self._rest = taken if isinstance(taken, bytes) else b""
        self._source: Source | None = None if isinstance(taken, bytes) else taken

    def __aiter__(self) -> "Chunks":
        return self

    async def __anext__(self) -> bytes:
        if self._source is None:
            chunk, self._rest = self._rest, b""
        else:
            chunk = await self._read(self._source)
        if not chunk:
            raise StopAsyncIteration
        return chunk

    async def _read(self, source: Source) -> bytes:
        try:
            chunk = await source.read()
        except BaseException:
            source.close()
            raise
        if not chunk:
            source.close()
        return chunk

    async def aclose(self) -> None:
        """Close the body before its end."""
        self._rest = b""
        if self._source is not None:
            self._source.close()


class Pulled:
    """A Source over an author's iterator of str or bytes, sync or async; pulled one chunk at a time.

    What the iterator raises is raised by `read`; later reads raise BodyBroken, so that no reader takes it for
    an end. `close` stops the reading at once; `aclose` also ends the iterator, which may run author code.
    """

    author_code: ClassVar[bool] = True

    __slots__ = ("_ended", "_failure", "_iterator", "_next")

    def __init__(self, iterable: AsyncIterable[Any] | Iterable[Any]) -> None:
        self._iterator: AsyncIterator[Any] | Iterator[Any]
        self._next: Callable[[], Awaitable[Any]] | None = None
        if isinstance(iterable, AsyncIterable):
            self._iterator = iterator = aiter(iterable)
            self._next = iterator.__anext__
        else:
            # Not a method of its own in `_next`: it would refer to itself and wait for the collector.
            self._iterator = iter(iterable)
        self._ended = False
        self._failure: BaseException | None = None

    async def read(self) -> bytes:
        while not self._ended:
            try:
                chunk = self._bytes_of(await (self._step() if self._next is None else self._next()))
            except StopAsyncIteration:
                break
            except BaseException as failure:
                self._ended = True
                self._failure = failure
                raise
            # An empty chunk would be taken for the end.
            if chunk:
                return chunk
        self._ended = True
        if self._failure is not None:
            raise BodyBroken("the iterator of this body has raised before") from self._failure
        return b""

    async def _step(self) -> Any:
        # StopIteration may not leave a coroutine (PEP 479), so the end is told as its async sister.
        try:
            return next(self._iterator)  # type: ignore[arg-type]
        except StopIteration:
            raise StopAsyncIteration from None

    def _bytes_of(self, chunk: object) -> bytes:
        if type(chunk) is bytes:
            return chunk
        if isinstance(chunk, str):
            return encode(chunk)
        if isinstance(chunk, bytes | bytearray | memoryview):
            return bytes(chunk)
        raise TypeError(f"the chunks of a body must be str or bytes, but {self._name} gave {type(chunk).__name__}")

    def close(self) -> None:
        self._ended = True

    async def aclose(self) -> None:
        """Stop reading and end the iterator, so that its `finally` blocks have run."""
        self._ended = True
        if (end := getattr(self._iterator, "aclose", None)) is not None:
            await end()
        elif (end := getattr(self._iterator, "close", None)) is not None:
            end()

    @property
    def _name(self) -> str:
        return getattr(self._iterator, "__qualname__", type(self._iterator).__name__)

    def __repr__(self) -> str:
        return f"<Pulled {self._name}{', ended' if self._ended else ''}>"
