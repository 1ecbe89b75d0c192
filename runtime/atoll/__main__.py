"""`python -m atoll` is the same as the `atoll` command."""

import sys

from atoll.cli import main

if __name__ == "__main__":
    # `-m` puts the current directory first; a worker's `calendar.py` there must not stand in for the library's.
    if not sys.flags.safe_path:
        del sys.path[0]
    sys.exit(main())
