"""Header fields in an author's hands: an `http.client.HTTPMessage` that can be written to.

Reading is the HTTPMessage's: names without case, `get`, `get_all`, `items`, None for what is not there. Where a
field is repeated, `get` and `[]` give the values joined with ", " (Set-Cookie, which cannot be joined: the first).
Atoll: writing. `headers[name] = value` and `set` replace, `append` and `add_header` add a line of the same name;
the JavaScript names `has`, `delete` and `getSetCookie` work too. What is written counts when the message is sent.

Names and values are checked by `atoll.http.headers` at each write and once more before sending, for the
HTTPMessage has more ways in than this file can close.
"""

from collections.abc import Iterable, Mapping
from email.message import Message
from http.client import HTTPMessage
from typing import Any

from atoll.http import headers as http
from atoll.workers.sealed import Sealed, sealed
from atoll.workers.text import of_header

Pair = tuple[str, str]


@sealed
class Headers(HTTPMessage, metaclass=Sealed):
    """`Headers(None | dict | list of pairs | Headers)`."""

    __module__ = "workers"

    _headers: list[Pair]

    def __init__(self, init: object = None) -> None:
        super().__init__()
        if init is not None:
            self._headers = http.Headers(pairs_of(init)).pairs

    @classmethod
    def _over(cls, pairs: list[Pair]) -> "Headers":
        """Take over pairs that have been checked."""
        headers = cls()
        headers._headers = pairs
        return headers

    def get(self, name: str, failobj: Any = None) -> Any:
        """The value of a field, repeats joined; `failobj` when there is none."""
        lower = name.lower()
        found = [value for key, value in self._headers if key.lower() == lower]
        if not found:
            return failobj
        return found[0] if len(found) == 1 or lower == "set-cookie" else ", ".join(found)

    def __getitem__(self, name: str) -> Any:
        return self.get(name)

    def append(self, name: str, value: object) -> None:
        """Add a field line, beside those of the same name."""
        self._headers += http.Headers([(name, of_header(value))]).pairs

    def set(self, name: str, value: object) -> None:
        """Replace all field lines of that name by one."""
        line = http.Headers([(name, of_header(value))]).pairs
        del self[name]
        self._headers += line

    def __setitem__(self, name: str, value: object) -> None:
        self.set(name, value)

    def add_header(self, _name: str, _value: str, **_params: Any) -> None:
        """Add a field line with parameters, as `email.message.Message.add_header` writes them."""
        scratch = HTTPMessage()
        scratch.add_header(_name, _value, **_params)
        self.append(_name, scratch[_name])

    def has(self, name: str) -> bool:
        """Whether there is a field of that name."""
        return name in self

    def delete(self, name: str) -> None:
        """Remove all field lines of that name, if there are any."""
        del self[name]

    def getSetCookie(self) -> list[str]:
        """Every Set-Cookie value, in order."""
        return self.get_all("set-cookie", [])

    def __repr__(self) -> str:
        return f"Headers({self._headers!r})"


def pairs_of(init: object) -> list[Pair]:
    """Names and values of what an author gave as headers, as text and not checked yet; TypeError for other types."""
    if isinstance(init, Message | Mapping):
        return [(of_header(name), of_header(value)) for name, value in init.items()]
    if isinstance(init, Iterable) and not isinstance(init, str | bytes):
        return [_pair(item) for item in init]
    raise TypeError(f"headers must be a dict, a list of (name, value) pairs or Headers, not {type(init).__name__}")


def _pair(item: object) -> Pair:
    if isinstance(item, list | tuple) and len(item) == 2:
        return of_header(item[0]), of_header(item[1])
    raise TypeError(f"headers given as a list must hold (name, value) pairs, not {item!r:.80}")


def joined(pairs: list[Pair]) -> list[Pair]:
    """Repeated fields joined with ", ", but for Set-Cookie (RFC 9110, section 5.3); a new list."""
    places: dict[str, int] = {}
    lines: list[Pair] = []
    for name, value in pairs:
        lower = name.lower()
        place = places.setdefault(lower, len(lines))
        if place == len(lines) or lower == "set-cookie":
            lines.append((name, value))
        else:
            lines[place] = (lines[place][0], f"{lines[place][1]}, {value}")
    return lines
