"""What the peers that come from npm have in common.

No lock file is kept, for it would name the registry it was made with; package.json pins exact versions.
"""

import json
import shutil

from bench.peers.peer import INSTALLED, PEERS, installed, program, said


def install(folder: str) -> None:
    """Install what a peer's package.json names."""
    there = INSTALLED / folder
    there.mkdir(parents=True, exist_ok=True)
    shutil.copy(PEERS / folder / "package.json", there)
    said(program("npm"), "install", "--omit=dev", "--no-audit", "--no-fund", "--no-package-lock", cwd=there)


def version(folder: str, name: str) -> str:
    """Name and version of a package that is installed."""
    with open(installed(f"{folder}/node_modules/{name}/package.json"), encoding="utf-8") as file:  # noqa: PTH123
        return f"{name} {json.load(file)['version']}"
