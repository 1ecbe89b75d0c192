"""Whose code a frame on a stack is: where author code may be interrupted, and where never."""

import asyncio
import threading
from enum import Enum
from pathlib import Path
from typing import Final


class Kind(Enum):
    """What it means when a frame of such code stands on an interrupted stack."""

    AUTHORS = 0
    """Author code, and what libraries do for it."""
    THIN = 1
    """Runtime code that only calls author code; it holds nothing that could be lost."""
    LOCKS = 2
    """Library code that takes and gives back locks that all share: not interrupted itself, but what it calls is."""
    CLOSED = 3
    """The runtime and the import system: neither they nor what they call are interrupted."""


_RUNTIME: Final = str(Path(__file__).resolve().parents[1]) + "/"
_THIN: Final = (_RUNTIME + "workers/faces.py", _RUNTIME + "workers/streams.py")
_STDLIB: Final = str(Path(threading.__file__).parent) + "/"
ASYNCIO: Final = str(Path(asyncio.__file__).parent) + "/"
_LOCKS: Final = (ASYNCIO, threading.__file__, _STDLIB + "logging/", _STDLIB + "concurrent/")


def kind_of(file: str) -> Kind:
    """Judge a frame by the file of its code."""
    if file in _THIN:
        return Kind.THIN
    if file.startswith((_RUNTIME, "<frozen importlib")):
        return Kind.CLOSED
    return Kind.LOCKS if file.startswith(_LOCKS) else Kind.AUTHORS
