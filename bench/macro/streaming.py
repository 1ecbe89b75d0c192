"""Bodies that pass through: megabytes per second, CPU per gigabyte, and the time to the first byte.

The handler returns the upstream's response unread. The bytes are compared with what the upstream sends.
"""

from typing import Final

from bench.macro.programs import running
from bench.macro.sampling import Load, gateways_table, take
from bench.options import Options
from bench.report import Figure, Table

_COLUMNS: Final = ("gateway", "CPU s/GB", "MB/s", "first byte ms", "Atoll's CPU / its CPU")
_SMALL_BYTES: Final = 1_000_000


def run(options: Options) -> list[Table]:
    """One stream of 1 GB for throughput and CPU; streams of 1 MB, one after the other, for the first byte."""
    size = {"tiny": 3_000_000, "quick": 200_000_000, "full": 1_000_000_000}[options.scale]
    with running(options.gateways) as site:
        table = Table(f"A stream of {size // 1_000_000} MB passed through, over one connection", _COLUMNS)
        large = take(Load(0, bytes=size), site, options.rounds, table)
        small = take(Load(options.sample_s / 2, bytes=_SMALL_BYTES), site, options.rounds, table)
        for name, found in large.of.items():
            first = small.of.get(name)
            table.rows.append(
                (
                    name,
                    Figure(tuple(one.cpu_s / one.count / size * 1e9 for one in found)),
                    Figure(tuple(one.count * size / one.wall_s / 1e6 for one in found)),
                    Figure(tuple(one.first_byte_ms for one in first)) if first else "",
                    large.ratio(name, with_goal=False),
                )
            )
        table.notes.append(
            f"The first byte is that of streams of {_SMALL_BYTES // 1_000_000} MB. "
            "Upstream and load share a core, so MB/s says little about a gateway that has time left."
        )
        return [gateways_table(site), table]
