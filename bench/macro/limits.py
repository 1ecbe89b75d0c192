"""What the limits cost: Atoll beside itself without them, for a request that fans out to ten upstreams.

All of them run with `isolation = "worker"`, so that what isolates cost is not in it; Atoll as it is by default stands
beside them. Source of the goal: enforcing limits is what Atoll is for, and should cost less than what a faster
machine is worth.
"""

import sys
from typing import Final

from bench.macro.programs import running
from bench.macro.sampling import Load, gateways_table, take
from bench.options import Options
from bench.peers.catalogue import ATOLL, configuration, serve
from bench.peers.peer import Peer, Place
from bench.report import Figure, Table

LIMITED: Final = "Atoll, isolation = worker"
_GOAL: Final = 1.15
_WORKER: Final = 'isolation = "worker"'
_FAN_OUT: Final = 10
_CONNECTIONS: Final = 32


def run(options: Options) -> list[Table]:
    """Fan-out 10 over 32 connections."""
    limited = Peer(LIMITED, ATOLL.version, lambda place: serve(place, _WORKER), goal=None)
    unlimited = Peer("the same without limits", ATOLL.version, _unlimited, goal=None)
    table = Table(
        f"What limits cost: fan-out {_FAN_OUT}, {_CONNECTIONS} connections",
        ("gateway", "CPU µs/request", "CPU / that without limits"),
    )
    with running((ATOLL, limited, unlimited)) as site:
        fan_out, connections = (2, 2) if options.scale == "tiny" else (_FAN_OUT, _CONNECTIONS)
        found = take(Load(options.sample_s, connections, fan_out), site, options.rounds, table).of
        least = found[unlimited.name]
        for name, samples in found.items():
            shares = tuple(
                (one.cpu_s / one.count) / (other.cpu_s / other.count) for one, other in zip(samples, least, strict=True)
            )
            table.rows.append(
                (
                    name,
                    Figure(tuple(one.cpu_s / one.count * 1e6 for one in samples)),
                    "" if name == unlimited.name else Figure(shares, _GOAL if name == LIMITED else None),
                )
            )
        return [gateways_table(site), table]


def _unlimited(place: Place) -> list[str]:
    return [sys.executable, "-m", "bench.macro.unlimited", str(configuration(place, _WORKER)), str(place.port)]
