"""What changed on disk: authors' modules and the files of the configuration. The doorway of watchfiles.

The kernel's notice only wakes us; what counts is a snapshot of the files compared with the one before. So an
editor's temporary files and a save without a change are no change, and folders that appear are found. Folders are
watched one by one, for a recursive watch of a project would take in its virtual environment. Where no notice
comes (some network and container file systems), the snapshot is compared every `LOOK_MS`.
"""

import asyncio
import os
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Iterator
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from watchfiles import awatch

LOOK_MS: Final = 1_000
_STEP_MS: Final = 30
_DEBOUNCE_MS: Final = 120

_NOT_AUTHORS: Final = frozenset({"__pycache__", "node_modules", "python_modules", "site-packages"})

Stamp = tuple[int, int, int]


@dataclass(frozen=True)
class Watched:
    """Import roots, whose modules are watched, and single files, which need not exist yet."""

    roots: frozenset[Path]
    files: frozenset[Path]


@dataclass(frozen=True)
class Changes:
    """Which files are new, gone or different."""

    modules: frozenset[Path]
    files: frozenset[Path]


class Watch:
    """Finds changes since the last look."""

    def __init__(self, watched: Watched) -> None:
        self.aim(watched)

    def aim(self, watched: Watched) -> None:
        """Watch this from now on; what it is like now is what later looks are compared with."""
        self._watched = watched
        self._stamps, self._folders = _look(watched)

    async def changes(self) -> AsyncIterator[Changes]:
        """Every set of changes, as soon as the files have been quiet for a moment."""
        while True:
            folders = self._folders
            stop = threading.Event()
            async with aclosing(_notices(folders, stop)) as notices:
                noticed = asyncio.create_task(_next(notices))
                try:
                    # It runs until it waits, and is armed by then: what came earlier, the first look finds.
                    await asyncio.sleep(0)
                    while True:
                        changes = await self._compare()
                        if changes is not None:
                            yield changes
                        if self._folders != folders:
                            break
                        await noticed
                        noticed = asyncio.create_task(_next(notices))
                except FileNotFoundError:
                    # A folder went between the look and the watch; the next look knows.
                    pass
                finally:
                    # The thread that waits does not heed a cancellation, only this.
                    stop.set()
                    noticed.cancel()
                    await asyncio.gather(noticed, return_exceptions=True)

    async def _compare(self) -> Changes | None:
        before = self._stamps
        self._stamps, self._folders = await asyncio.to_thread(_look, self._watched)
        changed = {path for path in before.keys() | self._stamps.keys() if before.get(path) != self._stamps.get(path)}
        if not changed:
            return None
        files = frozenset(changed & self._watched.files)
        return Changes(modules=frozenset(changed - files), files=files)


def _notices(folders: set[Path], stop: threading.Event) -> AsyncGenerator[object, None]:
    return awatch(
        *folders,
        watch_filter=None,
        step=_STEP_MS,
        debounce=_DEBOUNCE_MS,
        rust_timeout=LOOK_MS,
        yield_on_timeout=True,
        recursive=False,
        ignore_permission_denied=True,
        stop_event=stop,
    )


async def _next(notices: AsyncGenerator[object, None]) -> None:
    await anext(notices)


def _look(watched: Watched) -> tuple[dict[Path, Stamp], set[Path]]:
    """The stamps of all watched files that exist, and the folders whose notices matter."""
    folders = {folder for root in watched.roots for folder in _folders(root)}
    modules = (path for folder in folders for path in _modules(folder))
    stamps = {path: stamp for path in _both(modules, watched.files) if (stamp := _stamp(path)) is not None}
    return stamps, folders | {file.parent for file in watched.files if file.parent.is_dir()}


def _both(first: Iterable[Path], second: Iterable[Path]) -> Iterator[Path]:
    yield from first
    yield from second


def _folders(root: Path) -> Iterator[Path]:
    for folder, inner, files in os.walk(root):
        if "pyvenv.cfg" in files:
            inner.clear()
            continue
        inner[:] = [name for name in inner if not name.startswith(".") and name not in _NOT_AUTHORS]
        yield Path(folder)


def _modules(folder: Path) -> Iterator[Path]:
    try:
        with os.scandir(folder) as entries:
            yield from (Path(entry.path) for entry in entries if entry.name.endswith(".py"))
    except OSError:
        # It has just been removed.
        return


def _stamp(path: Path) -> Stamp | None:
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_size, stat.st_ino
