"""Defaults, `[[worker]]` tables and environments: which value a worker ends up with."""

from collections.abc import Callable
from typing import TypeAlias

import pytest

from atoll.config import Config
from atoll.errors import ConfigError
from atoll.limits import Limits

Reads: TypeAlias = Callable[..., Config]
ONE = 'name = "one"\nmain = "main.py"\n'
TWO = """
main = "main.py"
compatibility_flags = ["shared"]
[vars]
A = "top"
[limits]
cpu_ms = 10
wall_ms = 100
[[worker]]
name = "a"
routes = ["/a/*"]
[worker.limits]
cpu_ms = 20
[[worker]]
name = "b"
main = "src/other.py"
isolation = "worker"
[worker.vars]
B = "own"
"""


def test_several_workers(reads: Reads) -> None:
    """Top-level keys are the defaults of every `[[worker]]`; limits are laid over each other key by key."""
    a, b = reads(TWO).workers
    assert (a.main.name, a.limits, a.vars) == ("main.py", Limits(cpu_ms=20, wall_ms=100), {"A": "top"})
    assert (b.main.name, b.limits, b.vars) == ("other.py", Limits(cpu_ms=10, wall_ms=100), {"B": "own"})
    assert (a.isolation, b.isolation) == ("request", "worker")
    assert a.compatibility_flags == b.compatibility_flags == ("shared",)


@pytest.mark.parametrize(
    ("routes", "expected"),
    [
        ('route = "/x"', ("/x",)),
        ('routes = ["/x", "example.com/*"]', ("/x", "example.com/*")),
        ('routes = [{ pattern = "example.com/y/*", zone_name = "example.com" }]', ("example.com/y/*",)),
        ('route = { pattern = "example.com", custom_domain = true }', ("example.com/*",)),
        ("routes = []", ()),
    ],
)
def test_routes(reads: Reads, routes: str, expected: tuple[str, ...]) -> None:
    """A route is a text or a table with a pattern; a custom domain takes every path of its host."""
    config = reads(f"{ONE}{routes}")
    assert config.workers[0].routes == expected
    assert config.warnings == ()


@pytest.mark.parametrize("pattern", ["example.com/x", "*.example.com"])
def test_custom_domain(reads: Reads, pattern: str) -> None:
    """A custom domain is a host name alone."""
    with pytest.raises(ConfigError, match=r"routes\[0\]\.pattern: read .* expected a host name alone"):
        reads(f'{ONE}routes = [{{ pattern = "{pattern}", custom_domain = true }}]')


def test_scheme_is_told(reads: Reads) -> None:
    """A route with a scheme is taken, and its reader is told that the scheme is not matched."""
    config = reads(f'{ONE}route = "https://example.com/*"')
    assert config.workers[0].routes == ("https://example.com/*",)
    assert "route: the scheme of a route is not matched" in config.warnings[0]


ENVS = f"""
{ONE}
routes = ["/top"]
[vars]
A = "top"
[limits]
cpu_ms = 10
wall_ms = 100
[[kv_namespaces]]
binding = "CACHE"
[env.staging]
isolation = "worker"
[env.staging.vars]
B = "staging"
[env.staging.limits]
cpu_ms = 30
[env.live]
name = "the-one"
main = "src/other.py"
route = "/live"
vars = {{}}
"""


def test_env(reads: Reads) -> None:
    """An environment inherits name (with its suffix), main, limits and routes, and neither vars nor bindings."""
    config = reads(ENVS, env="staging")
    (worker,) = config.workers
    assert (worker.name, worker.main.name, worker.routes) == ("one-staging", "main.py", ("/top",))
    assert (worker.vars, worker.limits) == ({"B": "staging"}, Limits(cpu_ms=30, wall_ms=100))
    assert (worker.isolation, config.env) == ("worker", "staging")


def test_env_overrides(reads: Reads) -> None:
    """What an environment sets itself is taken as it is, its name included; `route` replaces `routes`."""
    (worker,) = reads(ENVS, env="live").workers
    assert (worker.name, worker.main.name, worker.routes, worker.vars) == ("the-one", "other.py", ("/live",), {})


def test_env_tells_what_it_drops(reads: Reads) -> None:
    """Vars and bindings that an environment does not repeat are told of."""
    config = reads(f'{ONE}[vars]\nA = "x"\n[[services]]\nbinding = "S"\n[env.live]\n', env="live")
    assert [warning.split(": ", 1)[1] for warning in config.warnings] == [
        "vars: this key is not inherited by env.live; repeat it there if it is needed",
        "services: this key is not inherited by env.live; repeat it there if it is needed",
    ]


def test_env_inherits_triggers(reads: Reads) -> None:
    """Triggers are inherited, so an environment does not hide that they are not supported."""
    with pytest.raises(ConfigError, match=r"triggers: worker 'one-live' asks for cron trigger"):
        reads(f'{ONE}[triggers]\ncrons = ["0 * * * *"]\n[env.live]\n', env="live")


def test_env_of_several(reads: Reads) -> None:
    """An environment may stand at the top level and in a `[[worker]]`; the worker's own has the last word."""
    text = f"""{TWO}
    [worker.env.live]
    vars = {{ C = "worker" }}
    [env.live]
    vars = {{ A = "live", C = "live" }}
    limits = {{ cpu_ms = 99 }}
    """
    a, b = reads(text, env="live").workers
    assert (a.name, a.vars, a.limits.cpu_ms) == ("a-live", {"A": "live", "C": "live"}, 99)
    assert (b.name, b.vars, b.limits.cpu_ms) == ("b-live", {"C": "worker"}, 99)


def test_env_of_one_worker(reads: Reads) -> None:
    """A worker without the chosen environment keeps its values and its name, and its reader is told."""
    config = reads(f"{TWO}[worker.env.live]\n", env="live")
    assert [worker.name for worker in config.workers] == ["a", "b-live"]
    assert any("worker[0].env: there is no env.live here" in warning for warning in config.warnings)


def test_env_unknown(reads: Reads) -> None:
    """An environment that no file has is refused with those that there are."""
    with pytest.raises(ConfigError, match=r"env\.prod: no such environment; there are live, staging"):
        reads(ENVS, env="prod")
    with pytest.raises(ConfigError, match=r"env\.prod: no such environment; there is none"):
        reads(ONE, env="prod")


@pytest.mark.parametrize(
    ("text", "warning"),
    [
        (
            "compatability_date = '2026-01-01'",
            "compatability_date: unknown key, ignored; did you mean compatibility_date?",
        ),
        ("[limits]\ncpu = 3", "limits.cpu: unknown key, ignored; did you mean cpu_ms?"),
        ("xyzzy = 3", "xyzzy: unknown key, ignored"),
        ("[gateway]\nin_fligth = 3", "gateway.in_fligth: unknown key, ignored; did you mean in_flight?"),
        ("[gateway]\nunix = '/run/x'", "gateway.unix: not supported yet, ignored"),
        ("[gateway.tls]\ncert = 'x'", "gateway.tls: not supported yet, ignored"),
        ("[gateway]\ncanary_percent = 1", "gateway.canary_percent: not supported yet, ignored"),
        ("[fetch]\nretry_budget_percent = 1", "fetch.retry_budget_percent: not supported yet, ignored"),
        ("[engine]\nurl = 'redis://x'", "engine.url: not supported yet, ignored"),
        ("[observability.traces]\nenabled = true", "observability.traces: not supported yet, ignored"),
        ("[route]\npattern = '/x'\nzonename = 'x'", "route.zonename: unknown key, ignored; did you mean zone_name?"),
    ],
)
def test_odd_keys(reads: Reads, text: str, warning: str) -> None:
    """A key that is unknown, or not supported yet, is told with its path and the nearest known key."""
    (found,) = reads(f"{ONE}{text}").warnings
    assert found.endswith(f"wrangler-like.toml: {warning}")


def test_misplaced(reads: Reads) -> None:
    """A table of the whole gateway inside a worker or an environment is told of, not taken."""
    text = 'main = "main.py"\n[[worker]]\nname = "a"\ngateway = { listen = ":1" }\nobservability = { log = "off" }\n'
    config = reads(text)
    assert (config.gateway.port, config.observability.log) == (8080, None)
    assert ["gateway" in config.warnings[0], "observability.log" in config.warnings[1]] == [True, True]
    assert all("belongs at the top level" in warning for warning in config.warnings)


def test_harmless(reads: Reads) -> None:
    """Wrangler's keys that change nothing here are taken without a word."""
    text = f"""{ONE}
    account_id = "x"
    workers_dev = true
    preview_urls = false
    minify = true
    logpush = true
    upload_source_maps = true
    keep_vars = true
    send_metrics = false
    placement = {{ mode = "smart" }}
    build = {{ command = "make" }}
    observability = {{ enabled = true, head_sampling_rate = 1 }}
    dev = {{ local_protocol = "http", inspector_port = 1 }}
    """
    assert reads(text).warnings == ()
    assert reads('{"$schema": "x", "name": "one", "main": "main.py"}', "wrangler.jsonc").warnings == ()


def test_observability(reads: Reads) -> None:
    """The form of the log can be chosen."""
    assert reads(f'{ONE}[observability]\nlog = "json"').observability.log == "json"
