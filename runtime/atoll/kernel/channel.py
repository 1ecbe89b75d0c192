"""One chunk at a time from the invocation's own task to the trigger that sends the body.

Author code that produces a body runs in the invocation's task, under its meter; the trigger reads in a task of
its own. `put` returns when the chunk has been taken and the next is wanted, so backpressure reaches the author.
"""

import asyncio

from atoll.errors import AtollError


class Channel:
    """A body source (`http.body.Source`) on the reading side; put, end and fail on the writing side."""

    __slots__ = ("_chunk", "_closed", "_ended", "_failure", "_reader", "_writer")

    def __init__(self) -> None:
        self._chunk: bytes | None = None
        self._ended = False
        self._closed = False
        self._failure: AtollError | None = None
        self._reader: asyncio.Future[None] | None = None
        self._writer: asyncio.Future[None] | None = None

    async def put(self, chunk: bytes) -> bool:
        """Offer a chunk and wait until the reader comes back for more; False when nobody reads any longer."""
        self._chunk = chunk
        _wake(self._reader)
        while self._chunk is not None or self._reader is None or self._reader.done():
            if self._closed:
                return False
            self._writer = asyncio.get_running_loop().create_future()
            await self._writer
        return not self._closed

    def end(self) -> None:
        """The body is whole."""
        self._ended = True
        _wake(self._reader)

    def fail(self, failure: AtollError) -> None:
        """The rest will not come."""
        self._failure = failure
        _wake(self._reader)

    async def read(self) -> bytes:
        """The next chunk; b"" at the end; raises what `fail` was given."""
        while True:
            if self._chunk is not None:
                chunk, self._chunk = self._chunk, None
                return chunk
            if self._failure is not None:
                raise self._failure
            if self._ended or self._closed:
                return b""
            self._reader = asyncio.get_running_loop().create_future()
            _wake(self._writer)
            await self._reader

    def close(self) -> None:
        """Nobody reads any longer: the writer is told at its next, or present, put."""
        self._closed = True
        _wake(self._writer)
        _wake(self._reader)


def _wake(future: asyncio.Future[None] | None) -> None:
    if future is not None and not future.done():
        future.set_result(None)
