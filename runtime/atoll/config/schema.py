"""Which keys the tables of the file may have, and what becomes of each: data only.

A key is known with a type, harmless (it concerns wrangler's build or Cloudflare's network and changes nothing
here), later (part of Atoll's plan but not built, so it must not be taken in silence), or a binding kind that
Atoll does not have, which stops the start.
Source: wrangler's configuration reference; wrangler-like.toml for Atoll's own keys.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final

import msgspec

from atoll.config.values import (
    Date,
    DevConfig,
    FetchConfig,
    GatewayConfig,
    Isolation,
    Name,
    ObservabilityConfig,
)
from atoll.limits import Limits


@dataclass(frozen=True)
class Table:
    """The keys of one table: `keys` with a type, or a Table where a table is expected."""

    keys: Mapping[str, Any]
    harmless: frozenset[str] = frozenset()
    later: frozenset[str] = frozenset()
    misplaced: frozenset[str] = frozenset()
    """Keys that have their meaning at the top level of the file only."""

    @property
    def known(self) -> list[str]:
        """Every key that is worth proposing where an unknown one was read."""
        return sorted({*self.keys, *self.harmless, *self.later})


def _types(struct: type[msgspec.Struct]) -> dict[str, Any]:
    return {field.name: field.type for field in msgspec.structs.fields(struct)}


BINDINGS: Final = {
    "ai": "Workers AI",
    "analytics_engine_datasets": "Analytics Engine dataset",
    "assets": "static assets",
    "browser": "browser rendering",
    "cloudchamber": "Cloudchamber",
    "containers": "container",
    "d1_databases": "D1 database",
    "data_blobs": "data blob",
    "dispatch_namespaces": "dispatch namespace",
    "durable_objects": "Durable Object",
    "hyperdrive": "Hyperdrive",
    "images": "Images",
    "kv_namespaces": "KV namespace",
    "logfwdr": "log forwarder",
    "media": "Media",
    "migrations": "Durable Object migration",
    "mtls_certificates": "mTLS certificate",
    "pages_build_output_dir": "Pages project",
    "pipelines": "pipeline",
    "queues": "queue",
    "r2_buckets": "R2 bucket",
    "ratelimits": "rate limit",
    "secrets_store_secrets": "Secrets Store secret",
    "send_email": "email sender",
    "services": "service",
    "site": "Workers Site",
    "streaming_tail_consumers": "streaming tail consumer",
    "tail_consumers": "tail consumer",
    "text_blobs": "text blob",
    "triggers": "cron trigger",
    "unsafe": "unsafe binding",
    "vectorize": "Vectorize index",
    "version_metadata": "version metadata",
    "vpc_services": "VPC service",
    "wasm_modules": "Wasm module",
    "worker_loaders": "worker loader",
    "workflows": "workflow",
}
"""Kinds of binding and trigger that Atoll does not have yet, with what to call one."""

INHERITED_BINDINGS: Final = frozenset({"migrations", "pages_build_output_dir", "site", "triggers", "assets"})
NOT_INHERITED: Final = (frozenset(BINDINGS) | {"vars", "secrets"}) - INHERITED_BINDINGS
"""Keys that an `env.<name>` table does not take over from the level above it."""

_WRANGLERS_OWN: Final = frozenset(
    {
        "$schema", "account_id", "alias", "base_dir", "build", "cloudflare_api_base_url", "compliance_region", "define",
        "find_additional_modules", "first_party_worker", "jsx_factory", "jsx_fragment", "keep_names", "keep_vars",
        "legacy_env", "logpush", "minify", "no_bundle", "node_compat", "placement", "preserve_file_names",
        "preview_urls", "python_modules", "rules", "send_metrics", "tsconfig", "upload_source_maps", "usage_model",
        "workers_dev", "zone_id",
    }
)  # fmt: skip
_FILE_TABLES: Final = frozenset({"gateway", "fetch", "dev", "engine"})
_OBSERVED: Final = frozenset({"enabled", "head_sampling_rate", "logs"})
_OBSERVED_LATER: Final = frozenset({"metrics", "traces"})
_WORKER_KEYS: Final[dict[str, Any]] = {
    "name": Name,
    "main": Annotated[str, msgspec.Meta(min_length=1, description="the path of a Python file")],
    "isolation": Isolation,
    "route": Any,
    "routes": list[Any],
    "vars": dict[str, Any],
    "secrets": Table({"required": list[str]}),
    "limits": Table(_types(Limits)),
    "compatibility_date": Date,
    "compatibility_flags": list[str],
    "observability": Table({}, _OBSERVED, _OBSERVED_LATER, misplaced=frozenset({"log"})),
    **dict.fromkeys(BINDINGS, Any),
}

ENV: Final = Table(_WORKER_KEYS, harmless=_WRANGLERS_OWN, misplaced=_FILE_TABLES | {"env", "worker"})
WORKER: Final = Table({**_WORKER_KEYS, "env": dict[str, Any]}, _WRANGLERS_OWN, misplaced=_FILE_TABLES | {"worker"})
TOP: Final = Table(
    {**WORKER.keys, "worker": list[dict[str, Any]], **dict.fromkeys(_FILE_TABLES | {"observability"}, Any)},
    _WRANGLERS_OWN,
)
ROUTE: Final = Table(
    {"pattern": str, "custom_domain": bool},
    harmless=frozenset({"zone_id", "zone_name", "enabled", "previews_enabled"}),
)

_GATEWAY: Final = _types(GatewayConfig)
GATEWAY: Final = Table(
    {"listen": str, **{key: kind for key, kind in _GATEWAY.items() if key not in ("ip", "port")}},
    later=frozenset(
        {"unix", "connections_per_client", "trusted_proxies", "tls", "origin", "admin", "canary_percent"}
    ),
)  # fmt: skip
FETCH: Final = Table(
    {
        **_types(FetchConfig),
        "ca_file": str,
        "allow": list[str],
        "deny": list[str],
        "http2": list[str],
        "proxy": str,
        "no_proxy": list[str],
        "unix": dict[str, str],
    },
    later=frozenset({"retry_budget_percent", "breaker"}),
)
DEV: Final = Table(
    _types(DevConfig),
    harmless=frozenset(
        {"local_protocol", "upstream_protocol", "host", "inspector_port", "inspector_ip", "enable_containers",
         "container_engine", "generate_types"}
    ),
)  # fmt: skip
ENGINE: Final = Table({}, later=frozenset({"url"}))
OBSERVABILITY: Final = Table(_types(ObservabilityConfig), _OBSERVED, _OBSERVED_LATER)
