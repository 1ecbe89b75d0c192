"""All gateways that are measured, Atoll first."""

import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path
from typing import Final

from bench.peers.aiohttp_by_hand.peer import PEER as AIOHTTP
from bench.peers.fastapi_httpx.peer import PEER as FASTAPI
from bench.peers.nginx_lua.peer import PEER as NGINX
from bench.peers.node_fastify.peer import PEER as NODE
from bench.peers.peer import ROOT, Peer, Place
from bench.peers.workerd.peer import PEER as WORKERD

# Room for what the benchmark of memory opens, and keep-alive for as long as the others have it.
_CONFIGURATION: Final = """
name = "bench"
main = "{main}"
vars = {{ UPSTREAM = "{upstream}" }}
{more}

[limits]
wall_ms = 120000

[gateway]
in_flight = 100000
connections = 100000
idle_timeout_s = 600

[fetch]
keep_alive_s = 600
"""


def _version() -> str:
    git = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True)
    commit = f" at {git.stdout.strip()}" if git.returncode == 0 else ""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    libraries = ", ".join(f"{name} {metadata.version(name)}" for name in ("aiohttp", "httptools", "uvloop"))
    return f"atoll {project['version']}{commit}, {libraries}, Python {sys.version.split()[0]}"


def configuration(place: Place, more: str = "") -> Path:
    """Write the configuration of the worker that is measured, with more keys of the worker's if there are any."""
    file = place.folder / "wrangler-like.toml"
    file.write_text(_CONFIGURATION.format(main=ROOT / "bench/macro/worker.py", upstream=place.upstream, more=more))
    return file


def serve(place: Place, more: str = "") -> list[str]:
    """The command that serves it as in production, in one process and without a log."""
    file = str(configuration(place, more))
    address = ["--ip", "127.0.0.1", "--port", str(place.port)]
    return [sys.executable, "-m", "atoll", "serve", "-c", file, *address, "--processes", "1", "--log", "off"]


ATOLL: Final = Peer("Atoll", _version, serve)
BY_DEFAULT: Final = (ATOLL, AIOHTTP)
ALL: Final = (ATOLL, AIOHTTP, FASTAPI, NODE, WORKERD, NGINX)
