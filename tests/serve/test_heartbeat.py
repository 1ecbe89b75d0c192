"""The heartbeat: silence is counted in the supervisor's own ticks."""

from collections.abc import Iterator

import pytest

from atoll.serve.heartbeat import TICK_S, Heartbeat, Pulse


@pytest.fixture
def heartbeat() -> Iterator[Heartbeat]:
    heartbeat = Heartbeat.create()
    yield heartbeat
    heartbeat.close()


def test_silence_adds_up_and_a_beat_ends_it(heartbeat: Heartbeat) -> None:
    """A loop that stands still is silent for as long as it stands; one beat clears it."""
    pulse = Pulse(heartbeat, now_s=0.0)
    assert [pulse.feel(tick * TICK_S) for tick in (1, 2, 3)] == pytest.approx([TICK_S, 2 * TICK_S, 3 * TICK_S])
    heartbeat.beat()
    assert pulse.feel(4 * TICK_S) == 0.0


def test_the_supervisors_own_pause_is_no_silence_of_the_process(heartbeat: Heartbeat) -> None:
    """A minute in which the supervisor did not look counts as one look, so that no healthy process is killed for it."""
    pulse = Pulse(heartbeat, now_s=0.0)
    assert pulse.feel(60.0) == 2 * TICK_S
