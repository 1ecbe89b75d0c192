"""What a gateway under measurement is, to those that start it, and the words that all of them need."""

import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

PEERS: Final = Path(__file__).parent
INSTALLED: Final = PEERS / ".installed"
ROOT: Final = PEERS.parents[1]
_INSTALL_S: Final = 300


class Missing(Exception):
    """A gateway that cannot be installed or started here, and why."""


@dataclass(frozen=True)
class Place:
    """Where a gateway is to run: its port, its upstream's, a folder of its own, and how many files it may open.

    Where a peer is better off with a bound on its connections to the upstream, `connections_max` says it; 0 is none.
    """

    port: int
    upstream_port: int
    folder: Path
    files_max: int
    connections_max: int

    @property
    def upstream(self) -> str:
        return f"http://127.0.0.1:{self.upstream_port}"

    @property
    def environ(self) -> dict[str, str]:
        """What every gateway finds in its environment."""
        return {
            "PORT": str(self.port),
            "UPSTREAM": self.upstream,
            "CONNECTIONS": str(self.connections_max),
            "NODE_ENV": "production",
        }


def nothing_to_install() -> None:
    """The `install` of a gateway that the project's own environment holds."""


@dataclass(frozen=True)
class Peer:
    """One gateway; `install`, `version` and `command` raise `Missing` with the reason.

    `command` must not fork and go on as another process. `goal` is the share of the peer's CPU that Atoll may use for
    a request that fans out to ten upstreams. `files` are those that a client
    connection keeps open, and those that a request with one subrequest does.
    """

    name: str
    version: Callable[[], str]
    command: Callable[[Place], list[str]]
    goal: float | None = None
    install: Callable[[], None] = nothing_to_install
    files: tuple[int, int] = (1, 2)


def installed(path: str) -> str:
    """The path of something that `install` has put there; `Missing` if it has not."""
    found = INSTALLED / path
    if not found.exists():
        raise Missing("it is not installed; `make bench-peers` does that")
    return str(found)


def program(name: str) -> str:
    """The path of a program of the system; `Missing` if there is none."""
    found = shutil.which(name)
    if found is None:
        raise Missing(f"there is no program {name!r} here")
    return found


def said(*command: str, cwd: Path = ROOT) -> str:
    """What a command says, both streams together; `Missing` with its last words if it fails."""
    try:
        ended = subprocess.run(
            command, cwd=cwd, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=_INSTALL_S
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Missing(str(error)) from error
    if ended.returncode:
        raise Missing(f"`{' '.join(command)[:80]}` failed: {' '.join(ended.stdout.split())[-300:]}")
    return ended.stdout.strip()
