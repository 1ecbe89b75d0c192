"""Judge plain tables against the schema: what is kept, what is wrong, what is odd.

All faults of a file are gathered before it is refused, so that its author mends them in one go. Ranges and
choices in the texts come out of the types.
"""

import difflib
import os
from pathlib import Path
from typing import Any, get_args, get_origin

import msgspec

from atoll.config.schema import Table
from atoll.errors import ConfigError

VALUE_CHARS_MAX = 80


class Report:
    """What was found in one file so far."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.errors: list[str] = []
        self.warnings: list[str] = []

    def error(self, path: str, text: str) -> None:
        """Note what stops the start."""
        self.errors.append(f"{self.file}: {path}: {text}")

    def wrong(self, path: str, value: object, expected: str) -> None:
        """Note a value that is not what the key takes."""
        self.error(path, f"read {show(value)}, expected {expected}")

    def warn(self, path: str, text: str) -> None:
        """Note what is odd but stops nothing."""
        self.warnings.append(f"{self.file}: {path}: {text}")

    def close(self) -> None:
        """Raise everything that was wrong as one `ConfigError`; what was odd, such as a misspelt key, may be why."""
        if self.errors:
            raise ConfigError("\n".join(self.errors + [f"warning: {warning}" for warning in self.warnings]))


def join(path: str, key: str) -> str:
    """The path of a key inside the table at `path`, which is "" for the top level."""
    return f"{path}.{key}" if path else key


def check_table(value: object, table: Table, path: str, report: Report) -> dict[str, Any]:
    """The known keys of a table with their values converted; whatever else it has is reported."""
    if not isinstance(value, dict):
        report.wrong(path, value, "a table")
        return {}
    kept: dict[str, Any] = {}
    for key, item in value.items():
        where = join(path, key)
        if key in table.keys:
            faults = len(report.errors)
            found = check_value(item, table.keys[key], where, report)
            if len(report.errors) == faults:
                kept[key] = found
        elif key in table.later:
            report.warn(where, "not supported yet, ignored")
        elif key in table.misplaced:
            report.warn(where, "this key belongs at the top level of the file; here it is ignored")
        elif key not in table.harmless:
            report.warn(where, f"unknown key, ignored{_nearest(key, table)}")
    return kept


def check_value(value: object, kind: Any, path: str, report: Report) -> Any:
    """One value converted to its type; None, and a line in the report, when it is not of that type."""
    if isinstance(kind, Table):
        return check_table(value, kind, path, report)
    if get_origin(kind) is list and isinstance(value, list):
        return tuple(check_value(item, get_args(kind)[0], f"{path}[{i}]", report) for i, item in enumerate(value))
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError:
        report.wrong(path, value, expectation(kind))
        return None


def check_file(text: str, path: str, report: Report) -> Path:
    """The absolute path of a file that is named relative to the configuration's folder; it must exist."""
    file = absolute(report.file.parent, text)
    if not file.is_file():
        report.wrong(path, text, f"a file that exists: there is no {file}")
    return file


def absolute(folder: Path, path: Path | str) -> Path:
    """`path` as seen from `folder`, with symbolic links left alone.

    A mounted configuration is often a link into a folder with a generated name, which no author knows.
    """
    return Path(os.path.abspath(folder / path))  # noqa: PTH100


def expectation(kind: Any) -> str:
    """What a type takes, in words; ranges and choices are the type's own."""
    info = msgspec.inspect.type_info(kind)
    if isinstance(info, msgspec.inspect.Metadata):
        return str((info.extra_json_schema or {}).get("description", "")) or expectation(info.type)
    if isinstance(info, msgspec.inspect.UnionType):
        info = next(choice for choice in info.types if not isinstance(choice, msgspec.inspect.NoneType))
    match info:
        case msgspec.inspect.IntType(ge=low, le=high) if low is not None and high is not None:
            return f"an integer from {low:,} to {high:,}"
        case msgspec.inspect.LiteralType(values=values):
            return " or ".join(show(value) for value in values)
        case msgspec.inspect.BoolType():
            return "true or false"
        case msgspec.inspect.StrType():
            return "a text in quotes"
        case msgspec.inspect.ListType(item_type=msgspec.inspect.DictType()):
            return "a list of tables, which in TOML have two brackets: [[...]]"
        case msgspec.inspect.ListType():
            return "a list"
        case _:
            return "a table"


def show(value: object) -> str:
    """A value as it may be written in the file, cut where it is long."""
    try:
        text = msgspec.json.encode(value).decode()
    except (TypeError, ValueError):
        text = str(value)
    return text if len(text) <= VALUE_CHARS_MAX else text[:VALUE_CHARS_MAX] + "..."


def _nearest(key: str, table: Table) -> str:
    near = difflib.get_close_matches(key, table.known, n=1)
    return f"; did you mean {near[0]}?" if near else ""
