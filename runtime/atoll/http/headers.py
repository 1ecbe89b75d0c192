"""Field lines in the order they came: a small list that is searched, for messages rarely have more than twenty.

Invariant: a name is a token and a value holds no CR, LF or NUL, so a message head cannot be split by what a
peer or an author put into a field. What comes from a parser that has checked this already enters by `trusted`.
Source: RFC 9110, section 5.
"""

import re
from collections.abc import Iterable, Iterator

_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")


class Headers:
    """Fields of one message, names compared without case; `pairs` is the list of (name, value) itself."""

    __slots__ = ("pairs",)

    def __init__(self, pairs: Iterable[tuple[str, str]] = ()) -> None:
        self.pairs: list[tuple[str, str]] = []
        if pairs:
            for name, value in pairs:
                self.append(name, value)

    @classmethod
    def trusted(cls, pairs: list[tuple[str, str]]) -> "Headers":
        """Take over a list whose names and values a parser has checked; it is kept, not copied."""
        headers = cls.__new__(cls)
        headers.pairs = pairs
        return headers

    def append(self, name: str, value: str) -> None:
        """Add one field line; `ValueError` on a bad name or value. Outer white space of the value is dropped."""
        value = value.strip(" \t\r\n")
        if not _TOKEN.fullmatch(name):
            raise ValueError(f"{name!r} is not a valid header name (RFC 9110, section 5.6.2)")
        if not _VALUE.fullmatch(value):
            raise ValueError(
                f"the value of header {name!r} holds a character that cannot be sent (a line break, NUL or a "
                f"character beyond latin-1): {value[:80]!r}"
            )
        self.pairs.append((name, value))

    def set(self, name: str, value: str) -> None:
        """Replace all field lines of that name by one."""
        self.delete(name)
        self.append(name, value)

    def delete(self, name: str) -> None:
        """Remove all field lines of that name, if there are any."""
        lower = name.lower()
        self.pairs = [pair for pair in self.pairs if pair[0].lower() != lower]

    def get(self, name: str) -> str | None:
        """The value, or the values of a repeated field joined with ", "; None when there is none."""
        lower = name.lower()
        found: str | None = None
        for key, value in self.pairs:
            if key.lower() == lower:
                found = value if found is None else f"{found}, {value}"
        return found

    def get_all(self, name: str) -> list[str]:
        """Every value of that name, in order; the form for Set-Cookie, which cannot be joined."""
        lower = name.lower()
        return [value for key, value in self.pairs if key.lower() == lower]

    def copy(self) -> "Headers":
        """A second, independent list."""
        return Headers.trusted(self.pairs.copy())

    def __contains__(self, name: str) -> bool:
        lower = name.lower()
        return any(key.lower() == lower for key, _ in self.pairs)

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self.pairs)

    def __len__(self) -> int:
        return len(self.pairs)

    def __repr__(self) -> str:
        return f"Headers({self.pairs!r})"
