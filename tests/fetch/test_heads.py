"""A head that was read before means what it meant: looked up or read anew, an answer is the same."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atoll.errors import BadAnswer
from atoll.fetch.framing import Reading
from atoll.fetch.heads import HEAD_BYTES_MAX, HEADS_MAX, Heads
from support.shapes import odd, sound
from support.subrequests import bytes_of, subrequests
from support.upstream import ScriptedUpstream, answer, chunked_answer

SHAPES = [shape.raw for shape in (*sound(), *odd()) if shape.method == "GET" and len(shape.raw) < 4_000]


def read(raw: bytes, method: str = "GET") -> Reading | None:
    """A reading of its own of these bytes; None when they are refused."""
    reading = Reading("upstream", method)
    try:
        reading.feed(raw)
    except BadAnswer:
        return None
    return reading


def learned(*raws: bytes) -> Heads:
    heads = Heads()
    for raw in raws:
        if (reading := read(raw)) is not None:
            heads.learn(raw, reading)
    return heads


@st.composite
def relatives(draw: st.DrawFn) -> bytes:
    """A response, or one with its end cut, something more behind it, or another body under the same head."""
    raw = draw(st.sampled_from(SHAPES))
    end = raw.find(b"\r\n\r\n") + 4
    return draw(
        st.one_of(
            st.just(raw),
            st.integers(0, len(raw)).map(lambda at: raw[:at]),
            st.binary(min_size=1, max_size=8).map(lambda more: raw + more),
            st.binary(max_size=len(raw) - end + 2).map(lambda body: raw[:end] + body),
            st.sampled_from(SHAPES).map(lambda other: raw + other),
            st.sampled_from(SHAPES).map(lambda other: raw[:end] + other),
        )
    )


ALL_LEARNED = learned(*SHAPES)


@settings(max_examples=1_000, deadline=None, print_blob=True)
@given(relatives())
def test_known_means_what_a_reading_says(raw: bytes) -> None:
    """Whatever follows a known head: it is looked up only where a reading of its own comes to the very same answer."""
    known = ALL_LEARNED.known(raw, "GET")
    if known is None:
        return
    reading = read(raw)
    assert reading is not None
    assert (reading.complete, reading.reusable, reading.bodyless) == (True, True, False)
    assert raw[known.size :] == b"".join(reading.chunks)
    assert (known.status, known.reason, known.fields) == (reading.status, reading.reason, reading.fields)
    assert (known.length, known.keep_alive) == (reading.length, reading.facts.get("keep-alive"))


def test_most_sound_shapes_with_a_length_are_known() -> None:
    """The test above tests something."""
    assert sum(ALL_LEARNED.known(raw, "GET") is not None for raw in SHAPES) > 30


@pytest.mark.parametrize(
    "raw",
    [
        chunked_answer(b"hello"),
        b"HTTP/1.1 204 No Content\r\n\r\n",
        b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\nuntil the end",
        b"HTTP/1.1 100 Continue\r\n\r\n" + answer(b"hello"),
        answer(b"hello", headers=[("Connection", "close")]),
        answer(b"hello", headers=[("Set-Cookie", "session=secret")]),
        answer(b"hello") + b"x",
        answer(b"hello", length=9),
        b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        answer(b"hello", headers=[("X-Long", "x" * HEAD_BYTES_MAX)]),
    ],
)
def test_heads_that_are_not_kept(raw: bytes) -> None:
    """No length, no body, something before or behind, to be closed, one person's, or too long: read each time."""
    assert len(learned(raw)) == 0


def test_an_answer_to_head_is_never_looked_up() -> None:
    """The same head says of another request's body nothing."""
    raw = answer(b"")
    heads = learned(raw)
    assert heads.known(raw, "GET") is not None
    assert heads.known(raw, "HEAD") is None


def test_heads_are_bounded() -> None:
    """However many heads come, two ages of them are kept; one that keeps coming is not forgotten."""
    heads = learned(answer(b"x", headers=[("ETag", "steady")]))
    for number in range(4 * HEADS_MAX):
        raw = answer(b"x", headers=[("ETag", f"{number}")])
        reading = read(raw)
        assert reading is not None
        heads.learn(raw, reading)
        assert len(heads) <= 2 * HEADS_MAX
        assert heads.known(answer(b"y", headers=[("ETag", "steady")]), "GET") is not None
    assert heads.known(answer(b"x", headers=[("ETag", "0")]), "GET") is None


async def test_answers_under_one_head_share_nothing() -> None:
    """What is done to the fields of one answer is not seen in the next; bodies are each their own."""
    raws = [answer(body, headers=[("X-Name", "value"), ("Keep-Alive", "timeout=9")]) for body in (b"one", b"two")]
    async with ScriptedUpstream([raws[0], raws[1], raws[0]]) as upstream, subrequests() as engine:
        found = []
        for _ in range(3):
            response = await engine.get(upstream.url())
            assert response.headers.get("x-name") == "value"
            response.headers.set("X-Name", "changed")
            found.append(await bytes_of(response))
        assert found == [b"one", b"two", b"one"]
        assert upstream.connections_ever == 1
