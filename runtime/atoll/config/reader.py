"""`read`: find the files, read each, and put what they say together."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from atoll.config.check import Report, absolute
from atoll.config.layers import envs_of, workers_declared
from atoll.config.secrets import Given, Secrets
from atoll.config.syntax import read_table
from atoll.config.tables import FileTables, first_of, read_tables
from atoll.config.values import Config, DevConfig, FetchConfig, GatewayConfig, ObservabilityConfig, WorkerConfig
from atoll.config.worker import build_worker
from atoll.errors import ConfigError

NAMES: Final = ("wrangler-like.toml", "wrangler.toml", "wrangler.jsonc", "wrangler.json")
MINIMAL: Final = '    name = "hello"\n    main = "hello.py"'


def read(
    paths: Sequence[Path] | None,
    *,
    cwd: Path,
    env: str | None = None,
    overrides: Mapping[str, str] = {},
    dev: bool = False,
    environ: Mapping[str, str] = {},
    secrets_file: Path | None = None,
) -> Config:
    """Read the configuration; `ConfigError` names everything that is wrong in the first file that cannot be used.

    Without `paths` the first of `NAMES` in `cwd` is read; with several, each adds its workers to one gateway.
    `overrides` go over the vars of every worker. `.dev.vars` counts in `dev` alone, `environ` otherwise.
    """
    files = [absolute(cwd, path) for path in paths] if paths else [_find(absolute(cwd, ""))]
    documents = [(file, read_table(file)) for file in files]
    _know_env(env, documents)
    given = Given(env, dev, environ, absolute(cwd, secrets_file) if secrets_file else None, overrides)
    found = [_read_file(file, document, given) for file, document in documents]
    tables = [each.tables for each in found]
    return Config(
        workers=_workers([placed for each in found for placed in each.workers], files),
        gateway=first_of([(each.file, each.gateway) for each in tables], "gateway", GatewayConfig()),
        fetch=first_of([(each.file, each.fetch) for each in tables], "fetch", FetchConfig()),
        dev=first_of([(each.file, each.dev) for each in tables], "dev", DevConfig()),
        observability=first_of(
            [(each.file, each.observability) for each in tables], "observability", ObservabilityConfig()
        ),
        files=tuple(dict.fromkeys(file for each in found for file in each.files)),
        warnings=tuple(warning for each in found for warning in each.warnings),
        env=env,
    )


class _FileRead(NamedTuple):
    """What one file says; each worker with the place of its name."""

    tables: FileTables
    workers: list[tuple[str, WorkerConfig]]
    files: list[Path]
    warnings: list[str]


def _read_file(file: Path, document: Mapping[str, Any], given: Given) -> _FileRead:
    report = Report(file)
    tables = read_tables(document, report)
    declared = workers_declared(document, given.env, report)
    # What the keys mean together is asked only when each by itself is what it should be.
    report.close()
    secrets = Secrets(file.parent, given)
    workers: list[tuple[str, WorkerConfig]] = []
    for each in declared:
        worker = build_worker(each, secrets, report)
        if worker is not None:
            workers.append((f"{file}: {each.keys['name'].path}", worker))
    report.close()
    return _FileRead(tables, workers, [file, *secrets.files], report.warnings)


def _find(cwd: Path) -> Path:
    for name in NAMES:
        if (cwd / name).is_file():
            return cwd / name
    raise ConfigError(
        f"{cwd}: no configuration found; looked for {', '.join(NAMES)}. "
        f"Name one with -c FILE, or write a wrangler-like.toml, of which the least is:\n{MINIMAL}"
    )


def _know_env(env: str | None, documents: Sequence[tuple[Path, Mapping[str, Any]]]) -> None:
    known = sorted({name for _, document in documents for name in envs_of(document)})
    if env is not None and env not in known:
        names = ", ".join(str(file) for file, _ in documents)
        there = f"there are {', '.join(known)}" if known else "there is none"
        raise ConfigError(f"{names}: env.{env}: no such environment; {there}")


def _workers(placed: Sequence[tuple[str, WorkerConfig]], files: Sequence[Path]) -> tuple[WorkerConfig, ...]:
    """The workers, of which there is one at least, and no two of one name."""
    if not placed:
        names = ", ".join(str(file) for file in files)
        raise ConfigError(f"{names}: no worker is declared; the least is:\n{MINIMAL}")
    places: dict[str, str] = {}
    for place, worker in placed:
        if worker.name in places:
            raise ConfigError(
                f"{place}: read {worker.name!r}, expected a name of its own: "
                f"the worker at {places[worker.name]} has the same"
            )
        places[worker.name] = place
    return tuple(worker for _, worker in placed)
