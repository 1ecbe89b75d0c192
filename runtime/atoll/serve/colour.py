"""Whether standard output shows colours.

Source: no-color.org.
"""

import os
import sys


def colours() -> bool:
    """Whether to colour what is written to standard output."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
