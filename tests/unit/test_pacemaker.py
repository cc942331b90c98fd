"""When a pacemaker beats for its slave, told as lists of events. The lease is 12 s, and the slave beats every 3."""

from __future__ import annotations

import pytest

from interaction.core.lease import Lease
from interaction.core.pacemaker import Pace, Pacemaker, silent

REST, LOAD, BEAT = Pace.REST, Pace.LOAD, Pace.BEAT


def begun(duration: float = 12.0, now: float = 100.0) -> Pacemaker:
    pacemaker = Pacemaker()
    pacemaker.begins(duration, 3.0, now)
    return pacemaker


def paces(pacemaker: Pacemaker, *moments: float, stopped: bool = False) -> list[Pace]:
    return [pacemaker.pace(moment, stopped) for moment in moments]


def test_it_rests_without_a_session() -> None:
    pacemaker = Pacemaker()
    pacemaker.pulse(100.0, 1, 100.0, 12.0)
    pacemaker.yielded(100.0)
    pacemaker.acknowledged(1, None, 100.0)
    assert paces(pacemaker, 0.0, 100.0, 1e9) == [REST] * 3
    assert pacemaker.next_look(100.0) is None


def test_it_rests_while_there_are_pulses_and_acknowledgements() -> None:
    pacemaker = begun()
    for beat in range(1, 50):
        now = 100.0 + 3 * beat
        assert paces(pacemaker, now) == [REST]
        pacemaker.pulse(now, beat, now - 3.0, 12.0)
        assert paces(pacemaker, now, now + 2.9) == [REST, REST]


def test_it_beats_when_the_pulses_stay_away_for_half_of_the_lease() -> None:
    assert paces(begun(), 104.7, 104.9, 105.9, 106.0, 107.0, 111.9) == [REST, LOAD, LOAD, BEAT, BEAT, BEAT]


def test_it_says_when_to_look_again() -> None:
    pacemaker = begun()
    assert pacemaker.next_look(100.0) == pytest.approx(104.8)
    assert pacemaker.pace(104.81, False) is LOAD
    assert pacemaker.next_look(104.81) == 106.0
    assert pacemaker.pace(106.0, False) is BEAT
    assert pacemaker.next_look(106.0) == 107.0, "the slave may have been stopped by then"
    pacemaker.pulse(106.5, 1, 106.5, 12.0)
    assert pacemaker.next_look(106.5) == pytest.approx(111.3)


def test_whoever_looks_when_told_misses_nothing() -> None:
    """Following `next_look` alone it beats in time, and ends in time."""
    pacemaker, now, seen = begun(), 100.0, []
    while (look := pacemaker.next_look(now)) is not None:
        assert look > now or pacemaker.pace(now, False) is BEAT
        now = max(look, now + 1e-6)
        seen.append((pacemaker.pace(now, False), now))
    assert next(moment for pace, moment in seen if pace is BEAT) == pytest.approx(106.0, abs=1e-3)
    assert 112.0 <= now <= 113.0, "when the lease is over"


def test_it_yields_to_a_pulse() -> None:
    pacemaker = begun()
    assert paces(pacemaker, 106.0) == [BEAT]
    pacemaker.pulse(107.0, 3, 106.9, 12.0)
    assert paces(pacemaker, 107.0, 111.0, 112.9, 113.0) == [REST, REST, LOAD, BEAT]


def test_it_yields_to_a_newer_stream() -> None:
    pacemaker = begun()
    assert paces(pacemaker, 106.0) == [BEAT]
    assert pacemaker.lease is not None
    pacemaker.lease.beat(106.0)
    pacemaker.acknowledged(1, None, 106.1)
    pacemaker.yielded(107.0)
    assert paces(pacemaker, 107.0, 112.9, 113.0) == [REST, LOAD, BEAT]


def test_a_pulse_counts_from_its_sending() -> None:
    """One that lay in the pipe for long says nothing about now."""
    pacemaker = begun()
    pacemaker.pulse(103.0, 1, 103.0, 12.0)
    assert paces(pacemaker, 108.9, 109.0) == [LOAD, BEAT]


def test_an_older_pulse_takes_nothing_back() -> None:
    pacemaker = begun()
    pacemaker.pulse(105.0, 4, 105.0, 12.0)
    pacemaker.pulse(103.0, 3, 103.0, 12.0)
    assert paces(pacemaker, 110.9, 111.0) == [LOAD, BEAT]
    assert pacemaker.lease is not None
    assert (pacemaker.lease.newest, pacemaker.lease.renewed_at) == (4, 105.0)


def test_it_beats_where_pulses_come_but_no_acknowledgements() -> None:
    """A loop that runs now and then, for a moment each time, sends beats and reads no answers."""
    pacemaker = begun()
    for beat in range(1, 9):
        pacemaker.pulse(100.0 + beat, beat, 100.0, 12.0)
    assert paces(pacemaker, 108.9) == [LOAD]
    pacemaker.pulse(109.0, 9, 100.0, 12.0)
    assert paces(pacemaker, 109.0) == [BEAT]


def test_it_counts_on_where_the_slave_stopped() -> None:
    pacemaker = begun()
    pacemaker.pulse(103.0, 7, 102.0, 12.0)
    assert paces(pacemaker, 109.0) == [BEAT]
    assert pacemaker.lease is not None
    assert pacemaker.lease.beat(109.0) == 8


def test_its_own_acknowledged_beats_renew_the_lease() -> None:
    pacemaker = begun()
    for beat in range(1, 30):
        now = 103.0 + 3 * beat
        assert paces(pacemaker, now) == [BEAT]
        assert pacemaker.lease is not None
        assert pacemaker.lease.beat(now) == beat
        pacemaker.acknowledged(beat, None, now + 1.0)
        assert pacemaker.lease.expires_at == now + 12.0


def test_it_gives_up_when_the_lease_is_over() -> None:
    pacemaker = begun()
    assert paces(pacemaker, 106.0) == [BEAT]
    assert pacemaker.lease is not None
    sequence = pacemaker.lease.beat(111.0)
    assert paces(pacemaker, 112.0) == [REST]
    pacemaker.acknowledged(sequence, None, 112.0)
    assert paces(pacemaker, 112.1) == [REST], "what comes too late revives nothing"
    assert pacemaker.next_look(112.1) is None


def test_a_slave_that_is_stopped_is_not_kept_alive() -> None:
    pacemaker = begun()
    assert paces(pacemaker, 106.0, 111.9, stopped=True) == [LOAD, LOAD]
    assert paces(pacemaker, 112.0, stopped=True) == [REST]


def test_a_slave_that_goes_on_in_time_is_kept_again() -> None:
    pacemaker = begun()
    assert paces(pacemaker, 106.0, stopped=True) == [LOAD]
    assert paces(pacemaker, 106.5) == [BEAT]
    assert paces(pacemaker, 107.0, stopped=True) == [LOAD]


def test_the_end_of_the_session_is_the_end() -> None:
    pacemaker = begun()
    assert paces(pacemaker, 106.0) == [BEAT]
    pacemaker.ends()
    assert paces(pacemaker, 106.0) == [REST]
    pacemaker.begins(12.0, 3.0, 200.0)
    assert paces(pacemaker, 200.0, 206.0) == [REST, BEAT]


@pytest.mark.parametrize("duration", [0.1, 0.2, 2.0, 7.9])
def test_where_a_lease_is_short_it_is_ready_from_the_start(duration: float) -> None:
    assert paces(begun(duration), 100.0) == [LOAD]


@pytest.mark.parametrize("duration", [8.1, 10.0, 60.0])
def test_where_a_lease_is_long_it_is_not(duration: float) -> None:
    assert paces(begun(duration), 100.0) == [REST]


def test_the_lease_is_never_over_before_it_could_beat() -> None:
    """At worst the slave's last acknowledged beat was a third of the lease before its last pulse."""
    pacemaker = begun()
    pacemaker.pulse(104.0, 2, 100.0, 12.0)
    assert paces(pacemaker, 109.0) == [BEAT]
    assert pacemaker.lease is not None
    assert pacemaker.lease.expires_at - 109.0 >= 12.0 / 6


# What the slave's own lease takes over.


def test_a_lease_adopts_what_was_acknowledged_to_another() -> None:
    lease = Lease(12.0, 3.0, 100.0)
    lease.beat(100.0)
    lease.adopt(9, 150.0, 10.0)
    assert lease.expires_at == 160.0
    assert lease.beat(151.0) == 10
    lease.acknowledged(10)
    assert lease.expires_at == 161.0


def test_a_lease_adopts_nothing_older() -> None:
    lease = Lease(12.0, 3.0, 100.0)
    for moment in (100.0, 103.0, 106.0):
        lease.beat(moment)
    lease.acknowledged(3)
    lease.adopt(1, 103.0, 5.0)
    assert (lease.newest, lease.expires_at) == (3, 118.0)


def test_an_acknowledgement_that_was_read_late_takes_nothing_back() -> None:
    lease = Lease(12.0, 3.0, 100.0)
    lease.beat(100.5)
    lease.adopt(5, 110.0, 12.0)
    lease.acknowledged(1)
    assert lease.expires_at == 122.0


@pytest.mark.parametrize("duration", [0.3, 12.0, 45.0])
def test_while_it_is_taken_for_silent_it_does_not_beat(duration: float) -> None:
    """The slave's lease and what the pacemaker knows of it, with a pulse for each acknowledgement."""
    pacemaker, lease, now = begun(duration), Lease(duration, 3.0, 100.0), 100.0
    heard = 0
    for step in range(600):
        now += duration / 50
        if step % 100 < 40 and step % 7 == 0:  # else the loop stands still
            lease.acknowledged(lease.beat(now))
            pacemaker.pulse(now, lease.newest, lease.renewed_at, lease.duration)
        if silent(lease, now):
            assert paces(pacemaker, now) != [BEAT]
        else:
            heard += 1
        if lease.expired(now):
            lease = Lease(duration, 3.0, now)
            pacemaker.begins(duration, 3.0, now)
    assert heard


def test_it_knows_a_loop_that_stands_still_from_beats_that_nobody_acknowledges() -> None:
    """The master is killed: the slave's own beats went on, and its loop was said to have stood still."""
    pacemaker = begun()
    for beat in (103.0, 106.0, 108.9):
        pacemaker.pulse(beat, 1, 100.0, 12.0)
    assert (pacemaker.pace(109.0, False), pacemaker.stands_still(109.0)) == (BEAT, False)
    pacemaker = begun()
    assert (pacemaker.pace(106.0, False), pacemaker.stands_still(106.0)) == (BEAT, True)
    pacemaker.ends()
    assert not pacemaker.stands_still(120.0)
