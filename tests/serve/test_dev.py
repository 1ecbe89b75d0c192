"""`atoll dev`: what is saved is live at once, and a mistake is told and not fatal."""

import asyncio
import time

import httpx
import pytest

from support.processes import alive, running_atoll
from support.site import Site, serving
from support.waiting import eventually

LIVE_S = 0.5


async def answers(site: Site, word: str, within_s: float = 5.0) -> int:
    """Wait until the worker answers with this word; the process that did."""

    async def answered() -> int | None:
        found = await site.asked()
        return found[1] if found and found[0] == word else None

    # A connection may wait in the socket's queue for longer than that.
    async with asyncio.timeout(within_s):
        pid: int = await eventually(answered, within_s, what=f"the answer {word!r}")
    return pid


@pytest.mark.timing
async def test_the_ready_line_comes_within_two_seconds(site: Site) -> None:
    """From the start of the interpreter to the line with the URL; best of three."""
    took_s: list[float] = []
    for _ in range(3):
        began_s = time.monotonic()
        async with serving(site, "dev"):
            took_s.append(time.monotonic() - began_s)
            assert site.program.lines[0].startswith("Ready on http://localhost:")
    assert min(took_s) < 2.0


@pytest.mark.timing
async def test_a_saved_change_is_live_within_half_a_second(site: Site) -> None:
    """From the save to the new answer, in the same process; best of three."""
    async with serving(site, "dev"):
        (process,) = site.processes
        took_s: list[float] = []
        for word in ("two", "three", "four"):
            site.say(word)
            began_s = time.monotonic()
            assert await answers(site, word) == process
            took_s.append(time.monotonic() - began_s)
        assert min(took_s) < LIVE_S


async def test_a_request_in_flight_keeps_the_code_it_runs(site: Site) -> None:
    """A change during a request changes the next one, not this."""
    async with serving(site, "dev"):
        slow = await site.slow()
        site.say("two")
        await answers(site, "two")
        assert not slow.done()
        assert (await slow)[0] == "one"


async def test_a_syntax_error_is_shown_with_its_line_and_mended_by_the_next_save(site: Site) -> None:
    """The terminal names file, line and source; requests get an error page; the mended file is live again."""
    async with serving(site, "dev"):
        (process,) = site.processes
        (site.folder / "hello.py").write_text("import os\nbroken = (1,\n")
        await site.program.line('Worker "hello" does not load')
        await site.program.line(r"hello\.py:2")
        await site.program.line(r"broken = \(1,")
        assert (await site.client.get("/")).status_code == 500
        site.say("two")
        assert await answers(site, "two") == process


async def test_an_import_error_is_shown_with_its_line(site: Site) -> None:
    """What the top level raises is told as where the author can find it."""
    async with serving(site, "dev"):
        (site.folder / "hello.py").write_text("import os\n\nimport no_such_module\n")
        await site.program.line("ModuleNotFoundError|no_such_module")
        await site.program.line(r"hello\.py:3")


async def test_a_process_that_dies_of_its_code_comes_back_with_the_mended_code(site: Site) -> None:
    """However long the crash loop has been waiting, a save is tried at once."""
    async with serving(site, "dev"):
        (site.folder / "hello.py").write_text("import os\nos._exit(3)\n")
        await site.program.line("process_crash_loop.*wait_ms=2000")
        site.say("mended")
        await answers(site, "mended", within_s=1.5)


async def test_dev_starts_with_a_worker_that_does_not_load(site: Site) -> None:
    """The server comes up, tells the problem, and serves once it is mended."""
    (site.folder / "hello.py").write_text("broken = (\n")
    async with serving(site, "dev"):
        assert 'Worker "hello" does not load' in site.program.text
        assert (await site.client.get("/")).status_code == 500
        site.say("mended")
        await answers(site, "mended")


async def test_a_changed_configuration_rolls_over(site: Site) -> None:
    """A new process takes over on the same port; the old one answers what it has, then goes."""
    async with serving(site, "dev"):
        slow = await site.slow()
        (old,) = site.processes
        site.configure("[vars]\nA = 1\n")
        await site.program.line("Read wrangler-like.toml again")
        word, new = await site.ask()
        assert new != old
        assert word == "one"
        assert await slow == ("one", old)
        await eventually(lambda: not alive(old))


async def test_a_broken_configuration_keeps_the_old_one(site: Site) -> None:
    """The error is told, the server answers on, and the mended file counts."""
    async with serving(site, "dev"):
        (process,) = site.processes
        site.configure("[limits]\ncpu_ms = 'many'\n")
        await site.program.line("cpu_ms")
        await site.program.line("goes on with the configuration it had")
        assert await site.ask() == ("one", process)
        seen = len(site.program.lines)
        site.configure("[vars]\nA = 1\n")
        await site.program.line("again", start=seen)
        assert (await site.ask())[1] != process


async def test_a_new_secret_file_is_read(site: Site) -> None:
    """Making .dev.vars is a change of the configuration."""
    async with serving(site, "dev"):
        (site.folder / ".dev.vars").write_text("TOKEN=x\n")
        await site.program.line(r"Read \.dev\.vars again")


async def test_a_changed_port_moves_the_server(site: Site) -> None:
    """Without `--port`, the configuration's port counts, also when it changes."""
    site.configure("[dev]\nip = '127.0.0.1'\nport = 0\n")
    async with running_atoll("dev", cwd=site.folder) as program:
        before = await program.origin()
        site.configure("[dev]\nip = 'localhost'\nport = 0\n")
        after = (await program.line("Now on")).removeprefix("Now on ")
        assert after != before
        async with httpx.AsyncClient() as client:
            assert (await client.get(after)).text.startswith("one ")
            with pytest.raises(httpx.ConnectError):
                await client.get(before)


async def test_requests_and_prints_are_told_in_the_terminal(site: Site) -> None:
    """One line a request, and what the handler printed, marked with worker and request."""
    async with serving(site, "dev"):
        await (await site.slow())
        line = await site.program.line("GET /slow 200")
        assert " ms cpu " in line
        assert "subrequests 0/50" in line
        request_id = line.split()[-1]
        assert f"[hello {request_id}] slow began" in site.program.lines


async def test_a_variable_from_the_command_line_reaches_env(site: Site) -> None:
    """`--var NAME:VALUE`."""
    (site.folder / "hello.py").write_text(
        "from workers import Response, WorkerEntrypoint\n"
        "class Default(WorkerEntrypoint):\n"
        "    async def fetch(self, request):\n"
        "        return Response(self.env.WORD + ' 0')\n"
    )
    async with serving(site, "dev", "--var", "WORD:a:b"):
        assert await site.ask() == ("a:b", 0)
