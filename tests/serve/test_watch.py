"""Watching: what counts as a change."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from atoll.serve.watch import Changes, Watch, Watched

WITHIN_S = 5.0


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "a.py").write_text("a = 1\n")
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "b.py").write_text("b = 1\n")
    for hidden in (".git", ".venv", "__pycache__", "node_modules", "python_modules", "env"):
        (tmp_path / hidden).mkdir()
    (tmp_path / "env" / "pyvenv.cfg").write_text("")
    return tmp_path


@pytest.fixture
async def changes(root: Path) -> AsyncIterator[AsyncIterator[Changes]]:
    watch = Watch(Watched(frozenset({root}), frozenset({root / "wrangler-like.toml", root / ".dev.vars"})))
    found = watch.changes()
    yield found
    await found.aclose()  # type: ignore[attr-defined]


async def following(changes: AsyncIterator[Changes]) -> Changes:
    async with asyncio.timeout(WITHIN_S):
        return await anext(changes)


async def test_a_changed_module_is_found_wherever_it_stands(root: Path, changes: AsyncIterator[Changes]) -> None:
    """Modules of the root and of its packages, and none of the configuration's files."""
    (root / "package" / "b.py").write_text("b = 2\n")
    assert await following(changes) == Changes(frozenset({root / "package" / "b.py"}), frozenset())


async def test_a_file_of_the_configuration_need_not_exist_yet(root: Path, changes: AsyncIterator[Changes]) -> None:
    """The first .dev.vars is a change of the configuration."""
    (root / ".dev.vars").write_text("A=1\n")
    assert await following(changes) == Changes(frozenset(), frozenset({root / ".dev.vars"}))


async def test_new_folders_are_watched_and_removed_files_are_changes(
    root: Path, changes: AsyncIterator[Changes]
) -> None:
    """A package that appears is part of the root; one that goes is missed."""
    (root / "new").mkdir()
    (root / "new" / "c.py").write_text("")
    assert (await following(changes)).modules == {root / "new" / "c.py"}
    (root / "new" / "c.py").write_text("c = 2\n")
    assert (await following(changes)).modules == {root / "new" / "c.py"}
    (root / "new" / "c.py").unlink()
    assert (await following(changes)).modules == {root / "new" / "c.py"}


async def test_what_is_not_the_authors_is_no_change(root: Path, changes: AsyncIterator[Changes]) -> None:
    """Hidden folders, caches, environments, vendored packages and other kinds of file wake nobody."""
    for folder in (".git", ".venv", "__pycache__", "node_modules", "python_modules", "env"):
        (root / folder / "x.py").write_text("")
    (root / "notes.txt").write_text("")
    (root / "a.py.swp").write_text("")
    (root / "a.py").write_text("a = 2\n")
    assert await following(changes) == Changes(frozenset({root / "a.py"}), frozenset())


async def test_an_editors_rename_over_the_file_is_a_change(root: Path, changes: AsyncIterator[Changes]) -> None:
    """Editors write a new file and move it over the old one; times may be equal, the inode is not."""
    (root / "a.py~").write_text("a = 3\n")
    (root / "a.py~").rename(root / "a.py")
    assert (await following(changes)).modules == {root / "a.py"}
