"""Who listens on a port, as far as /proc tells: for the one error message that names them.

Source: proc(5), /proc/net/tcp and /proc/[pid]/fd.
"""

from pathlib import Path
from typing import Final

_LISTEN: Final = "0A"
_COMMAND_CHARACTERS_MAX: Final = 120


def holder_of(port: int) -> tuple[int, str] | None:
    """(pid, command line) of a process that listens on this TCP port; None where it cannot be seen."""
    sockets = {f"socket:[{inode}]" for inode in _inodes_listening(port)}
    if not sockets:
        return None
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and _holds(folder / "fd", sockets):
            return int(folder.name), _command(folder)
    return None


def _inodes_listening(port: int) -> set[str]:
    inodes: set[str] = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            lines = Path(table).read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            if fields[3] == _LISTEN and int(fields[1].rpartition(":")[2], 16) == port:
                inodes.add(fields[9])
    return inodes


def _holds(folder: Path, sockets: set[str]) -> bool:
    try:
        return any(str(link.readlink()) in sockets for link in folder.iterdir())
    except OSError:
        # Another user's process, or one that has just gone.
        return False


def _command(folder: Path) -> str:
    try:
        words = (folder / "cmdline").read_bytes().rstrip(b"\0").replace(b"\0", b" ")
    except OSError:
        return "?"
    text = words.decode(errors="backslashreplace")
    return "".join(c if c.isprintable() else "?" for c in text)[:_COMMAND_CHARACTERS_MAX]
