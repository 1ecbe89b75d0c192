"""Invocations and a place for log lines."""

import os
from collections.abc import Callable, Iterator

import pytest


@pytest.fixture
def written() -> Iterator[tuple[int, Callable[[], str]]]:
    """A descriptor to log to, and what has been written to it so far."""
    fd = os.memfd_create("log")
    yield fd, lambda: os.pread(fd, 1 << 24, 0).decode()
    os.close(fd)
