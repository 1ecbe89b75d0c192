"""Text into plain tables: TOML, JSON with comments, and dotenv.

Rules of this file: syntax only, every fault as file:line:column; what the tables mean is said elsewhere. Values
of dotenv files are secrets and are never part of an error's text.
"""

import io
import json
import re
import tomllib
from pathlib import Path
from typing import Any, Final

import pyjson5
from dotenv.parser import parse_stream

from atoll.errors import ConfigError

_TOML_PLACE: Final = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)\Z")
_JSON_PLACE: Final = re.compile(r" near (\d+)")
_JSON_CODE: Final = re.compile(r"U\+([0-9a-fA-F]{4,6})")


def read_text(file: Path) -> str:
    """Read a UTF-8 file, with or without a byte order mark."""
    try:
        return file.read_bytes().decode("utf-8-sig")
    except IsADirectoryError:
        raise ConfigError(f"{file}: this is a folder; name the configuration file in it") from None
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{file}: byte {error.start} is not UTF-8; save the file as UTF-8") from None


def read_table(file: Path) -> dict[str, Any]:
    """Read one configuration file; its suffix tells its language."""
    if file.suffix == ".toml":
        return _read_toml(file)
    if file.suffix in (".json", ".jsonc"):
        return _read_jsonc(file)
    raise ConfigError(f"{file}: read the suffix {file.suffix!r}, expected .toml, .jsonc or .json")


def read_dotenv(file: Path) -> dict[str, str]:
    """Read NAME=value lines: comments, `export` and quotes as in dotenv; references to other names stay as they are."""
    found: dict[str, str] = {}
    for binding in parse_stream(io.StringIO(read_text(file))):
        if binding.error or (binding.key is not None and binding.value is None):
            text = binding.original.string
            line = binding.original.line + text[: len(text) - len(text.lstrip())].count("\n")
            raise ConfigError(f"{file}:{line}:1: this is no NAME=value line; put values with spaces or # in quotes")
        if binding.key is not None and binding.value is not None:
            found[binding.key] = binding.value
    return found


def read_secrets(file: Path) -> dict[str, str]:
    """Read a secrets file: one JSON object of texts, or dotenv."""
    if not read_text(file).lstrip().startswith("{"):
        return read_dotenv(file)
    found = _read_jsonc(file)
    for name, value in found.items():
        if not isinstance(value, str):
            raise ConfigError(f"{file}: {name}: read a value of type {type(value).__name__}, expected a text in quotes")
    return found


def _read_toml(file: Path) -> dict[str, Any]:
    text = read_text(file)
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        # Before Python 3.14 the place is only in the text of the error.
        message = str(error)
        place = _TOML_PLACE.search(message)
        where = f"{place[1]}:{place[2]}" if place and place[1] else _line_column(text, len(text))
        raise ConfigError(f"{file}:{where}: this is not valid TOML: {_TOML_PLACE.sub('', message)}") from None


def _read_jsonc(file: Path) -> dict[str, Any]:
    text = read_text(file)
    try:
        found = pyjson5.decode(text)
    except pyjson5.Json5DecoderException as error:
        message = str(error.args[0])
        place = _JSON_PLACE.search(message)
        # The parser counts the characters it has taken, the faulty one among them unless the document had ended.
        counted = int(not isinstance(error, pyjson5.Json5ExtraData))
        where = _line_column(text, max(int(place[1]) - counted, 0) if place else 0)
        raise ConfigError(f"{file}:{where}: this is not valid JSON with comments: {_plain(message)}") from None
    if not isinstance(found, dict):
        raise ConfigError(f"{file}:1:1: read a JSON {type(found).__name__}, expected an object: {{ ... }}")
    return found


def _plain(message: str) -> str:
    """The JSON parser's message in words: no byte literals, characters instead of their code points."""
    message = _JSON_PLACE.sub("", message).replace("b'", "").replace("'", "").removesuffix(" starting")
    return _JSON_CODE.sub(lambda code: json.dumps(chr(int(code[1], 16)), ensure_ascii=False), message)


def _line_column(text: str, offset: int) -> str:
    before = text[:offset]
    return f"{before.count(chr(10)) + 1}:{offset - (before.rfind(chr(10)) + 1) + 1}"
