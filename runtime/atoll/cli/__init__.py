"""The command line: one file a verb; each parses its arguments and calls `serve`.

Rules of this room: what is imported here is imported by `atoll --help` too, so that the verbs import what they
run when they run it.
"""

import argparse
import difflib
import sys
from collections.abc import Sequence
from typing import Final

from atoll import __version__
from atoll.cli import check, dev, serve
from atoll.errors import AtollError

OK: Final = 0
FAILED: Final = 1
USAGE: Final = 2
INTERRUPTED: Final = 130

_VERBS: Final = {"dev": dev, "serve": serve, "check": check}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the verb that the command line names; the exit status."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    parser = _parser()
    if words[:1] == ["help"]:
        words = [*words[1:2], "--help"]
    if not words:
        parser.print_help()
        return USAGE
    if not words[0].startswith("-") and words[0] not in _VERBS:
        print(_unknown(words[0]), file=sys.stderr)
        return USAGE
    options = parser.parse_args(words)
    try:
        status: int = options.run(options)
    except AtollError as error:
        print(f"atoll: {error}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        return INTERRUPTED
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="atoll",
        description="A Workers-like runtime for Python.",
        epilog="`atoll help VERB` tells more of one verb. The configuration is read from wrangler-like.toml, "
        "wrangler.toml, wrangler.jsonc or wrangler.json in the current directory.",
    )
    parser.add_argument("--version", action="version", version=f"atoll {__version__}")
    verbs = parser.add_subparsers(title="verbs", metavar="VERB", required=True)
    for name, verb in _VERBS.items():
        own = verbs.add_parser(
            name,
            help=verb.SUMMARY,
            description=verb.DESCRIPTION,
            epilog=verb.EXAMPLES,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        verb.add_arguments(own)
        own.set_defaults(run=verb.run)
    return parser


def _unknown(word: str) -> str:
    near = difflib.get_close_matches(word, [*_VERBS, "help"], n=1)
    meant = f" Did you mean `atoll {near[0]}`?" if near else ""
    return f"atoll: there is no verb {word!r}.{meant} The verbs are {', '.join(_VERBS)}; `atoll help` tells more."
