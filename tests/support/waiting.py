"""Waiting for a fact: polls with a deadline, so that a test neither sleeps too long nor hangs."""

import asyncio
import inspect
import time
from collections.abc import Callable
from typing import Any

POLL_S = 0.005


async def eventually(fact: Callable[[], Any], within_s: float = 5.0, *, what: str = "") -> Any:
    """Poll until `fact()`, awaited if it is a coroutine, is true, and return it.

    Once the time is up, `AssertionError` names `what` was waited for and what the fact was last.
    """
    deadline_s = time.monotonic() + within_s
    while True:
        found = fact()
        if inspect.isawaitable(found):
            found = await found
        if found:
            return found
        if time.monotonic() > deadline_s:
            raise AssertionError(f"not within {within_s:g} s: {what or fact}; it was {found!r}")
        await asyncio.sleep(POLL_S)
