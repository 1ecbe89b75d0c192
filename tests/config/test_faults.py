"""What is refused, and that the text says file, key path, value read and value expected."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pytest
from msgspec.structs import fields

from atoll.config import Config, FetchConfig, GatewayConfig, read
from atoll.config.schema import BINDINGS
from atoll.errors import ConfigError
from atoll.limits import Limits

Reads: TypeAlias = Callable[..., Config]
ONE = 'name = "one"\nmain = "main.py"\n'


def refusal(reads: Reads, text: str, **options: object) -> str:
    with pytest.raises(ConfigError) as caught:
        reads(text, **options)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (f"{ONE}limits = 3", "limits: read 3, expected a table"),
        (f"{ONE}[limits]\ncpu_ms = 0", "limits.cpu_ms: read 0, expected an integer from 1 to 300,000"),
        (f"{ONE}[limits]\ncpu_ms = true", "limits.cpu_ms: read true, expected an integer from 1 to 300,000"),
        (f'{ONE}[limits]\nwall_ms = "1"', 'limits.wall_ms: read "1", expected an integer from 1 to 900,000'),
        (f"{ONE}[limits]\nwall_ms = {2**70}", f"limits.wall_ms: read {2**70}, expected an integer from 1 to 900,000"),
        (f'{ONE}isolation = "none"', 'isolation: read "none", expected "request" or "worker"'),
        (f"{ONE}compatibility_date = 2026-01-01", 'read "2026-01-01", expected a date in quotes, such as "2026-01-31"'),
        (f'{ONE}compatibility_flags = "x"', 'compatibility_flags: read "x", expected a list'),
        (f"{ONE}compatibility_flags = [1]", "compatibility_flags[0]: read 1, expected a text in quotes"),
        (f"{ONE}vars = [1]", "vars: read [1], expected a table"),
        (f"{ONE}[vars]\nA.b = [1, inf]", 'vars.A.b[1]: read "inf", expected a JSON value'),
        (f"{ONE}[vars]\nDAY = 2026-01-01", 'vars.DAY: read "2026-01-01", expected a JSON value'),
        ('main = "main.py"', "name: this key is missing, expected a name for the worker"),
        ('name = "one"', "main: this key is missing, expected the worker's Python file"),
        ('name = "Big"\nmain = "main.py"', 'name: read "Big", expected lowercase letters, digits, dashes and'),
        ('name = ""\nmain = "main.py"', 'name: read "", expected lowercase letters'),
        ('name = "-x"\nmain = "main.py"', 'name: read "-x", expected lowercase letters'),
        (f'name = "{"x" * 256}"\nmain = "main.py"', "1 to 255 of them"),
        ('name = "x"\nmain = ""', 'main: read "", expected the path of a Python file'),
        ('name = "x"\nmain = "main.js"', 'main: read "main.js", expected a Python file, ending in .py'),
        ('name = "x"\nmain = "no.py"', 'main: read "no.py", expected a file that exists: there is no '),
        (f'{ONE}routes = "x"', 'routes: read "x", expected a list'),
        (f"{ONE}routes = [1]", "routes[0]: read 1, expected a route pattern"),
        (f"{ONE}[[routes]]\nzone_name = 'x'", "routes[0].pattern: this key is missing"),
        (f"{ONE}[[routes]]\npattern = 1", "routes[0].pattern: read 1, expected a text in quotes"),
        (f'{ONE}route = "a*b.example/x"', 'route: read "a*b.example/x", expected a * only at the start'),
        (f'{ONE}route = "/x"\nroutes = ["/y"]', "route: read route and routes, expected one of the two"),
        (f"{ONE}gateway = 1", "gateway: read 1, expected a table"),
        (f"{ONE}[worker]\nname = 'x'", "worker: read {"),
        (f"{ONE}[secrets]\nrequired = [1]", "secrets.required[0]: read 1, expected a text in quotes"),
        (f'{ONE}[observability]\nlog = "xml"', 'observability.log: read "xml", expected "json" or "off" or "pretty"'),
    ],
)
def test_text(reads: Reads, folder: Path, text: str, fault: str) -> None:
    """Each fault is told once, with its file, path, value read and value expected."""
    found = refusal(reads, text)
    assert fault in found
    assert len(found.splitlines()) == 1
    assert found.startswith(f"{folder / 'wrangler-like.toml'}: ")


def test_paths_of_tables(reads: Reads) -> None:
    """A fault in the second `[[worker]]`, or in an environment, has the path of the table where it stands."""
    text = 'main = "main.py"\n[[worker]]\nname = "a"\n[[worker]]\nname = "b"\n[worker.limits]\ncpu_ms = 0\n'
    assert ": worker[1].limits.cpu_ms: read 0" in refusal(reads, text)
    env = f"{ONE}[env.live.limits]\nhold_ms = 1\n"
    assert ": env.live.limits.hold_ms: read 1" in refusal(reads, env, env="live")
    nested = 'main = "main.py"\n[[worker]]\nname = "a"\n[worker.env.live]\nmain = "no.py"\n'
    assert ': worker[0].env.live.main: read "no.py"' in refusal(reads, nested, env="live")


def test_environment_not_chosen(reads: Reads) -> None:
    """An environment that is not chosen is not judged: what it asks for may not exist here."""
    assert reads(f"{ONE}[env.live.limits]\nhold_ms = 1\n").workers[0].name == "one"


def test_all_at_once(reads: Reads) -> None:
    """All faults of a file are told at once."""
    found = refusal(reads, f"{ONE}isolation = 1\n[limits]\ncpu_ms = 0\nwall_ms = 0\n[gateway]\ndrain_s = -1")
    assert len(found.splitlines()) == 4


def test_misspelt(reads: Reads) -> None:
    """A missing key that is there under a misspelt name is told of together with that name."""
    found = refusal(reads, 'nam = "one"\nmain = "main.py"').splitlines()
    assert [line.split(".toml: ")[1] for line in found] == [
        'name: this key is missing, expected a name for the worker, such as name = "api"',
        "nam: unknown key, ignored; did you mean name?",
    ]


@pytest.mark.parametrize("field", fields(Limits), ids=lambda field: field.name)
def test_limits_range(reads: Reads, field: object) -> None:
    """Every limit is refused one past its range, with the range that its type states."""
    name, meta = field.name, field.type.__metadata__[0]  # type: ignore[attr-defined]
    assert getattr(reads(f"{ONE}[limits]\n{name} = {meta.le}").workers[0].limits, name) == meta.le
    for value in (meta.ge - 1, meta.le + 1):
        expected = f"limits.{name}: read {value}, expected an integer from {meta.ge:,} to {meta.le:,}"
        assert expected in refusal(reads, f"{ONE}[limits]\n{name} = {value}")


@pytest.mark.parametrize(
    ("table", "name", "meta"),
    [
        (table, field.name, field.type.__metadata__[0])
        for table, struct in (("gateway", GatewayConfig), ("fetch", FetchConfig))
        for field in fields(struct)
        if hasattr(field.type, "__metadata__") and field.name != "port"
    ],
)
def test_table_range(reads: Reads, table: str, name: str, meta: object) -> None:
    """Every number of the gateway's tables is taken at its bounds and refused one past them."""
    low, high = meta.ge, meta.le  # type: ignore[attr-defined]
    for value in (low, high):
        assert getattr(getattr(reads(f"{ONE}[{table}]\n{name} = {value}"), table), name) == value
    for value in (low - 1, high + 1):
        expected = f"{table}.{name}: read {value}, expected an integer from {low:,} to {high:,}"
        assert expected in refusal(reads, f"{ONE}[{table}]\n{name} = {value}")


BINDING_TABLES = [
    ("[[kv_namespaces]]\nbinding = 'CACHE'\nid = 'x'", "kv_namespaces", "KV namespace 'CACHE'"),
    ("[[d1_databases]]\nbinding = 'DB'", "d1_databases", "D1 database 'DB'"),
    ("[[queues.producers]]\nqueue = 'q'\nbinding = 'JOBS'", "queues", "queue 'JOBS'"),
    ("[[queues.consumers]]\nqueue = 'jobs'", "queues", "queue 'jobs'"),
    ("[[services]]\nbinding = 'AUTH'\nservice = 'auth'", "services", "service 'AUTH'"),
    ("[[ratelimits]]\nname = 'LIMIT'", "ratelimits", "rate limit 'LIMIT'"),
    ("[assets]\ndirectory = './public'", "assets", "static assets './public'"),
    ("[[durable_objects.bindings]]\nname = 'ROOM'\nclass_name = 'Room'", "durable_objects", "Durable Object 'ROOM'"),
    ("[[migrations]]\ntag = 'v1'", "migrations", "migration 'v1'"),
    ("[[workflows]]\nbinding = 'FLOW'\nname = 'f'", "workflows", "workflow 'FLOW'"),
    ("[[r2_buckets]]\nbinding = 'FILES'", "r2_buckets", "R2 bucket 'FILES'"),
    ("[triggers]\ncrons = ['0 * * * *']", "triggers", "cron trigger '0 * * * *'"),
    ("[ai]\nbinding = 'AI'", "ai", "Workers AI 'AI'"),
    ("[[tail_consumers]]\nservice = 'logs'", "tail_consumers", "tail consumer 'logs'"),
    ("[version_metadata]\nbinding = 'V'", "version_metadata", "version metadata 'V'"),
    ("[unsafe]\nx = 1", "unsafe", "unsafe binding '1'"),
]


@pytest.mark.parametrize(("table", "path", "named"), BINDING_TABLES)
def test_binding(reads: Reads, table: str, path: str, named: str) -> None:
    """A kind of binding that Atoll does not have stops the start and names binding and worker."""
    found = refusal(reads, f"{ONE}{table}")
    assert f": {path}: worker 'one' asks for " in found
    assert named in found


@pytest.mark.parametrize("kind", BINDINGS)
def test_every_binding_kind(reads: Reads, kind: str) -> None:
    """No kind of binding is taken in silence, whatever its table looks like."""
    assert f": {kind}: worker 'one' asks for " in refusal(reads, f"{ONE}[{kind}]\nbinding = 'X'")


def test_empty_bindings(reads: Reads) -> None:
    """A list of bindings that is empty asks for nothing."""
    config = reads(f"{ONE}kv_namespaces = []\n[triggers]\ncrons = []\n[queues]\nproducers = []")
    assert config.warnings == ()


def test_no_file(folder: Path) -> None:
    """A file that is not there, is a folder or has a strange suffix is named."""
    (folder / "config.yaml").write_text("")
    for name, fault in [
        ("no.toml", "cannot be read: No such file or directory"),
        ("src", "read the suffix '', expected .toml, .jsonc or .json"),
        ("config.yaml", "read the suffix '.yaml', expected .toml, .jsonc or .json"),
    ]:
        with pytest.raises(ConfigError) as caught:
            read([Path(name)], cwd=folder)
        assert str(caught.value) == f"{folder / name}: {fault}"
