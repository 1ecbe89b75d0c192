"""What an author may give as a body, and the content type that it implies.

Source: fetch standard, "extract a body"; iterables are Atoll's.
"""

from collections.abc import AsyncIterable, Iterable, Mapping, Set
from typing import Any, Final

from atoll.errors import BodyUsed
from atoll.http.body import Body
from atoll.workers.streams import Pulled, ReadableStream
from atoll.workers.text import encode

TEXT: Final = "text/plain;charset=UTF-8"


def body_of(given: object, owner: str) -> tuple[Body | None, str | None]:
    """The internal body and its content type; TypeError for what cannot be one, BodyUsed for a stream that was read."""
    if given is None:
        return None, None
    if isinstance(given, str):
        return Body(encode(given)), TEXT
    if type(given) is bytes:
        return Body(given), None
    if isinstance(given, ReadableStream):
        if given._body.used:
            raise BodyUsed
        return given._body, None
    if isinstance(given, bytes | bytearray | memoryview):
        return Body(bytes(given)), None
    return _iterated(given, owner), None


def _iterated(given: object, owner: str) -> Body:
    if isinstance(given, list | tuple):
        return Body(_joined(given, owner))
    # The iteration of a mapping or a set is never what is meant: it loses the values, or the order.
    if isinstance(given, AsyncIterable | Iterable) and not isinstance(given, Mapping | Set):
        return Body(source=Pulled(given))
    raise unsupported(given, owner)


def _joined(chunks: "list[Any] | tuple[Any, ...]", owner: str) -> bytes:
    parts: list[bytes] = []
    for chunk in chunks:
        if not isinstance(chunk, str | bytes):
            raise unsupported(chunks, owner)
        parts.append(encode(chunk) if isinstance(chunk, str) else chunk)
    return b"".join(parts)


def unsupported(given: object, owner: str) -> TypeError:
    """The error for a body of a type that cannot be one; `owner` is the class that was given it."""
    return TypeError(f"Unsupported type in {owner}: {type(given).__name__}")
