"""When a dead process is replaced at once, and when later."""

from atoll.serve.crashes import CrashLoop


def test_the_third_death_in_a_short_time_waits_and_each_further_one_longer() -> None:
    """Two are replaced at once; then the pause doubles up to its longest."""
    crashes = CrashLoop()
    waits = [crashes.died(now_s=number * 0.1) for number in range(10)]
    assert waits == [0.0, 0.0, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 10.0, 10.0]


def test_deaths_long_apart_are_no_loop() -> None:
    """A process a minute that is killed for memory is replaced at once each time."""
    crashes = CrashLoop()
    assert [crashes.died(now_s=number * 60.0) for number in range(10)] == [0.0] * 10


def test_a_loop_with_its_pauses_stays_a_loop() -> None:
    """The pauses themselves do not make the deaths look far apart."""
    crashes = CrashLoop()
    now_s = 0.0
    for _ in range(50):
        now_s += crashes.died(now_s) + 0.1
    assert crashes.died(now_s) > 0.0
