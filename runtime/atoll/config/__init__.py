"""The configuration: wrangler-like.toml, or wrangler's own files, read into frozen values.

Rules of this room: it reads files and judges what stands in them; it opens nothing, starts nothing and loads no
author code. Every error names file, key path, the value read and the value expected.
"""

from atoll.config.pattern import RoutePattern, parse_pattern
from atoll.config.reader import NAMES, read
from atoll.config.values import (
    Config,
    DevConfig,
    FetchConfig,
    GatewayConfig,
    Isolation,
    ObservabilityConfig,
    ProxyConfig,
    WorkerConfig,
)

__all__ = [
    "NAMES",
    "Config",
    "DevConfig",
    "FetchConfig",
    "GatewayConfig",
    "Isolation",
    "ObservabilityConfig",
    "ProxyConfig",
    "RoutePattern",
    "WorkerConfig",
    "parse_pattern",
    "read",
]
