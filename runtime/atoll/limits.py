"""The limits of an invocation, each a named number with its unit, and the budget that is spent against them.

Source: Cloudflare's published Workers limits for the words and the defaults that they share (50 subrequests,
128 MB, 30 s of waitUntil, 20 redirects, depth 16); the other defaults are Atoll's own.
"""

from typing import Annotated, Final

import msgspec

from atoll.errors import TooManySubrequests

REDIRECTS_MAX: Final = 20
DEPTH_MAX: Final = 16
RESERVE_SHARE: Final = 0.15
RESERVE_MS_MAX: Final = 250.0


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one invocation of a worker may use; the table `[limits]` of the configuration.

    Units stand in the names. 0 of `body_ms` means no bound.
    """

    subrequests: Annotated[int, msgspec.Meta(ge=0, le=10_000_000)] = 50
    connections: Annotated[int, msgspec.Meta(ge=1, le=1_000)] = 50
    cpu_ms: Annotated[int, msgspec.Meta(ge=1, le=300_000)] = 50
    hold_ms: Annotated[int, msgspec.Meta(ge=10, le=60_000)] = 1_000
    wall_ms: Annotated[int, msgspec.Meta(ge=1, le=900_000)] = 30_000
    body_idle_ms: Annotated[int, msgspec.Meta(ge=1, le=900_000)] = 30_000
    body_ms: Annotated[int, msgspec.Meta(ge=0, le=86_400_000)] = 0
    memory_mb: Annotated[int, msgspec.Meta(ge=16, le=65_536)] = 128
    startup_ms: Annotated[int, msgspec.Meta(ge=1, le=60_000)] = 1_000
    request_body_mb: Annotated[int, msgspec.Meta(ge=0, le=65_536)] = 100
    log_kb: Annotated[int, msgspec.Meta(ge=0, le=1_048_576)] = 256
    wait_until_s: Annotated[int, msgspec.Meta(ge=0, le=900)] = 30

    @property
    def reserve_s(self) -> float:
        """Seconds kept before `wall_ms` in which a handler can still answer with what came."""
        return min(RESERVE_SHARE * self.wall_ms, RESERVE_MS_MAX) / 1000


class Budget:
    """What one invocation has spent, and may still spend.

    `cpu_ns` is CPU time of the author's code in nanoseconds, added by the meter after each task step.
    `subrequests` counts all that left, including redirect hops. The budget is read to decide an outcome;
    exceptions that come out of author code are not trusted for that.
    """

    __slots__ = ("cpu_ns", "cpu_ns_max", "limits", "subrequests", "subrequests_max", "waiting")

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.cpu_ns = 0
        self.cpu_ns_max = limits.cpu_ms * 1_000_000
        self.subrequests = 0
        self.subrequests_max = limits.subrequests
        self.waiting = 0
        """Subrequests that wait for response headers now; kept under `limits.connections` by `fetch.metered`."""

    def charge_subrequest(self) -> None:
        """Count one subrequest before it leaves; `TooManySubrequests` when the cap is reached."""
        if self.subrequests >= self.subrequests_max:
            raise TooManySubrequests(self.subrequests_max)
        self.subrequests += 1

    @property
    def cpu_ms(self) -> float:
        """CPU time of the author's code so far, in milliseconds."""
        return self.cpu_ns / 1_000_000

    def __repr__(self) -> str:
        return (
            f"<Budget cpu {self.cpu_ms:.1f}/{self.limits.cpu_ms} ms, "
            f"subrequests {self.subrequests}/{self.subrequests_max}>"
        )
