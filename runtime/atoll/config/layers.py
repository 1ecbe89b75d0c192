"""One file's tables into the keys of each worker: defaults, `[[worker]]` tables, and the chosen `env.<name>`.

A layer is one table after its check; a later layer lies over an earlier one, key by key. `limits` tables are laid
over each other key by key too, and `route` and `routes` are one key in two spellings. Each value remembers the
path where it stands, so that what is found wrong later can still be named.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple, TypeAlias

from atoll.config.check import Report, check_table, join
from atoll.config.schema import ENV, NOT_INHERITED, TOP, WORKER, Table


class Placed(NamedTuple):
    """A value and the key path where it was read."""

    path: str
    value: Any


Layer: TypeAlias = dict[str, Placed]


class Declared(NamedTuple):
    """One worker of a file: its keys after all layers, and the path of the table that declares it."""

    path: str
    keys: Layer


def workers_declared(document: Mapping[str, Any], env: str | None, report: Report) -> list[Declared]:
    """Every worker that the file declares, under the chosen environment; a file may declare none."""
    top = _layer(document, TOP, "", report)
    top_env = _env_layer(document, env, "", report)
    if "worker" not in top:
        is_worker = "worker" not in document and (document.keys() & WORKER.keys.keys()) - {"observability"}
        return [Declared("", _chosen(top, top_env, env, "", report))] if is_worker else []
    found: list[Declared] = []
    for index, table in enumerate(top.pop("worker").value):
        path = f"worker[{index}]"
        base = _over(top, _layer(table, WORKER, path, report))
        own_env = _env_layer(table, env, path, report)
        overlay = own_env if top_env is None else _over(top_env, own_env or {})
        found.append(Declared(path, _chosen(base, overlay, env, path, report)))
    return found


def envs_of(document: Mapping[str, Any]) -> set[str]:
    """The names of all environments that a file declares, at any level."""
    tables = [document, *(document["worker"] if isinstance(document.get("worker"), list) else [])]
    return {name for table in tables if isinstance(table, dict) for name in _envs(table)}


def _layer(table: Mapping[str, Any], schema: Table, path: str, report: Report) -> Layer:
    kept = check_table(table, schema, path, report)
    return {key: Placed(join(path, key), value) for key, value in kept.items()}


def _env_layer(table: Mapping[str, Any], env: str | None, path: str, report: Report) -> Layer | None:
    envs = _envs(table)
    if env is None or env not in envs:
        return None
    return _layer(envs[env], ENV, join(path, f"env.{env}"), report)


def _envs(table: Mapping[str, Any]) -> dict[str, Any]:
    envs = table.get("env")
    return envs if isinstance(envs, dict) else {}


def _over(below: Layer, above: Layer) -> Layer:
    merged = {**below, **above}
    if above.keys() & {"route", "routes"}:
        for key in {"route", "routes"} - above.keys():
            merged.pop(key, None)
    if "limits" in below and "limits" in above:
        merged["limits"] = Placed(above["limits"].path, {**below["limits"].value, **above["limits"].value})
    return merged


def _chosen(base: Layer, overlay: Layer | None, env: str | None, path: str, report: Report) -> Layer:
    """The worker's keys under `env`, as wrangler has it: bindings and vars start anew, the name gets a suffix."""
    if env is None:
        return base
    if overlay is None:
        report.warn(join(path, "env"), f"there is no env.{env} here; this worker keeps its top-level values")
        return base
    inherited: Layer = {}
    for key, placed in base.items():
        if key not in NOT_INHERITED:
            inherited[key] = placed
        elif key not in overlay and placed.value:
            report.warn(placed.path, f"this key is not inherited by env.{env}; repeat it there if it is needed")
    if "name" in inherited:
        inherited["name"] = Placed(inherited["name"].path, f"{inherited['name'].value}-{env}")
    return _over(inherited, overlay)
