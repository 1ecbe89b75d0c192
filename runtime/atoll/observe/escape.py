"""Text of strangers made safe for a terminal and for JSON.

Source: ECMA-48 for the control characters that terminals obey; Unicode TR36, section 3.6 for those that turn the
direction of what follows.
"""

import re
from typing import Any

_UNSAFE = re.compile("[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def shown(text: str) -> str:
    """One line with whatever a terminal would obey, or UTF-8 cannot carry, written as an escape."""
    return _UNSAFE.sub(_escaped, text)


def sound(value: Any) -> Any:
    """The value as orjson can write it: lone surrogates escaped, what is no JSON as its repr."""
    match value:
        case str():
            return value.encode("utf-8", "backslashreplace").decode()
        case None | bool() | float():
            return value
        case int():
            return value if -(2**63) <= value < 2**64 else str(value)
        case dict():
            return {sound(str(key)): sound(item) for key, item in value.items()}
        case list() | tuple():
            return [sound(item) for item in value]
        case _:
            return sound(repr(value))


def _escaped(match: re.Match[str]) -> str:
    code = ord(match.group())
    if code == 0x0A:
        return "\\n"
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
