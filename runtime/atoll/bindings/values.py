"""JSON objects and arrays as authors get them from a binding: a dict with attribute access, and a list.

`r.results[0]`, `r["keys"]` and `.to_py()` all work, as on Cloudflare, where they are JavaScript's objects.
"""

from typing import Any


class Object(dict[str, Any]):
    """A dict whose items are attributes too; where a name is a method of dict as well (`keys`), use `[]`."""

    __slots__ = ()

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"there is no {name!r} here, but {', '.join(self) or 'nothing'}") from None

    def __setattr__(self, name: str, value: Any) -> None:
        self[name] = value

    def to_py(self) -> dict[str, Any]:
        """A copy made of plain dicts and lists."""
        return {name: _plain(value) for name, value in self.items()}


class Array(list[Any]):
    """A list that can be asked for a plain copy."""

    __slots__ = ()

    def to_py(self) -> list[Any]:
        """A copy made of plain dicts and lists."""
        return [_plain(value) for value in self]


def copied(value: Any) -> Any:
    """A deep copy of a JSON value with the classes of this file; what cannot be changed is not copied."""
    if isinstance(value, dict):
        return Object((name, copied(item)) for name, item in value.items())
    if isinstance(value, list | tuple):
        return Array(copied(item) for item in value)
    return value


def _plain(value: Any) -> Any:
    return value.to_py() if isinstance(value, Object | Array) else value
