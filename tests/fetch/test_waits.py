"""Waits counted in ticks: each runs out once, and no timer is left behind."""

from atoll.fetch.waits import Waits, ticks_of


class Patient:
    def __init__(self) -> None:
        self.ran = 0

    def ran_out(self) -> None:
        self.ran += 1


async def test_a_wait_runs_out_after_its_ticks() -> None:
    """Not before its time is surely over, once, and without disturbing the others."""
    waits, one, two = Waits(), Patient(), Patient()
    waits.begin(one, 250)
    waits.begin(two, 10_000)
    for _ in range(ticks_of(250) - 1):
        waits.tick()
    assert one.ran == 0
    for _ in range(10):
        waits.tick()
    assert (one.ran, two.ran, len(waits)) == (1, 0, 1)
    waits.close()
    assert len(waits) == 0


async def test_ended_and_unbounded_waits_do_not_run_out() -> None:
    """A wait that ended, began again or has no bound is not told."""
    waits, ended, again, unbounded = Waits(), Patient(), Patient(), Patient()
    waits.begin(ended, 100)
    waits.begin(again, 100)
    waits.begin(unbounded, 0)
    waits.end(ended)
    waits.end(unbounded)
    for _ in range(20):
        waits.begin(again, 100)
        waits.tick()
    assert (ended.ran, again.ran, unbounded.ran) == (0, 0, 0)
    waits.close()


def test_ticks_cover_the_time() -> None:
    """The first tick may come at once, so that one more is needed than the time has."""
    assert [ticks_of(ms) for ms in (1, 100, 101, 1_000)] == [2, 2, 3, 11]
