"""The keys of one worker into its `WorkerConfig`: code, routes, bindings, vars and secrets."""

import math
from pathlib import Path
from typing import Any

from atoll.config.check import Report, check_file, check_table, join
from atoll.config.layers import Declared, Layer, Placed
from atoll.config.pattern import SCHEMES, parse_pattern
from atoll.config.schema import BINDINGS, ROUTE
from atoll.config.secrets import Secrets
from atoll.config.values import Isolation, WorkerConfig
from atoll.limits import Limits

_NAMING_KEYS = ("binding", "name", "queue", "service", "pipeline", "tag")


def build_worker(declared: Declared, secrets: Secrets, report: Report) -> WorkerConfig | None:
    """One worker with every default filled in; None, and lines in the report, when it cannot be."""
    keys = declared.keys
    faults = len(report.errors)
    name = _required(declared, "name", 'a name for the worker, such as name = "api"', report)
    main = _main(declared, report)
    routes = _routes(keys, report)
    _refuse_bindings(name, keys, report)
    variables = _vars(keys, secrets, name, report)
    if len(report.errors) > faults or main is None:
        return None
    return WorkerConfig(
        name=name,
        main=main,
        root=main.parent,
        file=report.file,
        isolation=_get(keys, "isolation", _isolation_default(report.file)),
        routes=routes,
        vars=variables,
        limits=Limits(**_get(keys, "limits", {})),
        compatibility_date=_get(keys, "compatibility_date", None),
        compatibility_flags=_get(keys, "compatibility_flags", ()),
    )


def _get(keys: Layer, key: str, default: Any) -> Any:
    return keys[key].value if key in keys else default


def _required(declared: Declared, key: str, expected: str, report: Report) -> str:
    if key in declared.keys:
        return str(declared.keys[key].value)
    report.error(join(declared.path, key), f"this key is missing, expected {expected}")
    return ""


def _isolation_default(file: Path) -> Isolation:
    """Cloudflare's semantics for Cloudflare's files: an isolate there serves many requests."""
    return "worker" if file.name.startswith("wrangler.") or file.suffix != ".toml" else "request"


def _main(declared: Declared, report: Report) -> Path | None:
    text = _required(declared, "main", 'the worker\'s Python file, such as main = "src/main.py"', report)
    if not text:
        return None
    path = declared.keys["main"].path
    if not text.endswith(".py"):
        report.wrong(path, text, "a Python file, ending in .py")
        return None
    return check_file(text, path, report)


def _routes(keys: Layer, report: Report) -> tuple[str, ...]:
    if "route" in keys and "routes" in keys:
        report.error(keys["route"].path, "read route and routes, expected one of the two")
    entries = [keys["route"]] if "route" in keys else []
    if "routes" in keys:
        path, values = keys["routes"]
        entries += [Placed(f"{path}[{index}]", value) for index, value in enumerate(values)]
    patterns = (_pattern(entry, report) for entry in entries)
    return tuple(pattern for pattern in patterns if pattern is not None)


def _pattern(entry: Placed, report: Report) -> str | None:
    path, value = entry
    custom_domain = False
    if isinstance(value, dict):
        table = check_table(value, ROUTE, path, report)
        if "pattern" not in table:
            if "pattern" not in value:
                report.error(join(path, "pattern"), "this key is missing, expected a route pattern")
            return None
        path, value, custom_domain = join(path, "pattern"), table["pattern"], table.get("custom_domain", False)
    if not isinstance(value, str):
        report.wrong(path, value, 'a route pattern, such as "example.com/*", or a table with one as its pattern')
        return None
    if custom_domain:
        if "/" in value or "*" in value:
            report.wrong(path, value, "a host name alone: a custom domain takes every path of one host")
            return None
        value += "/*"
    try:
        parse_pattern(value)
    except ValueError as error:
        report.wrong(path, value, str(error))
        return None
    if value.lower().startswith(SCHEMES):
        report.warn(path, "the scheme of a route is not matched: behind a TLS proxy the gateway sees http alone")
    return value


def _refuse_bindings(name: str, keys: Layer, report: Report) -> None:
    for key, (path, value) in keys.items():
        if key not in BINDINGS:
            continue
        for binding in _binding_names(value):
            report.error(
                path,
                f"worker {name!r} asks for {BINDINGS[key]} {binding!r}, a kind that Atoll does not have yet; "
                "remove it, or run an env.<name> that does without",
            )


def _binding_names(value: Any) -> list[str]:
    """What the entries under a binding kind call themselves; none where the kind is there but empty."""
    if isinstance(value, dict):
        for key in _NAMING_KEYS:
            if isinstance(value.get(key), str):
                return [value[key]]
        return [name for item in value.values() for name in _binding_names(item)]
    if isinstance(value, list):
        return [name for item in value for name in _binding_names(item)]
    return [] if value in (None, False, "") else [str(value)]


def _vars(keys: Layer, secrets: Secrets, name: str, report: Report) -> dict[str, Any]:
    variables: dict[str, Any] = _get(keys, "vars", {})
    for key, value in variables.items():
        _check_json(value, join(keys["vars"].path, key), report)
    required = _get(keys, "secrets", {}).get("required", ())
    given = secrets.given(required)
    for missing in (secret for secret in required if secret not in given):
        report.error(
            join(keys["secrets"].path, "required"),
            f"worker {name!r} needs the secret {missing!r}, which is not set; {secrets.advice(missing)}",
        )
    return {**variables, **given}


def _check_json(value: Any, path: str, report: Report) -> None:
    if isinstance(value, dict):
        for key, item in value.items():
            _check_json(item, join(path, key), report)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            _check_json(item, f"{path}[{index}]", report)
    elif not isinstance(value, str | int | float | bool | None) or (
        isinstance(value, float) and not math.isfinite(value)
    ):
        report.wrong(path, str(value), "a JSON value: a text, a finite number, true, false, a list or a table")
