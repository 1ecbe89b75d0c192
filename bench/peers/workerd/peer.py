"""workerd, Cloudflare's runtime for JavaScript workers, whose binary an npm package carries."""

from functools import partial
from typing import Final

from bench.peers import npm
from bench.peers.peer import PEERS, Peer, Place, installed, said

_BINARY: Final = "workerd/node_modules/.bin/workerd"


def _version() -> str:
    return said(installed(_BINARY), "--version")


def _command(place: Place) -> list[str]:
    configuration = str(PEERS / "workerd/config.capnp")
    return [installed(_BINARY), "serve", configuration, f"--socket-addr=http=127.0.0.1:{place.port}"]


PEER: Final = Peer("workerd", _version, _command, goal=0.35, install=partial(npm.install, "workerd"), files=(2, 5))
