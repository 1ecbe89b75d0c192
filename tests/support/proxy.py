"""A forward proxy for tests: it answers CONNECT with a tunnel to one place, whatever host was asked for."""

import asyncio
from typing import Self


class TunnelProxy:
    """Tunnels to 127.0.0.1:`port`; `answer` replaces its answer to CONNECT, and then there is no tunnel."""

    def __init__(self, port: int = 0, *, answer: bytes | None = None) -> None:
        self._to = port
        self._answer = answer
        self._tasks: set[asyncio.Task[None]] = set()
        self.heads: list[bytes] = []
        self.open = 0
        self.port = 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accepted, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        self.open += 1
        try:
            self.heads.append(await reader.readuntil(b"\r\n\r\n"))
            if self._answer is not None:
                writer.write(self._answer)
                await reader.read()
                return
            there, back = await asyncio.open_connection("127.0.0.1", self._to)
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            try:
                await asyncio.gather(_pipe(reader, back), _pipe(there, writer))
            finally:
                back.transport.abort()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self.open -= 1
            writer.transport.abort()


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65_536):
        writer.write(data)
        await writer.drain()
    writer.transport.abort()
