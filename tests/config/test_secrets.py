"""Vars and secrets: where values come from, and which of them win."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pytest

from atoll.config import Config
from atoll.errors import ConfigError

Reads: TypeAlias = Callable[..., Config]
ONE = 'name = "one"\nmain = "main.py"\n'
VARS = f'{ONE}[vars]\nA = "a"\nN = {{ x = [1, 2.5, true, "t"] }}\n'
SECRET = f'{ONE}[secrets]\nrequired = ["TOKEN"]\n'


def test_vars(reads: Reads) -> None:
    """Vars are JSON values as they stand."""
    assert reads(VARS).workers[0].vars == {"A": "a", "N": {"x": [1, 2.5, True, "t"]}}
    text = '{"name": "one", "main": "main.py", "vars": {"A": null, "B": 1.5}}'
    assert reads(text, "wrangler.json").workers[0].vars == {"A": None, "B": 1.5}


def test_precedence(reads: Reads, folder: Path) -> None:
    """`--var` goes over `.dev.vars`, and that over the file."""
    (folder / ".dev.vars").write_text("A=dev\nB=dev\n")
    found = reads(VARS, dev=True, overrides={"B": "given"}).workers[0].vars
    assert (found["A"], found["B"], found["N"]["x"][0]) == ("dev", "given", 1)


def test_dev_vars_only_in_dev(reads: Reads, folder: Path) -> None:
    """`.dev.vars` has no part in production; in dev it is among the files that were read."""
    (folder / ".dev.vars").write_text("A=dev")
    assert reads(VARS).workers[0].vars["A"] == "a"
    assert reads(VARS).files == (folder / "wrangler-like.toml",)
    assert reads(VARS, dev=True).files == (folder / "wrangler-like.toml", folder / ".dev.vars")


def test_dev_vars_of_env(reads: Reads, folder: Path) -> None:
    """`.dev.vars.<env>` stands in for `.dev.vars` where it exists; the two are never mixed."""
    (folder / ".dev.vars").write_text("A=all\nB=all")
    text = f"{ONE}[env.live]\n[env.staging]\n"
    assert reads(text, dev=True, env="live").workers[0].vars == {"A": "all", "B": "all"}
    (folder / ".dev.vars.live").write_text("A=live")
    assert reads(text, dev=True, env="live").workers[0].vars == {"A": "live"}
    assert reads(text, dev=True, env="staging").workers[0].vars == {"A": "all", "B": "all"}


def test_missing_in_dev(reads: Reads, folder: Path) -> None:
    """A required secret that is missing in dev names worker, secret and the file to put it in."""
    with pytest.raises(ConfigError) as caught:
        reads(SECRET, dev=True, environ={"TOKEN": "t"})
    assert str(caught.value) == (
        f"{folder / 'wrangler-like.toml'}: secrets.required: worker 'one' needs the secret 'TOKEN', which is not set; "
        f"put TOKEN=... into {folder / '.dev.vars'}"
    )


def test_missing_in_production(reads: Reads) -> None:
    """In production the advice is the environment or a secrets file; a var of that name does not do."""
    with pytest.raises(ConfigError, match=r"'TOKEN', which is not set; set the environment variable TOKEN, or put"):
        reads(f'{SECRET}[vars]\nTOKEN = "committed"')


def test_environ(reads: Reads) -> None:
    """Of the environment a worker sees what it requires and nothing else."""
    assert reads(SECRET, environ={"TOKEN": "t", "PATH": "/bin"}).workers[0].vars == {"TOKEN": "t"}
    assert reads(ONE, environ={"TOKEN": "t"}).workers[0].vars == {}


@pytest.mark.parametrize("text", ["TOKEN=file\nMORE=1\n", '{"TOKEN": "file", "MORE": "1"}'])
def test_secrets_file(reads: Reads, folder: Path, text: str) -> None:
    """A secrets file is dotenv or JSON and beats the environment; a worker that says what it needs gets only that."""
    (folder / "secrets").write_text(text)
    config = reads(SECRET, secrets_file=Path("secrets"), environ={"TOKEN": "environ"})
    assert config.workers[0].vars == {"TOKEN": "file"}
    assert config.files[-1] == folder / "secrets"
    assert reads(ONE, secrets_file=Path("secrets")).workers[0].vars == {"TOKEN": "file", "MORE": "1"}


def test_secrets_file_faults(reads: Reads, folder: Path) -> None:
    """A secret that is no text, or a file that is not there, is refused without showing a value."""
    (folder / "secrets").write_text(json.dumps({"TOKEN": 12345}))
    with pytest.raises(ConfigError, match=r"secrets: TOKEN: read a value of type int, expected a text") as caught:
        reads(ONE, secrets_file=Path("secrets"))
    assert "12345" not in str(caught.value)
    with pytest.raises(ConfigError, match="no-secrets: cannot be read"):
        reads(ONE, secrets_file=Path("no-secrets"))


def test_secrets_of_env(reads: Reads) -> None:
    """Secrets are bindings, so an environment names its own."""
    with pytest.raises(ConfigError, match=r"env\.live\.secrets\.required: worker 'one-live' needs the secret 'B'"):
        reads(f'{SECRET}[env.live.secrets]\nrequired = ["B"]', env="live", environ={"TOKEN": "t"})


def test_not_printed(reads: Reads) -> None:
    """The text of a worker's value, which ends in logs, names vars and secrets and shows none of their values."""
    config = reads(SECRET, environ={"TOKEN": "hush"})
    assert "TOKEN" in repr(config)
    assert "hush" not in repr(config)
