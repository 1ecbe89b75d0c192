"""What an invocation opened is closed when it ends, however it ends; its outcome is decided once."""

import asyncio
import re
import time
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from support.gateway import Running, opened
from support.scripts import bytes_then_silence
from support.upstream import ScriptedUpstream


async def outcome_of(running: Running, count: int = 1) -> dict[str, Any]:
    await running.seen.until(lambda seen: len(seen.ended_facts) >= count)
    return running.seen.ended_facts[-1]


def source(body: str) -> dict[str, str]:
    lines = "\n".join("        " + line for line in body.strip().splitlines())
    return {
        "entry.py": f"""\
    import asyncio, sys, time
    from workers import Response, fetch, wait_until

    LOG = []

    async def forever():
        try:
            await asyncio.sleep(3600)
        finally:
            print("cleaned up")

    async def on_fetch(request, env, ctx):
{lines}
"""
    }


@pytest.mark.parametrize(
    ("body", "status", "outcome", "says"),
    [
        ("return Response('x')", 200, "ok", "x"),
        ("raise ValueError('broken <b>')", 500, "exception", "1101"),
        ("return 5", 500, "exception", "1101"),
        ("sys.exit(3)", 500, "exception", "1101"),
        ("raise KeyboardInterrupt", 500, "exception", "1101"),
        ("asyncio.current_task().cancel()\nawait asyncio.sleep(1)", 500, "exception", "1101"),
        ("raise asyncio.CancelledError", 500, "exception", "1101"),
        ("async with asyncio.TaskGroup() as g:\n    g.create_task(asyncio.sleep('x'))", 500, "exception", "1101"),
    ],
)
async def test_what_a_handler_does_becomes_an_outcome(
    tmp_path: Path, body: str, status: int, outcome: str, says: str
) -> None:
    """A result, an exception and an attempt to end the process each have their status, code and outcome."""
    async with opened(tmp_path, source(body)) as running:
        async with running.client.get(running.url) as response:
            assert response.status == status
            text = await response.text()
            assert says in text
            assert "Traceback" not in text
            assert "broken" not in text
        assert (await outcome_of(running))["outcome"] == outcome
        assert running.gateway.in_flight == 0
        # The process serves on.
        assert await running.status() == status


async def test_the_traceback_is_shown_in_dev_only_with_the_authors_lines(tmp_path: Path) -> None:
    """In dev the author's line is in the answer, the runtime's frames are not."""
    async with (
        opened(tmp_path, source("raise ValueError('broken')"), dev=True) as running,
        running.client.get(running.url, headers={"Accept": "text/html"}) as response,
    ):
        text = await response.text()
        assert "raise ValueError(&#x27;broken&#x27;)" in text
        assert "invocation.py" not in text
        assert response.headers["Content-Type"] == "text/html;charset=UTF-8"
        assert response.headers["Atoll-Request-Id"] in text


async def test_no_answer_in_time(tmp_path: Path) -> None:
    """Past `wall_ms` the answer is 504 at once, even when the handler swallows its cancellation."""
    body = """
while True:
    try:
        await asyncio.sleep(3600)
    except asyncio.CancelledError:
        print("swallowed")
"""
    async with opened(tmp_path, source(body), "[limits]\nwall_ms = 100") as running:
        started = time.monotonic()
        assert await running.status() == 504
        assert time.monotonic() - started < 1
        facts = await outcome_of(running)
        assert facts["outcome"] == "exceededWallTime"
        assert running.gateway.in_flight == 0


async def test_tasks_that_were_not_handed_over_are_cancelled(tmp_path: Path) -> None:
    """A task that was started and left is cancelled after the response, and its clean-up runs."""
    body = "LOG.append(asyncio.create_task(forever()))\nawait asyncio.sleep(0)\nreturn Response('x')"
    async with opened(tmp_path, source(body)) as running:
        assert await running.text() == "x"
        assert (await outcome_of(running))["outcome"] == "ok"
        assert running.gateway.in_flight == 0


async def test_wait_until_goes_on_after_the_response_and_delays_nobody(tmp_path: Path) -> None:
    """The next request on the same connection is answered while the first one's wait_until still runs."""
    body = """
async def later():
    await asyncio.sleep(0.4)
if "slow" in request.url:
    ctx.waitUntil(later())
return Response('x')
"""
    async with opened(tmp_path, source(body)) as running:
        started = time.monotonic()
        await running.text("/slow")
        await running.text("/quick")
        assert time.monotonic() - started < 0.3
        assert running.gateway.in_flight == 1
        await running.seen.until(lambda seen: len(seen.ended_facts) == 2)
        slow = next(facts for facts in running.seen.ended_facts if facts["path"] == "/slow")
        assert slow["wall_ms"] < 300


async def test_wait_until_has_an_end(tmp_path: Path) -> None:
    """Past `wait_until_s` what still runs is cancelled, with a warning."""
    async with opened(
        tmp_path, source("wait_until(forever())\nreturn Response('x')"), "[limits]\nwait_until_s = 1"
    ) as running:
        await running.text()
        facts = await outcome_of(running)
        assert facts["outcome"] == "ok"
        assert [event for event, _ in running.seen.warnings] == ["wait_until_cancelled"]


async def test_a_failed_wait_until_is_reported(tmp_path: Path) -> None:
    """An exception in a wait_until task reaches the observer; the response was sent all the same."""
    body = "async def bad():\n    raise ValueError('later')\nctx.wait_until(bad())\nreturn Response('x')"
    async with opened(tmp_path, source(body)) as running:
        assert await running.text() == "x"
        await outcome_of(running)
        assert [where for where, _ in running.seen.failures] == ["wait_until_failed"]


async def test_a_streamed_body_runs_in_the_invocation(tmp_path: Path) -> None:
    """Chunks come as they are made, under the invocation, and the generator is closed within it."""
    body = """
async def parts():
    for n in range(3):
        await asyncio.sleep(0.02)
        yield f"part {n} "
return Response(parts())
"""
    async with opened(tmp_path, source(body)) as running:
        assert await running.text() == "part 0 part 1 part 2 "
        assert (await outcome_of(running))["outcome"] == "ok"


async def test_a_body_that_fails_is_cut(tmp_path: Path) -> None:
    """After the first byte an error cannot change the status: the client sees a body that broke off."""
    body = """
async def parts():
    yield "begin"
    await asyncio.sleep(0.01)
    raise ValueError("half way")
return Response(parts())
"""
    async with opened(tmp_path, source(body)) as running:
        async with running.client.get(running.url) as response:
            assert response.status == 200
            with pytest.raises(aiohttp.ClientPayloadError):
                await response.read()
        assert (await outcome_of(running))["outcome"] == "exception"
        assert [where for where, _ in running.seen.failures] == ["handler_body_failed"]


@pytest.mark.parametrize("where", ["handler", "body"])
async def test_a_client_that_leaves_cancels_the_invocation(tmp_path: Path, where: str) -> None:
    """Before the first byte or in the middle of the body: the handler is cancelled within a second."""
    body = """
if "handler" in request.url:
    await forever()
async def parts():
    yield "begin"
    await forever()
return Response(parts())
"""
    async with opened(tmp_path, source(body)) as running:
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
        writer.write(f"GET /{where} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        if where == "body":
            await reader.readuntil(b"begin")
        while not running.gateway.in_flight:
            await asyncio.sleep(0.001)
        started = time.monotonic()
        writer.close()
        facts = await outcome_of(running)
        assert facts["outcome"] == "canceled"
        assert time.monotonic() - started < 1
        assert running.gateway.in_flight == 0


async def test_silence_in_a_body_cuts_it(tmp_path: Path) -> None:
    """A generator that yields nothing for `body_idle_ms` is cut; the outcome is exceededWallTime."""
    body = "async def parts():\n    yield 'begin'\n    await forever()\nreturn Response(parts())"
    async with opened(tmp_path, source(body), "[limits]\nbody_idle_ms = 100") as running:
        async with running.client.get(running.url) as response:
            with pytest.raises(aiohttp.ClientError):
                await response.read()
        assert (await outcome_of(running))["outcome"] == "exceededWallTime"


async def test_in_flight_is_bounded(tmp_path: Path) -> None:
    """Past `gateway.in_flight` load is shed with 503 and Retry-After, and taken again afterwards."""
    async with opened(
        tmp_path, source("await asyncio.sleep(0.2)\nreturn Response('x')"), "[gateway]\nin_flight = 2"
    ) as running:
        first = [asyncio.ensure_future(running.status()) for _ in range(2)]
        while running.gateway.in_flight < 2:
            await asyncio.sleep(0.001)
        async with running.client.get(running.url) as response:
            assert response.status == 503
            assert response.headers["Retry-After"] == "1"
        assert [facts["outcome"] for facts in running.seen.ended_facts] == ["loadShed"]
        assert await asyncio.gather(*first) == [200, 200]
        assert await running.status() == 200


async def test_a_top_level_fetch_raises(tmp_path: Path) -> None:
    """Nothing can be fetched while a module is loaded; the error names the line."""
    text = """
        import asyncio
        from workers import fetch, Response
        try:
            fetch("http://127.0.0.1/").send(None)
        except RuntimeError as error:
            SAID = str(error)
        async def on_fetch(request, env, ctx):
            return Response(SAID)
        """
    async with opened(tmp_path, {"entry.py": text}) as running:
        assert "fetch needs a running invocation" in await running.text()


async def test_a_worker_that_does_not_load(tmp_path: Path) -> None:
    """A syntax error is a problem with file and line; the gateway opens, and answers with it in dev."""
    async with opened(tmp_path, {"entry.py": "import os\ndef on_fetch(:\n"}, dev=True) as running:
        (problem,) = running.gateway.problems.values()
        assert (Path(problem.file).name, problem.line) == ("entry.py", 2)
        async with running.client.get(running.url, headers={"Accept": "text/html"}) as response:
            assert response.status == 500
            assert "def on_fetch(:" in await response.text()
        assert [(facts["status"], facts["outcome"]) for facts in running.seen.ended_facts] == [(500, "exception")]


IN_A_GROUP = "async with asyncio.TaskGroup() as group:\n    group.create_task(fetch(env.UPSTREAM))"


@pytest.mark.parametrize("how", ["await fetch(env.UPSTREAM)", IN_A_GROUP])
async def test_a_subrequest_is_cut_before_the_deadline(tmp_path: Path, how: str) -> None:
    """At the reserve a silent subrequest ends as a timeout; uncaught, in a group or not, that is 504 and not 1101."""
    async with ScriptedUpstream(bytes_then_silence(b"")) as upstream:
        toml = f'vars = {{ UPSTREAM = "{upstream.origin}" }}\n[limits]\nwall_ms = 400\n'
        async with opened(tmp_path, source(how + "\nreturn Response('x')"), toml) as running:
            started = time.monotonic()
            assert await running.status() == 504
            assert 0.3 < time.monotonic() - started < 0.4
            assert (await outcome_of(running))["outcome"] == "exceededWallTime"


async def test_a_handler_answers_with_what_came_before_the_deadline(tmp_path: Path) -> None:
    """The reserve is enough to catch the cut subrequest and to answer 200 in time."""
    body = """
try:
    await fetch(env.UPSTREAM)
except TimeoutError as error:
    return Response(f"partial, for {error}")
"""
    async with ScriptedUpstream(bytes_then_silence(b"")) as upstream:
        toml = f'vars = {{ UPSTREAM = "{upstream.origin}" }}\n[limits]\nwall_ms = 400\n'
        async with opened(tmp_path, source(body), toml) as running:
            said = await running.text()
            assert f"partial, for the subrequest to {upstream.origin} was cut 60 ms before limits.wall_ms = 400" in said
            assert re.search(r"it had waited 3\d\d ms for an answer$", said)
            assert (await outcome_of(running))["outcome"] == "ok"


async def test_a_wait_for_a_turn_is_cut_before_the_deadline(tmp_path: Path) -> None:
    """A subrequest that never got its turn ends at the reserve, and its error says what it waited for."""
    body = """
results = await asyncio.gather(*(fetch(env.UPSTREAM) for _ in range(2)), return_exceptions=True)
return Response(" | ".join(str(result) for result in results))
"""
    async with ScriptedUpstream(bytes_then_silence(b"")) as upstream:
        toml = f'vars = {{ UPSTREAM = "{upstream.origin}" }}\n[limits]\nwall_ms = 400\nconnections = 1\n'
        async with opened(tmp_path, source(body), toml) as running:
            first, second = (await running.text()).split(" | ")
            assert first.endswith("ms for an answer")
            assert second.endswith("ms for its turn (limits.connections = 1)")
            assert upstream.requests == 1
