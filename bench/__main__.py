"""`python -m bench [NAME ...]` runs the named benchmarks, or all of them; see `bench/README.md`."""

import argparse
import importlib
from pathlib import Path
from typing import Final

from bench.options import Options
from bench.report import Table, as_json, heading, save

ALL: Final = ("micro.isolate", "macro.fanout", "macro.streaming", "macro.memory", "macro.limits")


def main() -> None:
    """Run, print each table as it comes, and keep the report of a full run."""
    chosen = _parsed()
    options = Options(chosen.scale, chosen.rounds, chosen.peers)
    names = chosen.names or list(ALL)
    report = [f"# {', '.join(names)}\n", heading()]
    print(*report, sep="\n")
    tables: list[Table] = []
    for name in names:
        for table in importlib.import_module(f"bench.{name}").run(options):
            if table in tables:  # Who was measured is the same for several.
                continue
            tables.append(table)
            report.append(f"\n{table.markdown()}")
            print(report[-1], flush=True)
    if chosen.json:
        chosen.json.write_text(as_json(tables))
    if options.scale == "full":
        what = "-".join(name.partition(".")[2] for name in names) if chosen.names else "all"
        print(f"\nWritten to {save(f'{what}-peers' if options.peers else what, chr(10).join([*report, '']))}")


def _parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure Atoll, and others beside it.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which ones: {', '.join(ALL)} (default: all)")
    parser.add_argument("--peers", action="store_true", help="beside all peers, not only aiohttp; as far as installed")
    parser.add_argument("--rounds", type=int, metavar="N", help="how often everything is measured (default: 5)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every sample there, too")
    scale = parser.add_mutually_exclusive_group()
    scale.add_argument(
        "--quick", dest="scale", action="store_const", const="quick", help="an impression; no report is kept"
    )
    scale.add_argument("--tiny", dest="scale", action="store_const", const="tiny", help="only prove that it runs")
    parser.set_defaults(scale="full")
    chosen = parser.parse_args()
    unknown = set(chosen.names) - set(ALL)
    if unknown:
        parser.error(f"no benchmark is named {', '.join(sorted(unknown))}; there are {', '.join(ALL)}")
    if chosen.rounds is not None and chosen.rounds < 1:
        parser.error(f"--rounds is at least 1, not {chosen.rounds}")
    return chosen


if __name__ == "__main__":
    main()
