"""FastAPI with httpx on uvicorn, in a virtual environment of its own."""

import sys
from typing import Final

from bench.peers.peer import INSTALLED, PEERS, Peer, Place, installed, said

_HERE: Final = PEERS / "fastapi_httpx"
_PYTHON: Final = "fastapi_httpx/bin/python"
_VERSIONS: Final = """
import sys
from importlib.metadata import version
names = ("fastapi", "uvicorn", "httpx", "uvloop", "orjson")
print(", ".join(f"{name} {version(name)}" for name in names) + f", Python {sys.version.split()[0]}")
"""


def _install() -> None:
    there = INSTALLED / "fastapi_httpx"
    said(sys.executable, "-m", "venv", str(there))
    python = str(there / "bin/python")
    said(python, "-m", "pip", "install", "--disable-pip-version-check", "-r", str(_HERE / "requirements.txt"))


def _version() -> str:
    return said(installed(_PYTHON), "-c", _VERSIONS)


def _command(place: Place) -> list[str]:
    where = ["--app-dir", str(_HERE), "--port", str(place.port), "--backlog", "4096"]
    how = [
        "--loop",
        "uvloop",
        "--http",
        "httptools",
        "--no-access-log",
        "--log-level",
        "warning",
        "--timeout-keep-alive",
        "600",
    ]
    return [installed(_PYTHON), "-m", "uvicorn", "gateway:app", *where, *how]


PEER: Final = Peer("FastAPI + httpx", _version, _command, goal=0.05, install=_install)
