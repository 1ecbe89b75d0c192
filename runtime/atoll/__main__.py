"""`python -m atoll` is the same as the `atoll` command."""

import sys

from atoll.cli import main

if __name__ == "__main__":
    sys.exit(main())
