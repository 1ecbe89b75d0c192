"""Bodies that come piece by piece, in both directions."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from atoll.errors import BodyBroken
from atoll.http.body import Body
from atoll.workers.response import Response
from atoll.workers.streams import Chunks, Pulled, ReadableStream


class ListSource:
    """A source of given chunks; remembers that it was closed."""

    def __init__(self, *chunks: bytes) -> None:
        self.chunks = list(chunks)
        self.closed = False

    async def read(self) -> bytes:
        return self.chunks.pop(0) if self.chunks else b""

    def close(self) -> None:
        self.closed = True


async def numbers(ended: list[str], count: int = 3) -> AsyncIterator[str]:
    try:
        for number in range(count):
            yield str(number)
    finally:
        await asyncio.sleep(0)
        ended.append("ended")


async def drained(source: Any) -> list[bytes]:
    chunks = []
    while chunk := await source.read():
        chunks.append(chunk)
    return chunks


async def test_chunks_come_as_they_were_made() -> None:
    """str, bytes, bytearray and memoryview; empty ones are skipped, for b"" would be the end."""

    async def mixed() -> AsyncIterator[Any]:
        for chunk in ("a", "", b"b", b"", bytearray(b"c"), memoryview(b"d"), "é"):
            yield chunk

    pulled = Pulled(mixed())
    assert await drained(pulled) == [b"a", b"b", b"c", b"d", "é".encode()]
    assert await pulled.read() == b""


@pytest.mark.parametrize("iterable", [iter(["a", b"b"]), (x for x in ["a", b"b"]), {"a": 1, "b": 2}.keys()])
async def test_sync_iterables_are_pulled_too(iterable: Any) -> None:
    """Generators, iterators and other iterables."""
    assert await drained(Pulled(iterable)) == [b"a", b"b"]


async def test_a_chunk_of_another_type_is_named() -> None:
    """The error names the generator and the type, and the body does not end as if it were whole."""

    async def counting() -> AsyncIterator[Any]:
        yield "a"
        yield 5

    pulled = Pulled(counting())
    assert await pulled.read() == b"a"
    with pytest.raises(TypeError, match=r"must be str or bytes, but .*counting gave int"):
        await pulled.read()
    with pytest.raises(BodyBroken):
        await pulled.read()
    await pulled.aclose()


async def test_what_the_iterator_raises_is_raised_once_and_never_taken_for_the_end() -> None:
    """Later reads are BodyBroken."""

    def failing() -> Iterator[str]:
        yield "a"
        raise KeyError("b")

    pulled = Pulled(failing())
    assert await pulled.read() == b"a"
    with pytest.raises(KeyError):
        await pulled.read()
    with pytest.raises(BodyBroken) as caught:
        await pulled.read()
    assert isinstance(caught.value.__cause__, KeyError)


async def test_aclose_runs_the_generator_to_its_end() -> None:
    """`close` only stops the reading: cleaning up is author code, awaited where its time is charged."""
    ended: list[str] = []
    pulled = Pulled(numbers(ended))
    assert await pulled.read() == b"0"
    pulled.close()
    pulled.close()
    assert await pulled.read() == b""
    assert ended == []
    await pulled.aclose()
    await pulled.aclose()
    assert ended == ["ended"]


async def test_aclose_of_a_sync_generator() -> None:
    """Its `finally` has run too."""
    ended: list[str] = []

    def numbers() -> Iterator[str]:
        try:
            yield "a"
        finally:
            ended.append("ended")

    pulled = Pulled(numbers())
    await pulled.read()
    await pulled.aclose()
    assert ended == ["ended"]


async def test_the_body_of_a_response_says_that_it_runs_author_code() -> None:
    """So the kernel pulls it inside the invocation; clones say so as well."""
    ended: list[str] = []
    response = Response(numbers(ended))
    clone = response.clone()
    bodies = [response._inner.body, clone._inner.body]
    for body in bodies:
        assert body is not None
        assert getattr(body.source, "author_code", False)
        assert body.length is None
    assert await clone.text() == "012"
    assert await response.text() == "012"
    assert ended == ["ended"]


async def test_the_last_branch_that_is_closed_ends_the_iterator() -> None:
    """Not the first: the other may still be read."""
    ended: list[str] = []
    first = Body(source=Pulled(numbers(ended)))
    second = first.tee()
    third, fourth = second, second.tee()
    sources: list[Any] = [first.take(), third.take(), fourth.take()]
    assert [await source.read() for source in sources] == [b"0", b"0", b"0"]
    await sources[0].aclose()
    await sources[1].aclose()
    assert ended == []
    assert await sources[2].read() == b"1"
    await sources[2].aclose()
    assert ended == ["ended"]


async def test_a_failure_reaches_every_branch() -> None:
    """No branch takes it for the end."""

    async def failing() -> AsyncIterator[str]:
        yield "a"
        raise KeyError("b")

    first = Body(source=Pulled(failing()))

    second = first.tee()
    with pytest.raises(KeyError):
        await first.read_all()
    with pytest.raises((KeyError, BodyBroken)):
        await second.read_all()


async def test_chunks_of_a_source_close_it_at_the_end() -> None:
    """And when reading fails."""
    source = ListSource(b"a", b"b")
    assert [chunk async for chunk in Chunks(Body(source=source))] == [b"a", b"b"]
    assert source.closed

    async def refused() -> bytes:
        raise BodyBroken("cut")

    broken = ListSource()
    broken.read = refused  # type: ignore[method-assign]
    with pytest.raises(BodyBroken):
        await anext(Chunks(Body(source=broken)))
    assert broken.closed


async def test_chunks_can_be_closed_before_the_end() -> None:
    """Then nothing more comes."""
    source = ListSource(b"a", b"b")
    chunks = Chunks(Body(source=source))
    assert await anext(chunks) == b"a"
    await chunks.aclose()
    assert source.closed
    held = Chunks(Body(b"abc"))
    await held.aclose()
    assert [chunk async for chunk in held] == []


async def test_a_stream_can_be_split_and_cancelled() -> None:
    """tee gives two; cancel closes what stands behind."""
    first, second = ReadableStream(Body(b"abc")).tee()
    assert [chunk async for chunk in first] == [chunk async for chunk in second] == [b"abc"]
    assert first.locked
    source = ListSource(b"a")
    stream = ReadableStream(Body(source=source))
    assert not stream.locked
    stream.cancel()
    assert source.closed
    assert stream.locked
