"""`atoll dev`: run the workers locally."""

import argparse
from typing import Final

from atoll.cli.arguments import add_address, add_config, add_log_level, variable

SUMMARY: Final = "run the workers locally; what you save is live at once"
DESCRIPTION: Final = "Run the workers of the configuration locally. Saved code and configuration are live at once."
EXAMPLES: Final = """examples:
  atoll dev                            what the configuration in this directory says
  atoll dev --port 0                   any free port; the line that says ready names it
  atoll dev -c a.toml -c b.toml        two workers in one gateway
  atoll dev --var GREETING:hello       set a variable of every worker's env

keys: [b] open a browser  [c] clear console  [x] to exit"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_config(parser)
    add_address(parser, "[dev] ip, localhost", "[dev] port, 8787")
    parser.add_argument(
        "--var", type=variable, action="append", default=[], metavar="NAME:VALUE", help="set a variable; repeatable"
    )
    parser.add_argument(
        "--inspect", action="store_true", help="suspend time limits while a debugger is attached, as by breakpoint()"
    )
    add_log_level(parser)


def run(options: argparse.Namespace) -> int:
    from atoll.serve.dev import DevOptions, dev

    return dev(
        DevOptions(
            config=options.config,
            env=options.env,
            ip=options.ip,
            port=options.port,
            vars=dict(options.var),
            log_level=options.log_level,
            inspect=options.inspect,
        )
    )
