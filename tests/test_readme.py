"""What the README shows, runs."""

import re
import shlex
from pathlib import Path

import pytest

from atoll import config
from support.gateway import opened
from support.processes import ROOT, running
from support.upstream import CountingUpstream

README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    """The README's code blocks of one language."""
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.DOTALL | re.MULTILINE)


async def test_the_handler_runs(tmp_path: Path) -> None:
    """The first example answers with what two upstreams say."""
    (source,) = blocks("python")
    async with CountingUpstream({"ok": True}) as upstream:
        toml = f'vars = {{ UPSTREAM = "{upstream.origin}" }}\n'
        async with opened(tmp_path, {"entry.py": source}, toml) as gateway:
            assert await gateway.json() == {"price": {"ok": True}, "stock": {"ok": True}}
        assert sorted(upstream.targets) == ["/prices/42", "/stock/42"]


def test_the_configuration_is_read(tmp_path: Path) -> None:
    """The example is read without a warning, and says what it seems to say."""
    (text,) = blocks("toml")
    (tmp_path / "wrangler-like.toml").write_text(text)
    (tmp_path / "shop.py").touch()
    read = config.read(None, cwd=tmp_path)
    assert read.warnings == ()
    assert (read.workers[0].name, read.gateway.processes, read.fetch.deny) == ("shop", 2, ("10.0.0.0/8",))


@pytest.mark.parametrize("line", [line for block in blocks("console") for line in block.splitlines() if "make" in line])
async def test_the_commands_are_there(line: str) -> None:
    """Each `make` target of the README is one of the Makefile."""
    command = shlex.split(line, comments=True)
    async with running(*command, "--dry-run", cwd=ROOT) as program:
        assert await program.ended() == 0, program.text
