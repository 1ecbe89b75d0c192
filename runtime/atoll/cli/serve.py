"""`atoll serve`: the gateway in production."""

import argparse
from pathlib import Path
from typing import Final

from atoll.cli.arguments import add_address, add_config, add_log_level, count

SUMMARY: Final = "run the gateway in production"
DESCRIPTION: Final = """Run the gateway in production: several processes on one socket, a log for machines.

SIGTERM or SIGINT drains (gateway.drain_s) and exits 0; a second one ends at once."""
EXAMPLES: Final = """examples:
  atoll serve                                 what the configuration in this directory says
  atoll serve --ip 0.0.0.0 --port 80          every network, port 80
  atoll serve --processes 4 --log off         four processes, no log
  atoll serve -e production --secrets-file /run/secrets/atoll"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_config(parser)
    add_address(parser, "[gateway] listen, 127.0.0.1", "[gateway] listen, 8080")
    parser.add_argument("--processes", type=count, help="how many processes ([gateway] processes; default: the cores)")
    parser.add_argument("--secrets-file", type=Path, metavar="FILE", help="read secrets from here")
    parser.add_argument("--log", choices=("json", "pretty", "off"), help="the log's form (default: json)")
    add_log_level(parser)


def run(options: argparse.Namespace) -> int:
    from atoll.serve.production import ServeOptions, serve

    return serve(
        ServeOptions(
            config=options.config,
            env=options.env,
            ip=options.ip,
            port=options.port,
            processes=options.processes,
            secrets_file=options.secrets_file,
            log=options.log,
            log_level=options.log_level,
        )
    )
