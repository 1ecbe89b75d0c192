"""Names to addresses: literals, look-ups shared and remembered, and what cannot be resolved."""

import asyncio
import socket

import pytest

from atoll.errors import ConnectFailed
from atoll.fetch.resolve import ENTRIES_MAX, FRESH_S, Resolver


class Hand:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.mark.parametrize(
    ("literal", "family"), [("127.0.0.1", socket.AF_INET), ("::1", socket.AF_INET6), ("::ffff:7f00:1", socket.AF_INET6)]
)
async def test_literals_need_no_look_up(literal: str, family: int) -> None:
    """An address in the URL is its own answer."""
    [info] = await Resolver(Hand()).resolve(literal, 80)
    assert (info[0], info[4][:2]) == (family, (literal, 80))


async def test_one_look_up_serves_all_and_is_remembered_for_a_while() -> None:
    """Who asks at the same time shares an answer; after FRESH_S it is asked for anew."""
    clock = Hand()
    resolver = Resolver(clock)
    first, second = await asyncio.gather(resolver.resolve("localhost", 80), resolver.resolve("localhost", 80))
    assert first is second
    assert {info[4][0] for info in first} <= {"127.0.0.1", "::1"}
    clock.now_s += FRESH_S - 0.1
    assert await resolver.resolve("localhost", 80) is first
    clock.now_s += 0.2
    assert await resolver.resolve("localhost", 80) is not first
    assert {info[4][1] for info in await resolver.resolve("localhost", 81)} == {81}


async def test_a_cancelled_look_up_takes_nothing_from_the_others() -> None:
    """One of two who asked is cancelled; the other gets its answer."""
    resolver = Resolver(Hand())
    one = asyncio.create_task(resolver.resolve("localhost", 80))
    two = asyncio.create_task(resolver.resolve("localhost", 80))
    await asyncio.sleep(0)
    one.cancel()
    assert await two
    with pytest.raises(asyncio.CancelledError):
        await one
    await resolver.aclose()


@pytest.mark.parametrize("name", ["a" * 70 + ".test", "-\u0001"])
async def test_what_cannot_be_resolved_is_named(name: str) -> None:
    """The error says which host name it was."""
    with pytest.raises(ConnectFailed, match="host name"):
        await Resolver(Hand()).resolve(name, 80)


async def test_the_cache_is_bounded() -> None:
    """However many names are asked for, no more than ENTRIES_MAX are remembered."""
    resolver = Resolver(Hand())
    for port in range(1, ENTRIES_MAX + 20):
        resolver._remember(("localhost", port), [])
    assert len(resolver._known) == ENTRIES_MAX
    assert ("localhost", 1) not in resolver._known
