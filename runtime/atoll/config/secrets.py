"""Where the values come from that do not stand in the configuration: `.dev.vars`, a secrets file, the environment."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from atoll.config.syntax import read_dotenv, read_secrets

DEV_VARS = ".dev.vars"


class Given(NamedTuple):
    """What the caller of `read` brings along, for all files alike."""

    env: str | None
    dev: bool
    environ: Mapping[str, str]
    secrets_file: Path | None
    overrides: Mapping[str, str]


class Secrets:
    """The values that one configuration file's workers are given from outside of it.

    `environ` is asked for required names only: no worker is shown the rest of the environment. A secrets file is
    taken whole by a worker that does not say what it requires, else only what it requires. `.dev.vars` lies
    beside the configuration and overrides its vars too, so it is always taken whole.
    """

    def __init__(self, folder: Path, given: Given) -> None:
        self._environ = {} if given.dev else given.environ
        self._secrets_file = given.secrets_file
        self._secrets = read_secrets(given.secrets_file) if given.secrets_file else {}
        self._dev_file = _dev_file(folder, given.env) if given.dev else None
        self._dev_vars = read_dotenv(self._dev_file) if self._dev_file and self._dev_file.is_file() else {}
        self._overrides = given.overrides

    @property
    def files(self) -> list[Path]:
        """The files that were read."""
        dev_vars = [self._dev_file] if self._dev_file and self._dev_file.is_file() else []
        return dev_vars + ([self._secrets_file] if self._secrets_file else [])

    def given(self, required: Iterable[str]) -> dict[str, str]:
        """What a worker with these required names is given, later sources over earlier; what nothing sets is absent."""
        names = set(required)
        return {
            **{name: self._environ[name] for name in names if name in self._environ},
            **{name: value for name, value in self._secrets.items() if not names or name in names},
            **self._dev_vars,
            **self._overrides,
        }

    def advice(self, name: str) -> str:
        """Where to put a missing one."""
        if self._dev_file:
            return f"put {name}=... into {self._dev_file}"
        return f"set the environment variable {name}, or put {name}=... into a file given as --secrets-file"


def _dev_file(folder: Path, env: str | None) -> Path:
    """`.dev.vars.<env>` where it exists, else `.dev.vars`: one of them, never both."""
    own = folder / f"{DEV_VARS}.{env}"
    return own if env and own.is_file() else folder / DEV_VARS
