"""A folder with one worker's code in it, and a short way to write and read configurations there."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from atoll.config import Config, read


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the code of two workers."""
    (tmp_path / "main.py").write_text("")
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "other.py").write_text("")
    return tmp_path


@pytest.fixture
def reads(folder: Path) -> Callable[..., Config]:
    """Write one configuration and read it: `reads(text, name="wrangler.jsonc", env="staging", ...)`."""

    def write_and_read(text: str, name: str = "wrangler-like.toml", **options: Any) -> Config:
        (folder / name).write_text(text)
        return read([Path(name)], cwd=folder, **options)

    return write_and_read
