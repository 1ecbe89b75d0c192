"""What the supervisor and its processes say to each other: one JSON document a line over a socketpair.

A process runs authors' code, so what comes up from it is decoded into the closed set `Up` and nothing else;
the configuration goes down pickled, for that way the words are the supervisor's own.
"""

import asyncio
import pickle
import socket
from typing import Final, Generic, Literal, TypeVar

import msgspec

from atoll.config import Config

_LINE_BYTES_MAX: Final = 64 << 20

LogFormat = Literal["json", "pretty", "off"]


class Settings(msgspec.Struct, frozen=True):
    """How a process behaves besides its configuration."""

    dev: bool
    log: LogFormat
    level: str
    colour: bool
    inspect: bool = False
    """Time limits are suspended while a debugger is attached."""


class Problem(msgspec.Struct, frozen=True):
    """Why a worker does not load; the fields of a ScriptError."""

    worker: str
    text: str
    file: str
    line: int
    detail: str


class Start(msgspec.Struct, frozen=True, tag=True):
    """Load the workers and serve them."""

    pickled: bytes
    settings: Settings

    @classmethod
    def of(cls, config: Config, settings: Settings) -> "Start":
        return cls(pickle.dumps(config), settings)

    def config(self) -> Config:
        config = pickle.loads(self.pickled)
        assert isinstance(config, Config)
        return config


class Reload(msgspec.Struct, frozen=True, tag=True):
    """Read the workers' code again."""


class Drain(msgspec.Struct, frozen=True, tag=True):
    """Accept no more, finish what is in flight for so long, then exit; a later one replaces the earlier."""

    timeout_s: float


class Ready(msgspec.Struct, frozen=True, tag=True):
    """The process serves; with problems only in dev."""

    problems: list[Problem]


class Refused(msgspec.Struct, frozen=True, tag=True):
    """The process does not serve, because of these workers or of this one error, and exits."""

    problems: list[Problem]
    error: str


class Reloaded(msgspec.Struct, frozen=True, tag=True):
    """The code has been read again."""

    problems: list[Problem]


class Leaving(msgspec.Struct, frozen=True, tag=True):
    """The process drains on its own account and wants to be replaced."""


Down = Start | Reload | Drain
Up = Ready | Refused | Reloaded | Leaving

_Incoming = TypeVar("_Incoming")
_Outgoing = TypeVar("_Outgoing")


class Channel(Generic[_Incoming, _Outgoing]):
    """One end of the socketpair between the supervisor and one process."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        decoder: "msgspec.json.Decoder[_Incoming]",
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._decoder = decoder
        self._encoder = msgspec.json.Encoder()

    def send(self, message: _Outgoing) -> None:
        """Say something; nobody hears it when the other end has gone, which `receive` tells."""
        if not self._writer.is_closing():
            self._writer.write(self._encoder.encode(message) + b"\n")

    async def receive(self) -> _Incoming | None:
        """The next message; None when the other end has gone. `msgspec.DecodeError` for what is no message."""
        try:
            line = await self._reader.readline()
        except OSError:
            return None
        return self._decoder.decode(line) if line.endswith(b"\n") else None

    def close(self) -> None:
        """Let the other end see the end, once it has what was sent."""
        self._writer.close()

    async def aclose(self) -> None:
        """Send what is still to be sent, and close."""
        self._writer.close()
        try:
            await self._writer.wait_closed()
        except OSError:
            pass


async def above(sock: socket.socket) -> "Channel[Up, Down]":
    """The supervisor's end."""
    reader, writer = await asyncio.open_unix_connection(sock=sock, limit=_LINE_BYTES_MAX)
    return Channel(reader, writer, msgspec.json.Decoder(Up))


async def below(sock: socket.socket) -> "Channel[Down, Up]":
    """The process's end."""
    reader, writer = await asyncio.open_unix_connection(sock=sock, limit=_LINE_BYTES_MAX)
    return Channel(reader, writer, msgspec.json.Decoder(Down))
