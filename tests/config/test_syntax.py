"""Syntax: TOML, JSON with comments and dotenv, and where a fault is."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from atoll.config.syntax import read_dotenv, read_table
from atoll.errors import ConfigError


@pytest.mark.parametrize(
    ("name", "text", "fault"),
    [
        ("a.toml", 'name = "x"\nmain = oops\n', ":2:8: this is not valid TOML: Invalid value"),
        ("a.toml", 'name = "x"\nname = "y"\n', ":2:11: this is not valid TOML: Cannot overwrite a value"),
        ("a.toml", "name = ", ":1:8: this is not valid TOML: "),
        ("a.toml", "a = 1\nb = [1,", ":2:8: this is not valid TOML: "),
        ("a.jsonc", '{\n  "a": 1\n  "b": 2\n}', ':3:3: this is not valid JSON with comments: Expected comma or "}"'),
        ("a.jsonc", '{\n  "a": }', ":2:8: this is not valid JSON with comments: Expected JSON5Value"),
        ("a.json", "{} x", ":1:3: this is not valid JSON with comments: Extra data"),
        ("a.json", "", ":1:1: this is not valid JSON with comments: No JSON data found"),
        ("a.json", '{"a": 1 /* open', ":1:10: this is not valid JSON with comments: Unclosed comment"),
        ("a.json", "[1]", ":1:1: read a JSON list, expected an object"),
        (".dev.vars", "A=1\n\nno line\n", ":3:1: this is no NAME=value line"),
        (".dev.vars", "A=1\nB='open\n", ":2:1: this is no NAME=value line"),
    ],
)
def test_faults(tmp_path: Path, name: str, text: str, fault: str) -> None:
    """A fault of syntax is told as file:line:column."""
    file = tmp_path / name
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        read_dotenv(file) if name == ".dev.vars" else read_table(file)
    assert str(caught.value).startswith(f"{file}{fault}")


def test_not_utf8(tmp_path: Path) -> None:
    """A file that is not UTF-8 is refused with the place of the byte."""
    file = tmp_path / "a.toml"
    file.write_bytes(b'a = "\xe4"')
    with pytest.raises(ConfigError, match="byte 5 is not UTF-8"):
        read_table(file)


def test_byte_order_mark(tmp_path: Path) -> None:
    """A byte order mark, as some editors write it, is no part of the text."""
    for name, text in (("a.toml", "a = 1"), ("a.json", '{"a": 1}')):
        (tmp_path / name).write_text(f"\ufeff{text}", encoding="utf-8")
        assert read_table(tmp_path / name) == {"a": 1}


def test_jsonc(tmp_path: Path) -> None:
    """Comments of both kinds and trailing commas are taken, and what looks like them inside a text is text."""
    file = tmp_path / "wrangler.jsonc"
    file.write_text('// head\n{"a": "http://x/*y*/ // \\"z,]", /* in */ "b": [1, 2,], // end\n "c": {"d": null,},}\n')
    assert read_table(file) == {"a": 'http://x/*y*/ // "z,]', "b": [1, 2], "c": {"d": None}}


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from('/*,"\\')),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner),
    max_leaves=12,
)
GAPS = st.sampled_from(["", " ", "\n", "// x, ] }\n", '/* "a": [ */', "/***/"])


def decorated(value: Any, gap: Callable[[st.SearchStrategy[Any]], Any]) -> str:
    """`value` as JSON with something drawn at every place where a comment or a trailing comma may stand."""
    if isinstance(value, dict):
        items = [f"{gap(GAPS)}{json.dumps(key)}{gap(GAPS)}:{decorated(item, gap)}" for key, item in value.items()]
        return f"{gap(GAPS)}{{{','.join(items)}{',' if items and gap(st.booleans()) else ''}{gap(GAPS)}}}"
    if isinstance(value, list):
        items = [decorated(item, gap) for item in value]
        return f"{gap(GAPS)}[{','.join(items)}{',' if items and gap(st.booleans()) else ''}{gap(GAPS)}]"
    return f"{gap(GAPS)}{json.dumps(value, ensure_ascii=gap(st.booleans()))}{gap(GAPS)}"


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), value=st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), VALUES, max_size=4))
def test_jsonc_is_json(tmp_path: Path, data: st.DataObject, value: dict[str, Any]) -> None:
    """Comments and trailing commas anywhere change no value."""
    file = tmp_path / "a.jsonc"
    file.write_bytes(decorated(value, data.draw).encode())
    assert read_table(file) == value


def test_dotenv(tmp_path: Path) -> None:
    """Comments, `export`, quotes and empty values are read as dotenv has them, and nothing is expanded."""
    file = tmp_path / ".dev.vars"
    file.write_text(
        "# head\nA=1\nexport B = two words # end\nC='#x $A'\nD=\"l1\\nl2\"\nE=\nF=${A}\nG=a=b\nH='two\nlines'\n"
    )
    assert read_dotenv(file) == {
        "A": "1", "B": "two words", "C": "#x $A", "D": "l1\nl2", "E": "", "F": "${A}", "G": "a=b", "H": "two\nlines",
    }  # fmt: skip
