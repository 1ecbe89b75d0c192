"""Response heads that have been read before: the same bytes mean the same again.

Most answers of an upstream repeat its head byte for byte within a second: the same fields in the same order, and a
date that changes with the second. llhttp and `framing.py` judge a head once; as long as it comes again unchanged, and
with it the whole body in the same segment, its meaning is looked up by its bytes. Nothing else is parsed here, so
there is one parser and one judgement.

Invariants: only heads that were accepted, name their Content-Length and leave the connection usable are kept; what is
kept is bounded in number and size. Measured for a head of two fields: 3.2 µs to read, 0.3 µs to look up; of eleven
fields: 5.8 and 0.5 µs; a head that never comes again costs 0.6 µs more.
"""

from typing import Final, NamedTuple

from atoll.fetch.framing import Reading
from atoll.http.coding import coding_of

HEADS_MAX: Final = 512
"""Heads of each of two ages: when so many young ones are there they become the old ones, which are forgotten."""
HEAD_BYTES_MAX: Final = 2_048

_END: Final = b"\r\n\r\n"


class KnownHead(NamedTuple):
    """What a head means; `fields` are to be copied, for whoever gets them may change them."""

    size: int
    length: int
    status: int
    reason: str
    fields: list[tuple[str, str]]
    encoding: str | None
    keep_alive: str | None


class Heads:
    """The heads of one process, by their bytes."""

    __slots__ = ("_old", "_young")

    def __init__(self) -> None:
        self._young: dict[bytes, KnownHead] = {}
        self._old: dict[bytes, KnownHead] = {}

    def known(self, data: bytes, method: str) -> KnownHead | None:
        """The head of an answer to this method, when it is known and `data` is that head with its whole body."""
        size = data.find(_END) + len(_END)
        head = data[:size]
        known = self._young.get(head)
        if known is None:
            known = self._old.get(head)
            if known is None:
                return None
            self._keep(head, known)
        return known if len(data) - size == known.length and method != "HEAD" else None

    def learn(self, data: bytes, reading: Reading) -> None:
        """Keep the head of an answer that came whole in `data`, if it is one that can be known again."""
        if not (reading.complete and reading.reusable) or reading.bodyless or reading.length is None:
            return
        if "set-cookie" in reading.facts:
            return  # One person's; it will not come again, and is not to be kept.
        size = data.find(_END) + len(_END)
        # The head of an informational response in front of it would be found instead; then this does not fit.
        if len(data) - size != reading.length or size > HEAD_BYTES_MAX:
            return
        encoding, keep_alive = coding_of(reading.facts.get("content-encoding")), reading.facts.get("keep-alive")
        # A copy, for the reading's own fields are the answer's.
        fields = reading.fields.copy()
        known = KnownHead(size, reading.length, reading.status, reading.reason, fields, encoding, keep_alive)
        self._keep(data[:size], known)

    def _keep(self, head: bytes, known: KnownHead) -> None:
        if len(self._young) >= HEADS_MAX:
            self._old, self._young = self._young, {}
        self._young[head] = known

    def __len__(self) -> int:
        return len(self._young) + len(self._old)
