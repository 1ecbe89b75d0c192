"""fastify with undici on Node."""

import shutil
from functools import partial
from typing import Final

from bench.peers import npm
from bench.peers.peer import INSTALLED, PEERS, Peer, Place, program, said

_FOLDER: Final = "node_fastify"


def _version() -> str:
    packages = ", ".join(npm.version(_FOLDER, name) for name in ("fastify", "undici"))
    return f"{packages}, Node {said(program('node'), '--version')}"


def _command(place: Place) -> list[str]:
    # Node looks for packages from where the program lies, not from where it runs.
    return [program("node"), str(shutil.copy(PEERS / _FOLDER / "gateway.mjs", INSTALLED / _FOLDER))]


PEER: Final = Peer("Node + fastify + undici", _version, _command, goal=1.0, install=partial(npm.install, _FOLDER))
