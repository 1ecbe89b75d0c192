"""How each service of the shop behaves: latency, failure rate, size; set at start, while it runs, or per request."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace

LATENCY_MS_MAX = 600_000
SIZE_KB_MAX = 65_536


@dataclass(frozen=True, slots=True)
class Knobs:
    """The behaviour of one service; `fail` is the share of requests that get a 503, `size_kb` pads the answer."""

    latency_ms: float = 0
    fail: float = 0
    size_kb: float = 0

    def turned(self, wanted: Mapping[str, str]) -> "Knobs":
        """These knobs with those of `wanted` that are knobs set anew; `ValueError` names a value that cannot be."""
        changes = {field.name: _value(field.name, wanted[field.name]) for field in fields(self) if field.name in wanted}
        return replace(self, **changes) if changes else self


DEFAULTS = {
    "catalogue": Knobs(latency_ms=100),
    "prices": Knobs(latency_ms=120),
    "stock": Knobs(latency_ms=140),
    "recommendations": Knobs(latency_ms=160),
    "reviews": Knobs(latency_ms=180),
}

_MAXIMA = {"latency_ms": LATENCY_MS_MAX, "fail": 1, "size_kb": SIZE_KB_MAX}


class Failures:
    """Spreads failures evenly instead of at random, so that two runs are alike: 0.1 fails each tenth request."""

    def __init__(self) -> None:
        self._owed: dict[str, float] = {}

    def due(self, service: str, rate: float) -> bool:
        """Whether this request is the one that fails."""
        owed = self._owed.get(service, 0.0) + rate
        # Ten times 0.1 is a little less than 1 in floating point.
        due = owed > 1 - 1e-9
        self._owed[service] = owed - 1 if due else owed
        return due


def _value(name: str, text: str) -> float:
    maximum = _MAXIMA[name]
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= maximum:
        raise ValueError(f"{name}={text!r} is not a number from 0 to {maximum}")
    return value
