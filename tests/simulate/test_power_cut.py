"""A power cut takes a second of a call and no more: spools and journal are synced once a second, off the loop."""

import pytest

from tests.simulate import invariants, sound
from tests.simulate.loop import SECOND_NS
from tests.simulate.plan import BlowPlan, CallPlan, Plan
from tests.simulate.story import tell

# Records are handed to the writing thread every 0.1 s and synced once a second; the threads' own moments come on top.
MOST_LOST_NS = int(1.15 * SECOND_NS)
CUTS_S = [1.6 + 0.17 * i for i in range(14)]  # all phases of the second


def _plan(cut_s: float) -> Plan:
    call = CallPlan(0.0, True, 0, 0.2, None, 0, talk_s=5.0, ends="caller")
    return Plan(7, calls=(call,), slow_disk=0.0, blow=BlowPlan(cut_s, True, None, 1.0))


def _violations(monkeypatch: pytest.MonkeyPatch, most_lost_ns: int) -> list[str]:
    monkeypatch.setattr(sound, "POWER_LOSES_NS", most_lost_ns)
    monkeypatch.setattr(invariants, "SPOOL_UNSYNCED_NS", most_lost_ns)
    monkeypatch.setattr(invariants, "JOURNAL_UNSYNCED_NS", most_lost_ns)
    return [v for cut_s in CUTS_S for v in tell(_plan(cut_s)).violations]


def test_a_power_cut_takes_a_second_and_no_more(monkeypatch):
    assert _violations(monkeypatch, MOST_LOST_NS) == []


def test_a_power_cut_does_take_something(monkeypatch):
    """Else the simulated disk would keep what was never synced, and the test above could not fail."""
    assert any("audio that came is recorded" in v for v in _violations(monkeypatch, SECOND_NS // 4))
