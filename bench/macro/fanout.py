"""CPU per request of gateways that fan out to small JSON upstreams, with their throughput and latencies.

Each gateway runs in one process (or as few as it can) on one core, with access logs off; its upstream and the load
share another core. Every answer is checked. The gateways take turns, round after round.
"""

from collections.abc import Sequence
from typing import Final

from bench.macro.programs import Site, raise_files_limit, running
from bench.macro.sampling import Load, gateways_table, take
from bench.options import Options
from bench.report import Figure, Table

_COLUMNS: Final = ("gateway", "CPU µs/request", "requests/s", "p50 ms", "p99 ms", "Atoll's CPU / its CPU")
_GOALS_AT: Final = 10
_SPARE_FILES: Final = 200


def run(options: Options) -> list[Table]:
    """Fan-out 0, 1, 10 and 50 over 32 connections, and 10 over 1 and 256."""
    cells = [(0, 2), (2, 2)] if options.scale == "tiny" else [(0, 32), (1, 32), (10, 32), (50, 32), (10, 1), (10, 256)]
    with running(options.gateways) as site:
        return [gateways_table(site), *(_cell(site, fan_out, connections, options) for fan_out, connections in cells)]


def _cell(site: Site, fan_out: int, connections: int, options: Options) -> Table:
    load = Load(options.sample_s, connections, fan_out)
    table = Table(f"Fan-out {fan_out}, {connections} connection{'s' if connections > 1 else ''}", _COLUMNS)
    needed, files_max = connections * (fan_out + 1) + _SPARE_FILES, raise_files_limit()
    if needed > files_max:
        table.notes.append(f"Skipped: it needs {needed} open files, and the limit is {files_max} (ulimit -Hn).")
        return table
    samples = take(load, site, options.rounds, table)
    for name, found in samples.of.items():
        table.rows.append(
            (
                name,
                _figure([one.cpu_s / one.count * 1e6 for one in found]),
                _figure([one.count / one.wall_s for one in found]),
                _figure([one.p50_ms for one in found]),
                _figure([one.p99_ms for one in found]),
                samples.ratio(name, with_goal=fan_out == _GOALS_AT),
            )
        )
    return table


def _figure(samples: Sequence[float]) -> Figure:
    return Figure(tuple(samples))
