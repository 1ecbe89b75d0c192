"""Bytes to text and JSON: equal to the json module and the fetch standard in every case."""

import json
import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from atoll.workers import text

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)
DIGITS = st.text(alphabet="0123456789", min_size=1, max_size=45)
JSON_LIKE = st.text(alphabet='0123456789-+.eE,:[]{}" \\u\ud800\ufeffabtrfnl/', max_size=60)


def outcome(parse: object, raw: bytes) -> object:
    """What parsing gives, told apart as equality does not: 1 from 1.0 and True, -0.0 from 0.0, NaN from itself."""
    try:
        return repr(parse(raw))  # type: ignore[operator]
    except (ValueError, RecursionError) as error:
        return type(error), str(error)


def by_json_module(raw: bytes) -> object:
    return json.loads(text.decode(raw))


@given(JSON_VALUES)
def test_parsing_equals_the_json_module_for_every_value(value: object) -> None:
    """Whatever json.dumps writes is parsed to what json.loads gives, NaN, lone surrogates and big integers included."""
    for raw in (json.dumps(value).encode(), json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass")):
        assert outcome(text.parse_json, raw) == outcome(by_json_module, raw)


@given(DIGITS, st.integers(0, 12), st.sampled_from(["%s", "-%s", "[%s]", '{"a":[1,-%s]}', "%s.5", "0.%s", "1%se2"]))
@example("9223372036854775809", 0, "-%s")
@example("18446744073709551616", 0, "%s")
def test_integers_of_every_length_stay_integers(digits: str, spaces: int, form: str) -> None:
    """No integer becomes a float, at whatever place of the text it stands."""
    raw = (" " * spaces + form % digits).encode()
    assert outcome(text.parse_json, raw) == outcome(by_json_module, raw)


@given(JSON_LIKE)
@example("")
@example("\ufeff[1]")
@example('{"a":1,"b":2,"a":3}')
@example('"\\ud800"')
@example("[NaN, Infinity, -Infinity, 1e400, -0, -0.0]")
@example("[" * 2000 + "]" * 2000)
@example('["\x01"]')
@example("1" * 5000)
def test_parsing_text_that_may_be_no_json_equals_the_json_module(source: str) -> None:
    """Errors are the json module's own, text and all."""
    raw = source.encode("utf-8", "surrogatepass")
    assert outcome(text.parse_json, raw) == outcome(by_json_module, raw)


def test_text_is_utf_8_without_mark_and_never_fails() -> None:
    """A byte order mark goes, faulty bytes become U+FFFD."""
    assert text.decode(b"\xef\xbb\xbfh\xc3\xa9") == "hé"
    assert text.decode(b"a\xffb\xe2\x82") == "a�b�"


def test_surrogates_are_encoded_as_javascript_does() -> None:
    """A pair is one character; a lone one becomes U+FFFD."""
    assert text.encode("\ud83d\ude00") == "😀".encode()
    assert text.encode("a\ud800b") == "a�b".encode()


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("x", "x"),
        (True, "true"),
        (False, "false"),
        (None, "null"),
        (123, "123"),
        (1.0, "1"),
        (1.5, "1.5"),
        (math.inf, "Infinity"),
        (-math.inf, "-Infinity"),
        (math.nan, "NaN"),
        (["a", 1], "a,1"),
        (b"raw", "raw"),
    ],
)
def test_header_values_read_as_javascript_writes_them(value: object, expected: str) -> None:
    """True is `true`, 1.0 is `1`."""
    assert text.of_header(value) == expected
