"""What the configuration says, as frozen values: comparable, complete, every default filled in.

Rules of this file: values only. Ranges stand in the types, once; the checks and the texts of errors take them
from here. Units stand in the names.
"""

import os
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

import msgspec

from atoll.limits import Limits

Isolation: TypeAlias = Literal["request", "worker"]
Name: TypeAlias = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^[a-z0-9_][a-z0-9_-]*\Z",
        max_length=255,
        description="lowercase letters, digits, dashes and underscores, 1 to 255 of them, no dash first",
    ),
]
Date: TypeAlias = Annotated[
    str, msgspec.Meta(pattern=r"^\d{4}-\d{2}-\d{2}\Z", description='a date in quotes, such as "2026-01-31"')
]
Port: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=65_535)]
Seconds: TypeAlias = Annotated[int, msgspec.Meta(ge=1, le=3_600)]


def _usable_cores() -> int:
    """Cores that this process may run on, which in a container or under taskset are fewer than the machine has."""
    return len(os.sched_getaffinity(0))


class WorkerConfig(msgspec.Struct, frozen=True, kw_only=True):
    """One worker: where its code is, what it answers, what it is given and what it may use.

    `root` is the folder of `main` and so the import root; `vars` holds vars and secrets alike, as `env` shows
    them; `file` is where the worker was declared. No routes means: whatever no other worker's route matches.
    """

    name: Name
    main: Path
    root: Path
    file: Path
    isolation: Isolation = "request"
    routes: tuple[str, ...] = ()
    vars: dict[str, Any] = {}
    limits: Limits = Limits()
    compatibility_date: Date | None = None
    compatibility_flags: tuple[str, ...] = ()

    def __repr__(self) -> str:
        # Secrets are among the vars, and what is printed ends in a log.
        return f"<WorkerConfig {self.name} main={self.main} routes={list(self.routes)} vars={sorted(self.vars)}>"


class GatewayConfig(msgspec.Struct, frozen=True, kw_only=True):
    """The front: where it listens and what it puts up with from clients; `[gateway]`."""

    ip: str = "127.0.0.1"
    port: Port = 8080
    processes: Annotated[int, msgspec.Meta(ge=1, le=1_024)] = msgspec.field(default_factory=_usable_cores)
    in_flight: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] = 1_000
    """Invocations at once in one process; past it load is shed."""
    url_kb: Annotated[int, msgspec.Meta(ge=1, le=1_024)] = 16
    headers_kb: Annotated[int, msgspec.Meta(ge=1, le=1_024)] = 128
    header_timeout_s: Seconds = 15
    body_timeout_s: Seconds = 30
    idle_timeout_s: Seconds = 75
    write_timeout_s: Seconds = 30
    connections: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] = 10_000
    """Client connections at once in one process."""
    drain_s: Annotated[int, msgspec.Meta(ge=0, le=3_600)] = 30


class ProxyConfig(msgspec.Struct, frozen=True, kw_only=True):
    """The HTTP proxy that subrequests go through; `fetch.proxy`. `authorization` is what Proxy-Authorization says."""

    hostname: str
    port: Port
    origin: str
    authorization: str | None = None

    def __repr__(self) -> str:
        # What is printed ends in a log, and the authorization is a password.
        return f"<ProxyConfig {self.origin}>"


class FetchConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Subrequests: how long each phase may take and where they may go; `[fetch]`.

    `allow` and `deny` hold host names ("example.com", "*.example.com") and networks ("10.0.0.0/8") in their
    normal form. 0 of `headers_ms` means that only the invocation's deadline bounds the wait; 0 of
    `per_origin_connections` means no bound.
    """

    connect_ms: Annotated[int, msgspec.Meta(ge=1, le=600_000)] = 10_000
    headers_ms: Annotated[int, msgspec.Meta(ge=0, le=900_000)] = 0
    idle_ms: Annotated[int, msgspec.Meta(ge=1, le=900_000)] = 30_000
    keep_alive_s: Annotated[int, msgspec.Meta(ge=0, le=3_600)] = 30
    allow: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()
    ca_file: Path | None = None
    per_origin_connections: Annotated[int, msgspec.Meta(ge=0, le=100_000)] = 0
    proxy: ProxyConfig | None = None
    no_proxy: tuple[str, ...] = ()
    """Hosts and networks, as in `allow`, that are reached without the proxy."""
    http2: tuple[str, ...] = ()
    """Hosts, with their port unless it is 443, that are fetched over HTTP/2; needs the extra `atoll[http2]`."""
    unix: dict[str, Path] = {}
    """Origins ("http://docker") that are at a Unix socket."""


class DevConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Where `atoll dev` listens; `[dev]`."""

    ip: str = "localhost"
    port: Port = 8787


class ObservabilityConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What is told of what happens; `[observability]`. None leaves the choice to the command."""

    log: Literal["json", "pretty", "off"] | None = None


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """The whole configuration of one gateway.

    `files` are all that were read, for whoever watches them; `warnings` are complete sentences for the operator.
    """

    workers: tuple[WorkerConfig, ...]
    gateway: GatewayConfig = GatewayConfig()
    fetch: FetchConfig = FetchConfig()
    dev: DevConfig = DevConfig()
    observability: ObservabilityConfig = ObservabilityConfig()
    files: tuple[Path, ...] = ()
    warnings: tuple[str, ...] = ()
    env: str | None = None
