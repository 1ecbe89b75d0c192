"""Both forms of the log: what a line says, and that strangers' text cannot harm its reader."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from atoll.errors import HandlerFailed, ScriptError
from atoll.observe.log import Log, open_log
from atoll.outcome import Outcome
from support.invoked import PlainInvoked, no_answer

Written = tuple[int, Callable[[], str]]

FACTS = {
    "method": "GET",
    "path": "/landing/42",
    "status": 200,
    "wall_ms": 183.26612,
    "cpu_ms": 4.1234,
    "subrequests": 5,
    "subrequests_max": 50,
}
HOSTILE = "\x1b[2J\r\x9b31m\u202e\ud800\n"


def json_log(written: Written, level: str = "info") -> Log:
    return open_log("json", level=level, colour=False, dev=False, fd=written[0])


def pretty_log(written: Written, *, level: str = "info", colour: bool = False, dev: bool = True) -> Log:
    return open_log("pretty", level=level, colour=colour, dev=dev, fd=written[0])


def events(written: Written) -> list[dict[str, Any]]:
    return [json.loads(line) for line in written[1]().splitlines()]


@pytest.fixture
def invoked() -> PlainInvoked:
    return PlainInvoked(no_answer)


def raised() -> Exception:
    try:
        raise ValueError("boom")
    except ValueError as cause:
        try:
            raise HandlerFailed("the handler raised ValueError: boom") from cause
        except HandlerFailed as error:
            return error


def test_a_request_is_one_json_line_with_all_its_facts(written: Written, invoked: PlainInvoked) -> None:
    """The facts stand as keys, times rounded to microseconds, beside worker, request id and outcome."""
    json_log(written).ended(invoked, Outcome.OK, FACTS)
    (event,) = events(written)
    assert event.pop("timestamp").endswith("Z")
    assert event.pop("process_cpu_ms") >= 0
    assert event == {
        **FACTS,
        "wall_ms": 183.266,
        "cpu_ms": 4.123,
        "event": "request_finished",
        "level": "info",
        "worker": "test",
        "request_id": "test",
        "outcome": "ok",
    }


def test_a_request_is_one_line_that_a_person_reads(written: Written, invoked: PlainInvoked) -> None:
    """Method, path, status, time, CPU, subrequests and request id, in this order."""
    pretty_log(written).ended(invoked, Outcome.OK, FACTS)
    assert written[1]() == "GET /landing/42 200 183 ms cpu 4.1 ms subrequests 5/50 test\n"


def test_an_outcome_that_is_not_ok_stands_beside_the_status(written: Written, invoked: PlainInvoked) -> None:
    """503 alone does not tell an exceeded budget from load that was shed."""
    pretty_log(written).ended(invoked, Outcome.EXCEEDED_CPU, {**FACTS, "status": 503})
    assert " 503 exceededCpu " in written[1]()


@pytest.mark.parametrize(
    ("status", "outcome", "colour"),
    [
        (200, Outcome.OK, 32),
        (302, Outcome.OK, 36),
        (404, Outcome.OK, 33),
        (500, Outcome.EXCEPTION, 31),
        (200, Outcome.RESPONSE_STREAM_DISCONNECTED, 31),
        (499, Outcome.CANCELED, 33),
    ],
)
def test_the_status_is_coloured(
    written: Written, invoked: PlainInvoked, status: int, outcome: Outcome, colour: int
) -> None:
    """Green, cyan, yellow and red by the class of the status; a cut body is red whatever the status said."""
    pretty_log(written, colour=True).ended(invoked, outcome, {**FACTS, "status": status})
    assert f"\x1b[{colour}m{status}" in written[1]()


def test_a_terminal_obeys_no_stranger(written: Written, invoked: PlainInvoked) -> None:
    """Paths, author's lines, messages and facts arrive as escapes, on one line each."""
    log = pretty_log(written)
    log.ended(invoked, Outcome.OK, {**FACTS, "path": HOSTILE})
    log.printed(invoked, "stdout", "info", HOSTILE.rstrip("\n"))
    log.warned("request_refused", why=HOSTILE)
    text = written[1]()
    assert len(text.splitlines()) == 3
    assert all(char == "\n" or char.isprintable() for char in text)
    assert "\\x1b[2J\\x0d\\x9b31m\\u202e\\ud800" in text


def test_a_lone_surrogate_does_not_break_a_json_line(written: Written, invoked: PlainInvoked) -> None:
    """A path with raw bytes, which orjson refuses, is logged with an escape in its place."""
    log = json_log(written)
    log.ended(invoked, Outcome.OK, {**FACTS, "path": "/\ud800"})
    log.warned("odd", big=2**70, thing=object, deep={"a": ["\udfff"]})
    first, second = events(written)
    assert first["path"] == "/\\ud800"
    assert first["status"] == 200
    assert second["big"] == str(2**70)
    assert second["deep"] == {"a": ["\\udfff"]}


def test_authors_lines_carry_request_and_worker(written: Written, invoked: PlainInvoked) -> None:
    """A line that a handler printed can be found by its request."""
    json_log(written).printed(invoked, "stderr", "warning", "watch out")
    (event,) = events(written)
    assert event["event"] == "handler_printed"
    assert event["level"] == "warning"
    assert (event["stream"], event["text"], event["request_id"], event["worker"]) == (
        "stderr",
        "watch out",
        "test",
        "test",
    )


def test_a_record_of_several_lines_stays_marked_line_by_line(written: Written, invoked: PlainInvoked) -> None:
    """A logged traceback is not taken for lines of another request."""
    pretty_log(written).printed(invoked, "log", "error", "first\nsecond")
    assert written[1]() == "[test test] first\n[test test] second\n"


def test_a_failure_shows_authors_their_frames_in_dev(written: Written, invoked: PlainInvoked) -> None:
    """The traceback of the cause, with the source line; not the runtime's own error around it."""
    pretty_log(written).failed(invoked, raised(), "handler_failed")
    text = written[1]()
    assert text.startswith("handler_failed [test test]\n  Traceback")
    assert __file__ in text
    assert "ValueError: boom" in text
    assert "HandlerFailed" not in text


def test_a_failure_is_one_line_for_machines(written: Written, invoked: PlainInvoked) -> None:
    """The event is what failed; the traceback is a field."""
    json_log(written).failed(invoked, raised(), "handler_failed")
    (event,) = events(written)
    assert event["event"] == "handler_failed"
    assert event["level"] == "error"
    assert event["error"] == "HandlerFailed: the handler raised ValueError: boom"
    assert "ValueError: boom" in event["traceback"]


def test_a_bug_of_the_runtime_keeps_its_whole_traceback(written: Written) -> None:
    """Where no frame is the author's, all frames are shown: nobody could find the bug otherwise."""
    try:
        json.loads("{")
    except ValueError as error:
        error.__traceback__ = error.__traceback__.tb_next  # type: ignore[union-attr]  # this file is an author's
        json_log(written).failed(None, error, "request_failed")
    (event,) = events(written)
    assert "json/decoder.py" in event["traceback"]


def test_a_script_that_does_not_load_is_told_by_its_detail(written: Written) -> None:
    """The reduced traceback that the loader made is used as it is."""
    json_log(written).failed(None, ScriptError("no", file="a.py", line=3, detail="a.py:3: no"), "worker_not_loaded")
    assert events(written)[0]["traceback"] == "a.py:3: no"


def test_a_huge_traceback_is_cut_in_its_middle(written: Written) -> None:
    """One failing request cannot flood the log."""
    json_log(written).failed(None, ValueError("x" * 1_000_000), "handler_failed")
    assert len(events(written)[0]["traceback"]) < 20_000


@pytest.mark.parametrize("form", ["json", "pretty"])
def test_the_level_filters(written: Written, invoked: PlainInvoked, form: Any) -> None:
    """At `warning` neither requests nor printed lines are told, warnings and failures are."""
    log = open_log(form, level="warning", colour=False, dev=False, fd=written[0])
    log.ended(invoked, Outcome.OK, FACTS)
    log.printed(invoked, "stdout", "info", "hello")
    log.told("gateway_ready")
    assert written[1]() == ""
    log.warned("odd")
    log.failed(None, ValueError("x"), "handler_failed")
    assert "odd" in written[1]()
    assert "handler_failed" in written[1]()


def test_off_is_off(written: Written, invoked: PlainInvoked) -> None:
    """The log that is switched off takes every event and writes none."""
    log = open_log("off", level="info", colour=False, dev=False, fd=written[0])
    log.told("gateway_ready")
    log.failed(None, ValueError("x"), "handler_failed")
    assert written[1]() == ""
