"""Arguments that several verbs share."""

import argparse
from pathlib import Path

LEVELS = ("debug", "info", "warning", "error")


def add_config(parser: argparse.ArgumentParser) -> None:
    """Where the configuration is."""
    parser.add_argument(
        "-c",
        "--config",
        type=Path,
        action="append",
        metavar="FILE",
        help="configuration file; repeat it to put several workers into one gateway",
    )
    parser.add_argument("-e", "--env", metavar="NAME", help="use the [env.NAME] of the configuration")


def add_address(parser: argparse.ArgumentParser, ip: str, port: str) -> None:
    """Where to listen."""
    parser.add_argument("--ip", help=f"address to listen on (default: {ip})")
    parser.add_argument("--port", type=_port, help=f"port to listen on; 0 picks a free one (default: {port})")


def add_log_level(parser: argparse.ArgumentParser) -> None:
    """How much is logged."""
    parser.add_argument("--log-level", choices=LEVELS, default="info", help="what is logged at least (default: info)")


def count(text: str) -> int:
    """A number of at least one."""
    number = _number(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is too small; expected a number of at least 1")
    return number


def variable(text: str) -> tuple[str, str]:
    """`NAME:VALUE`, as wrangler writes it."""
    name, colon, value = text.partition(":")
    if not name or not colon:
        raise argparse.ArgumentTypeError(f"{text!r} is no variable; expected NAME:VALUE, such as --var GREETING:hello")
    return name, value


def _port(text: str) -> int:
    number = _number(text)
    if not 0 <= number <= 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port; expected a number from 0 (any free one) to 65535")
    return number


def _number(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number") from None
