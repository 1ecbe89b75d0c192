"""The command line: what it says, and with which status it ends."""

import subprocess
import sys
from pathlib import Path

import pytest

from atoll import __version__
from atoll.cli import main

WORKER = """
from workers import Response, WorkerEntrypoint

class Default(WorkerEntrypoint):
    async def fetch(self, request):
        return Response("hello")
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def atoll(folder: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    """Run `atoll` to its end."""
    command = [sys.executable, "-m", "atoll", *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=30, check=False)


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    """`atoll --version`."""
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"atoll {__version__}\n"


def test_without_a_verb_there_is_help(capsys: pytest.CaptureFixture[str]) -> None:
    """`atoll` alone lists the verbs; it is a wrong usage all the same."""
    assert main([]) == 2
    out = capsys.readouterr().out
    assert all(verb in out for verb in ("dev", "serve", "check"))


@pytest.mark.parametrize("words", [["help", "dev"], ["dev", "--help"]])
def test_help_of_a_verb_has_examples(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """`atoll help VERB` is `atoll VERB --help`."""
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 0
    assert "atoll dev --port 0" in capsys.readouterr().out


def test_an_unknown_verb_suggests_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    """`atoll sevre` means `atoll serve`."""
    assert main(["sevre"]) == 2
    assert "Did you mean `atoll serve`?" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["dev", "--port", "65536"], "65535"),
        (["dev", "--port", "http"], "not a number"),
        (["dev", "--var", "NAME"], "NAME:VALUE"),
        (["serve", "--processes", "0"], "at least 1"),
        (["serve", "--log", "xml"], "json"),
    ],
)
def test_a_wrong_argument_says_what_is_expected(
    words: list[str], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Usage errors exit 2 and name the value read and the values expected."""
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2
    assert expected in capsys.readouterr().err


def test_help_imports_nothing_heavy() -> None:
    """`atoll --help` is quick because neither asyncio nor a server library is imported for it."""
    code = "import sys, atoll.cli; print(*sorted({'asyncio', 'aiohttp', 'msgspec', 'structlog'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout == "\n"


def test_an_error_of_the_runtime_is_one_message(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """No configuration: exit 1, no traceback, and the names that were looked for."""
    assert main(["check"]) == 1
    err = capsys.readouterr().err
    assert err.startswith("atoll: ")
    assert "wrangler-like.toml" in err
    assert "Traceback" not in err


def test_check_tells_workers_routes_and_changed_limits(here: Path) -> None:
    """What would be served, and the limits that are not the defaults."""
    (here / "hello.py").write_text(WORKER)
    (here / "wrangler-like.toml").write_text(
        'name = "hello"\nmain = "hello.py"\nroutes = ["/hello/*"]\nspeling = 1\n[limits]\ncpu_ms = 70\n'
    )
    done = atoll(here, "check")
    assert done.returncode == 0, done.stderr
    assert "hello" in done.stdout
    assert "/hello/*" in done.stdout
    assert "cpu_ms = 70 (default 50)" in done.stdout
    assert "subrequests" not in done.stdout
    assert "warning: " in done.stdout
    assert "speling" in done.stdout


def test_check_finds_a_worker_that_does_not_load(here: Path) -> None:
    """Exit 1 with file, line and reason; the other worker is told as well."""
    (here / "good.py").write_text(WORKER)
    (here / "bad.py").write_text("a = 1\nraise RuntimeError('no')\n")
    (here / "wrangler-like.toml").write_text(
        '[[worker]]\nname = "good"\nmain = "good.py"\nroute = "/good"\n'
        '[[worker]]\nname = "bad"\nmain = "bad.py"\nroute = "/bad"\n'
    )
    done = atoll(here, "check")
    assert done.returncode == 1
    assert 'Worker "bad" does not load' in done.stdout
    assert "bad.py:2" in done.stdout
    assert "good.py" in done.stdout
    assert "1 of 2 do not load" in done.stdout


@pytest.mark.parametrize(
    ("line", "pile"),
    [
        ("import logging; logging.getLogger().addHandler(logging.NullHandler())", "logging handlers"),
        ("import sys; sys.path.append('x')", "sys.path"),
        ("import os, time; os.environ[f'X{time.monotonic_ns()}'] = ''", "os.environ"),
        ("import threading; threading.Thread(target=threading.Event().wait, daemon=True).start()", "threads"),
        ("import atexit; atexit.register(print)", "exit handlers"),
    ],
)
def test_check_warns_of_what_piles_up(here: Path, line: str, pile: str) -> None:
    """The top level runs twice: what all isolates of a process share must not grow."""
    (here / "hello.py").write_text(f"{line}\n{WORKER}")
    (here / "wrangler-like.toml").write_text('name = "hello"\nmain = "hello.py"\n')
    done = atoll(here, "check")
    assert done.returncode == 0, done.stderr
    assert f"{pile} grew by 1" in done.stdout


def test_check_of_a_tidy_worker_warns_of_nothing(here: Path) -> None:
    """An ordinary module, with a logger of its own, leaves nothing behind."""
    (here / "hello.py").write_text(f"import logging\nlog = logging.getLogger(__name__)\n{WORKER}")
    (here / "wrangler-like.toml").write_text('name = "hello"\nmain = "hello.py"\n')
    done = atoll(here, "check")
    assert done.returncode == 0, done.stderr
    assert "warning" not in done.stdout


def test_a_file_in_the_current_directory_is_not_taken_for_the_librarys(here: Path) -> None:
    """A worker may be called calendar.py: the runtime's own imports do not meet it."""
    (here / "asyncio.py").write_text("raise SystemExit('the wrong asyncio')\n")
    (here / "hello.py").write_text(WORKER)
    (here / "wrangler-like.toml").write_text('name = "hello"\nmain = "hello.py"\n')
    done = atoll(here, "check")
    assert "the wrong asyncio" not in done.stderr
    assert done.returncode == 0, done.stderr
