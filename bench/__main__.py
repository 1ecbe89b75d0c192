"""`python -m bench [NAME ...]` runs the named benchmarks, or all of them."""

import argparse
import importlib

from bench.report import heading, show

ALL = ("micro.isolate", "macro.fanout")


def main() -> None:
    """Parse, run, print."""
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure Atoll.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which ones: {', '.join(ALL)} (default: all)")
    parser.add_argument("--tiny", action="store_true", help="a run that only proves that it runs")
    chosen = parser.parse_args()
    unknown = set(chosen.names) - set(ALL)
    if unknown:
        parser.error(f"no benchmark is named {', '.join(sorted(unknown))}; there are {', '.join(ALL)}")
    print(heading())
    for name in chosen.names or ALL:
        module = importlib.import_module(f"bench.{name}")
        show(module.TITLE, module.run(tiny=chosen.tiny))


if __name__ == "__main__":
    main()
