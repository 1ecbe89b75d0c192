"""The tables that concern the gateway as a whole: `[gateway]`, `[fetch]`, `[dev]`, `[observability]`, `[engine]`."""

import ipaddress
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from atoll.config.check import Report, check_file, check_table, check_value
from atoll.config.pattern import parse_pattern
from atoll.config.routes import read_host, read_proxy, read_sockets
from atoll.config.schema import DEV, ENGINE, FETCH, GATEWAY, OBSERVABILITY
from atoll.config.values import DevConfig, FetchConfig, GatewayConfig, ObservabilityConfig, Port
from atoll.errors import ConfigError

Value = TypeVar("Value", GatewayConfig, FetchConfig, DevConfig, ObservabilityConfig)


class FileTables(msgspec.Struct, frozen=True):
    """What one file says for the whole gateway; None where it has no such table."""

    file: Path
    gateway: GatewayConfig | None = None
    fetch: FetchConfig | None = None
    dev: DevConfig | None = None
    observability: ObservabilityConfig | None = None


def read_tables(document: Mapping[str, Any], report: Report) -> FileTables:
    """Check and build the tables of one file."""
    if "engine" in document:
        check_table(document["engine"], ENGINE, "engine", report)
    return FileTables(
        report.file,
        _gateway(document["gateway"], report) if "gateway" in document else None,
        _fetch(document["fetch"], report) if "fetch" in document else None,
        DevConfig(**check_table(document["dev"], DEV, "dev", report)) if "dev" in document else None,
        _observability(document["observability"], report) if "observability" in document else None,
    )


def _gateway(table: Any, report: Report) -> GatewayConfig:
    keys = check_table(table, GATEWAY, "gateway", report)
    listen = keys.pop("listen", None)
    if listen is not None:
        keys.update(_listen(listen, "gateway.listen", report))
    return GatewayConfig(**keys)


def _listen(text: str, path: str, report: Report) -> dict[str, Any]:
    """`127.0.0.1:8080`, `[::1]:8080` or, for every address, `:8080`."""
    ip, colon, port = text.rpartition(":")
    if not colon or not re.fullmatch(r"[0-9]{1,9}", port) or not re.fullmatch(r"\[[0-9a-fA-F:.]+\]|[^\s\[\]:]*", ip):
        report.wrong(path, text, 'an address and a port, such as "127.0.0.1:8080", "[::1]:8080" or ":8080"')
        return {}
    return {"ip": ip.strip("[]") or "0.0.0.0", "port": check_value(int(port), Port, path, report)}


def _fetch(table: Any, report: Report) -> FetchConfig:
    keys = check_table(table, FETCH, "fetch", report)
    for key in ("allow", "deny", "no_proxy"):
        if key in keys:
            keys[key] = tuple(_address_rule(rule, f"fetch.{key}[{i}]", report) for i, rule in enumerate(keys[key]))
    if "ca_file" in keys:
        keys["ca_file"] = check_file(keys["ca_file"], "fetch.ca_file", report)
    if "proxy" in keys:
        keys["proxy"] = read_proxy(keys["proxy"], report)
    if "http2" in keys:
        keys["http2"] = tuple(read_host(host, f"fetch.http2[{i}]", report) for i, host in enumerate(keys["http2"]))
    if "unix" in keys:
        keys["unix"] = read_sockets(keys["unix"], report)
    return FetchConfig(**keys)


def _address_rule(rule: str, path: str, report: Report) -> str:
    """A host rule or a network in its normal form."""
    try:
        if "/" in rule or ":" in rule or rule.rpartition(".")[2].isdecimal():
            return str(ipaddress.ip_network(rule.strip("[]")))
        host = parse_pattern(rule)
        if not host.host or (host.host_wild and not host.host.startswith(".")):
            raise ValueError("a * stands for whole labels here")
    except ValueError as error:
        expected = 'a host such as "example.com" or "*.example.com", or a network such as "10.0.0.0/8"'
        report.wrong(path, rule, f"{expected} ({error})")
        return rule
    return f"*{host.host}" if host.host_wild else host.host


def _observability(table: Any, report: Report) -> ObservabilityConfig:
    return ObservabilityConfig(**check_table(table, OBSERVABILITY, "observability", report))


def first_of(values: list[tuple[Path, Value | None]], table: str, default: Value) -> Value:
    """The value of the first file that has the table; a second file that says otherwise is a `ConfigError`."""
    found = [(file, value) for file, value in values if value is not None]
    for file, value in found[1:]:
        if value != found[0][1]:
            raise ConfigError(
                f"{file}: {table}: this table differs from the one in {found[0][0]}; a gateway has one [{table}]: "
                "keep it in one of the files"
            )
    return found[0][1] if found else default
