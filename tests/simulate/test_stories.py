"""Stories in every test run: clean, the same twice, and able to fail."""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from callqa.sip.process import finalize, recorder
from callqa.sip.process.capture import CallCapture
from callqa.sip.process.disk import DiskWriter
from callqa.sip.process.journal_writer import JournalWriter
from callqa.sip.process.leg_reports import LegReports
from callqa.sip.process.player import Player
from callqa.sip.process.recovery import Epilogue
from callqa.sip.process.secrecy import Secrecy
from callqa.sip.wire.framing import StreamFramer
from tests.simulate.files import MemoryFiles
from tests.simulate.plan import draw
from tests.simulate.story import tell

STORIES = 200


def test_some_hundred_stories_are_clean():
    told = [tell(seed) for seed in range(STORIES)]
    assert {t.seed: t.violations for t in told if t.violations} == {}
    assert sum(t.answered for t in told) > STORIES
    assert sum(t.crashes for t in told) > STORIES // 10
    assert sum(t.power_cuts for t in told) > STORIES // 10


def test_a_story_is_the_same_whenever_and_wherever_it_is_told():
    """Two runs here and one in a process whose sets and dicts of strings are ordered otherwise."""
    seeds = (3, 9, 56, 97, 231)
    here = [tell(seed).hash for seed in seeds]
    assert [tell(seed).hash for seed in seeds] == here
    code = f"from tests.simulate.story import tell\nprint(*(tell(s).hash for s in {seeds!r}))"
    there = subprocess.run([sys.executable, "-c", code], env={"PYTHONHASHSEED": "77"}, capture_output=True, check=True)
    assert there.stdout.decode().split() == here


# -- the simulator can fail -------------------------------------------------------------------------------------------

Patch = Callable[[pytest.MonkeyPatch], None]


def _never_syncs(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(DiskWriter, "_sync", lambda self, file: None)


def _skips_spools(patch: pytest.MonkeyPatch) -> None:
    real = recorder.find_left_over
    patch.setattr(recorder, "find_left_over", lambda *a: replace(real(*a), unfinished=()))


def _swaps_sides(patch: pytest.MonkeyPatch) -> None:
    real = finalize.to_stereo

    def swapped(columns):
        stereo = real(columns)
        return replace(stereo, samples=np.ascontiguousarray(stereo.samples[:, ::-1]))

    patch.setattr(finalize, "to_stereo", swapped)


def _names_no_gap(patch: pytest.MonkeyPatch) -> None:
    real = finalize.to_stereo
    patch.setattr(finalize, "to_stereo", lambda columns: replace(real(columns), gaps=()))


def _repeats_a_number(patch: pytest.MonkeyPatch) -> None:
    real = JournalWriter.append

    def append(self, kind, at_ms, call_id=None, **facts):
        if self._number == 4:
            self._number -= 1
        return real(self, kind, at_ms, call_id, **facts)

    patch.setattr(JournalWriter, "append", append)


def _goes_on_after_a_power_cut(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(JournalWriter, "_number_to_go_on_from", JournalWriter._last_number)


def _keeps_ports(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(CallCapture, "_close_leg", lambda self, leg: None)


def _never_names_files(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(MemoryFiles, "sync_folder", lambda self, folder: None)


def _forgets_the_cut_off(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Epilogue, "cut_off", lambda self, entry: None)


def _does_not_lock(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Secrecy, "lock", lambda self, data: data)


def _takes_pieces_for_messages(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(StreamFramer, "feed", lambda self, data: [data])


def _rings_during_the_notice(patch: pytest.MonkeyPatch) -> None:
    real = Player.play

    def play(self, event, codecs, send):
        real(self, event, codecs, send)
        if event.prompt == "notice":
            self._loop.call_soon(self._on_over, event.call_id, event.prompt)

    patch.setattr(Player, "play", play)


def _hushes_up_the_notice(patch: pytest.MonkeyPatch) -> None:
    real = Player._loaded

    def loaded(self, event, version, found):
        self._tell = lambda text: None
        real(self, event, version, found)

    patch.setattr(Player, "_loaded", loaded)


def _keeps_no_reports(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(LegReports, "received", lambda self, data, source: None)


MUTANTS: dict[str, tuple[Patch, int]] = {
    "disk writer never syncs": (_never_syncs, 400),
    "recovery skips spools": (_skips_spools, 60),
    "align swaps sides": (_swaps_sides, 10),
    "no gap is named": (_names_no_gap, 40),
    "journal repeats a number": (_repeats_a_number, 20),
    "numbers go on after a power cut": (_goes_on_after_a_power_cut, 400),
    "ports are kept": (_keeps_ports, 10),
    "names are never durable": (_never_names_files, 40),
    "cut off calls are forgotten": (_forgets_the_cut_off, 110),
    "nothing is locked": (_does_not_lock, 40),
    "a piece is a message": (_takes_pieces_for_messages, 40),
    "phones ring during the notice": (_rings_during_the_notice, 60),
    "reports are not kept": (_keeps_no_reports, 60),
    "a notice that is missing is not told of": (_hushes_up_the_notice, 110),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_a_broken_recorder_is_found_out(name, monkeypatch):
    patch, within = MUTANTS[name]
    patch(monkeypatch)
    assert any(tell(seed).violations for seed in range(within)), f"{name}: nobody noticed in {within} stories"


def test_every_kind_of_thing_has_its_share_of_the_stories():
    """What is drawn too seldom is as good as untested."""
    plans = [draw(seed) for seed in range(1000)]
    shares = {
        "TCP or TLS": sum(
            "udp" not in (p.wide.trunk_by, p.wide.phones_by) or p.wide.trunk_by != p.wide.phones_by for p in plans
        ),
        "encrypted media": sum(bool(p.wide.secure) for p in plans),
        "RTCP": sum(bool(p.wide.rtcp) for p in plans),
        "notice": sum(bool(p.wide.notice) for p in plans),
        "music file": sum(bool(p.wide.music) for p in plans),
        "attended transfer": sum(p.calls[0].consult is not None for p in plans),
        "blind transfer": sum(any(c.transfer for c in p.calls) for p in plans),
        "recording session": sum(any(c.session for c in p.calls) for p in plans),
        "pause": sum(any(c.pauses for c in p.calls) for p in plans),
        "hold": sum(any(c.holds for c in p.calls) for p in plans),
        "kill": sum(p.blow is not None and not p.blow.power for p in plans),
        "power cut": sum(p.blow is not None and p.blow.power for p in plans),
        "disk trouble": sum(p.trouble is not None for p in plans),
        "strangers": sum(p.hostile > 0 for p in plans),
    }
    least = {
        "TCP or TLS": 300, "encrypted media": 170, "RTCP": 200, "notice": 100, "music file": 80, "attended transfer": 70,
        "blind transfer": 80, "recording session": 60, "pause": 180, "hold": 200, "kill": 200, "power cut": 200,
        "disk trouble": 120, "strangers": 200,
    }  # fmt: skip
    assert {name: n for name, n in shares.items() if n < least[name]} == {}, shares


def test_plans_are_drawn_from_their_seed_alone():
    assert draw(41) == draw(41) != draw(42)
