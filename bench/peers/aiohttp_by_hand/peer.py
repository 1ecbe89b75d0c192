"""aiohttp's server and client, in the project's own environment."""

import sys
from importlib import metadata
from typing import Final

from bench.peers.peer import Peer, Place


def _version() -> str:
    libraries = ", ".join(f"{name} {metadata.version(name)}" for name in ("aiohttp", "uvloop", "orjson"))
    return f"{libraries}, Python {sys.version.split()[0]}"


def _command(place: Place) -> list[str]:
    return [sys.executable, "-m", "bench.peers.aiohttp_by_hand.gateway"]


PEER: Final = Peer("aiohttp by hand", _version, _command, goal=0.45)
