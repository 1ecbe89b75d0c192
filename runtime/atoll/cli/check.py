"""`atoll check`: say whether the configuration and the workers would start, without serving."""

import argparse
from pathlib import Path
from typing import Final

from atoll.cli.arguments import add_config

SUMMARY: Final = "check the configuration and load the workers, without serving"
DESCRIPTION: Final = """Read the configuration and load every worker, without serving.

The top level of each worker runs twice, and what piles up from one run to the next is told: with one isolate a
request it would pile up with every request. Exits 0 when everything would start, else 1."""
EXAMPLES: Final = """examples:
  atoll check                                 the configuration in this directory, as `atoll dev` reads it
  atoll check -e production --secrets-file f  as `atoll serve` would read it"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_config(parser)
    parser.add_argument(
        "--secrets-file", type=Path, metavar="FILE", help="read secrets from here, and not from .dev.vars"
    )


def run(options: argparse.Namespace) -> int:
    from atoll.serve.checking import check

    return check(options.config, env=options.env, secrets_file=options.secrets_file)
