"""Settings that all tests share: the event loop, and the seed of every random choice."""

import pytest


@pytest.fixture(scope="session")
def anyio_backend() -> tuple[str, dict[str, bool]]:
    """Async tests run on uvloop, as the runtime does."""
    return ("asyncio", {"use_uvloop": True})
