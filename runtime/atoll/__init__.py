"""Atoll: a Workers-like runtime for Python. Authors import `workers` inside their handlers; see `runtime/README.md`."""

from typing import Final

__version__: Final = "0.1.0"
