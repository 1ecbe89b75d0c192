"""What right answers are, for the upstream that makes them and for the load that checks them."""

import json
import random
from typing import Final, Protocol

ITEM: Final = b'{"target": "%b", "items": [1, 2, 3, 4, 5], "price": 12.5, "name": "a small answer"}'
BLOCK: Final = random.Random(0).randbytes(1 << 18)
_TWICE: Final = BLOCK + BLOCK


class WrongAnswer(Exception):
    """An answer that is not what was asked for; nothing that was measured beside it counts."""


class Answer(Protocol):
    """The bodies of one connection's answers as they come; both methods raise `WrongAnswer`."""

    def piece(self, data: bytes) -> None:
        """More of the body."""

    def end(self) -> None:
        """The body is whole, and the next one begins."""


class Parts:
    """The JSON array of a fan-out: each part must be the answer to its own request, in the order of the requests.

    A gateway answers with the same bytes every time, so a body is parsed only when it differs from the last one
    that was right.
    """

    def __init__(self, fan_out: int) -> None:
        self._expected = [json.loads(ITEM % b"/item/%d" % number) for number in range(fan_out)]
        self._right = b""
        self._body = b""

    def piece(self, data: bytes) -> None:
        self._body += data

    def end(self) -> None:
        body, self._body = self._body, b""
        if not body or body != self._right:
            self._check(body)
            self._right = body

    def _check(self, body: bytes) -> None:
        try:
            parts = json.loads(body)
        except ValueError:
            parts = None
        if parts != self._expected:
            raise WrongAnswer(f"expected the answers of {len(self._expected)} upstreams in order, got {body[:500]!r}")


class Bytes:
    """Streams of so many bytes of `BLOCK`, over and over."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._at = 0

    def piece(self, data: bytes) -> None:
        for start in range(0, len(data), len(BLOCK)):
            part = data[start : start + len(BLOCK)]
            if not _TWICE.startswith(part, self._at % len(BLOCK)):
                raise WrongAnswer(f"expected the upstream's bytes, got others within the {len(part)} from {self._at}")
            self._at += len(part)

    def end(self) -> None:
        at, self._at = self._at, 0
        if at != self._size:
            raise WrongAnswer(f"expected a stream of {self._size} bytes, got {at}")
