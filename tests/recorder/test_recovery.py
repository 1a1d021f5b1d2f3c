"""What a new run makes of the calls of an earlier one: each ends once, as it ended, and living ones are left alone."""

import pytest

from callqa.errors import ConfigError
from callqa.journal import JournalEntry, JournalKind, encode_entry
from callqa.sidecar import load_sidecar
from callqa.sip.media.align import to_stereo
from callqa.sip.media.spool import MAGIC, AnsweredMark, EndedMark, encode_packet, read_records, read_started
from callqa.sip.media.story import sidecar_of, tell
from callqa.sip.process import recovery
from callqa.sip.process.finalize import finalise
from callqa.sip.process.finalizer import Finalised
from callqa.sip.process.journal_writer import JournalWriter
from callqa.sip.process.recovery import Epilogue, find_left_over, list_spools, put_aside
from tests.media.builders import Sender, call, spool_bytes
from tests.recorder.harness import journal_entries

AT_MS = 1_795_305_600_000  # 2026-11-22 00:00 UTC
ANSWERED = call(Sender(0, 50).records() + Sender(1, 50, seed=2, ssrc=5).records(), 1000)
CALL_ID = ANSWERED[0].call_id
RINGING = [r for r in ANSWERED if not isinstance(r, AnsweredMark | EndedMark)]


@pytest.fixture
def home(tmp_path):
    (tmp_path / "spool").mkdir()
    return tmp_path


def look(home, spools=None):
    return find_left_over(list_spools(home / "spool") if spools is None else spools, home, home / "journal")


def journal_of(home, *entries):
    """A journal of an earlier run with these entries, and this run's first line."""
    journal = JournalWriter(home / "journal")
    journal.append(JournalKind.RECORDER_STARTED, AT_MS)
    for kind, call_id in entries:
        journal.append(
            kind, AT_MS + 1, call_id, mode="bridge", direction="inbound", from_number="13871206358", withheld=False,
            started_at_ms=AT_MS, answered_at_ms=AT_MS + 1, seat_extension="8001", ring_ms=1,
        )  # fmt: skip
    journal.append(JournalKind.RECORDER_STARTED, AT_MS + 2)
    return journal


def lines(home, call_id):
    return [(e.kind.value, e.facts.get("reason")) for e in journal_entries(home / "journal") if e.call_id == call_id]


def test_a_call_that_begins_while_we_look_is_left_alone(home):
    """Its spool looks like one that a crash left: ringing, it was told as unanswered and deleted under the call."""
    before = list_spools(home / "spool")
    (home / "spool" / "new.spool").write_bytes(spool_bytes(RINGING))
    (home / "spool" / "newer.spool").write_bytes(b"")
    journal_of(home).close()
    assert look(home, before) == recovery.LeftOver()


@pytest.mark.parametrize("kind", [JournalKind.CALL_ABANDONED, JournalKind.CALL_UNANSWERED])
def test_a_call_told_as_missed_is_not_told_again(home, kind):
    """The crash came between its line and the deletion of its spool; 呼损 became 录音服务重新启动."""
    spool = home / "spool" / f"{CALL_ID}.spool"
    spool.write_bytes(spool_bytes(RINGING))
    journal = journal_of(home, (JournalKind.CALL_STARTED, CALL_ID), (kind, CALL_ID))
    left = look(home)
    assert left.unfinished == (spool,)
    story = finalise(home, spool, recovered=True)
    Epilogue(journal, home, "callqa").recovered(spool, Finalised(call_id=story.started.call_id), left)
    journal.close()
    assert [k for k, _ in lines(home, CALL_ID)] == ["call_started", kind.value]
    assert not spool.exists()


def test_a_call_killed_in_the_moment_of_its_answer_stays_answered(home):
    """The journal had its answer, the spool not yet: it became 未接."""
    spool = home / "spool" / f"{CALL_ID}.spool"
    spool.write_bytes(spool_bytes(RINGING))
    journal = journal_of(home, (JournalKind.CALL_STARTED, CALL_ID), (JournalKind.CALL_ANSWERED, CALL_ID))
    left = look(home)
    assert left.unfinished == (spool,)
    story = finalise(home, spool, recovered=True)
    assert story.answered is None
    Epilogue(journal, home, "callqa").recovered(spool, Finalised(call_id=CALL_ID), left)
    journal.close()
    assert [k for k, _ in lines(home, CALL_ID)][2:] == ["call_ended", "call_complete"]
    assert load_sidecar(home / "2026" / "11" / "22" / f"{CALL_ID}.json").faults == (recovery.NOT_WRITTEN,)


def test_calls_of_which_only_the_journal_knows_get_their_end(home):
    """Killed before the first write of a spool, or on a disk that took none."""
    started, answered, ended = (f"20261122T00000000{n}Z-T-7" for n in range(3))
    journal = journal_of(
        home,
        (JournalKind.CALL_STARTED, started),
        (JournalKind.CALL_STARTED, answered),
        (JournalKind.CALL_ANSWERED, answered),
        (JournalKind.CALL_STARTED, ended),
        (JournalKind.CALL_ABANDONED, ended),
        (JournalKind.CALL_STARTED, CALL_ID),
    )
    journal.append(JournalKind.CALL_STARTED, AT_MS + 3, "20261122T000000009Z-T-1")  # a call of this run
    (home / "spool" / f"{CALL_ID}.spool").write_bytes(spool_bytes(RINGING))
    for entry in look(home).cut_off:
        Epilogue(journal, home, "callqa").cut_off(entry)
    assert look(home).cut_off == ()
    journal.close()
    assert lines(home, started) == [("call_started", None), ("call_unanswered", recovery.RESTARTED)]
    assert [kind for kind, _ in lines(home, answered)][2:] == ["call_ended", "call_complete"]
    sidecar = load_sidecar(home / "2026" / "11" / "22" / f"{answered}.json")
    assert (sidecar.recording, sidecar.seat_extension, sidecar.faults) == (None, "8001", (recovery.NOT_WRITTEN,))
    assert sidecar.started_at_ms <= sidecar.answered_at_ms <= sidecar.ended_at_ms
    assert [kind for kind, _ in lines(home, ended)] == ["call_started", "call_abandoned"]
    assert [kind for kind, _ in lines(home, CALL_ID)] == ["call_started"], "its spool tells more"


def test_a_spool_that_cannot_be_read_or_moved_holds_up_no_other(home, monkeypatch):
    for name in ("bad", "locked"):
        (home / "spool" / f"{name}.spool").write_bytes(b"RIFF")
    (home / "spool" / "good.spool").write_bytes(spool_bytes(ANSWERED))
    real = recovery._started_of

    def refuse(path, files):
        if path.stem == "locked":
            raise PermissionError(13, "Permission denied")
        return real(path, files)

    monkeypatch.setattr(recovery, "_started_of", refuse)
    journal_of(home).close()
    left = look(home)
    assert ([p.stem for p in left.unfinished], [p.stem for p in left.damaged]) == (["good"], ["bad"])
    left.damaged[0].unlink()
    assert put_aside(left.damaged[0])


def test_a_spool_cut_at_any_byte_is_recovered_as_far_as_it_is_whole():
    """A short call, cut everywhere: a story and its audio, or no beginning, and then it is put aside."""
    few = call(Sender(0, 3).records() + Sender(1, 2, seed=2, ssrc=5).records(), 100)
    whole = spool_bytes(few)
    seen = []
    for size in range(len(whole) + 1):
        if read_started(whole[:size]) is None:
            seen.append("damaged")
            continue
        records = list(read_records(whole[:size]))
        story = tell(records)
        seen.append("ringing" if story.answered is None else "answered" if story.ended is None else "ended")
        if story.answered is not None:
            stereo = to_stereo(records)
            assert sidecar_of(story, stereo, None, recovered=True, recorder="x").answered_at_ms <= story.ended_at_ms
    assert sorted(set(seen), key=seen.index) == ["damaged", "ringing", "answered", "ended"]
    assert seen == sorted(seen, key=["damaged", "ringing", "answered", "ended"].index)


def test_a_damaged_last_line_keeps_its_number(home):
    """The worker may have read it while it was whole; a new entry of that number would never be taken in."""
    journal = JournalWriter(home / "journal")
    for n in range(3):
        journal.append(JournalKind.FAULT, AT_MS + n, text="x")
    journal.close()
    path = home / "journal" / "2026-11-22.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"number":3', b'"number":8'))
    (home / "journal" / "2026-11-22 copy.jsonl").write_bytes(path.read_bytes())
    (home / "journal" / "notes.jsonl").write_bytes(encode_entry(JournalEntry(number=99, at_ms=1, kind="fault")))
    journal = JournalWriter(home / "journal")
    journal.append(JournalKind.FAULT, AT_MS + 5, text="y")
    journal.close()
    last = path.read_bytes().splitlines()[-1]
    assert last.startswith(b'{"number":4,')
    assert len((home / "journal" / "notes.jsonl").read_bytes().splitlines()) == 1


def test_a_journal_that_cannot_be_opened_is_named(home):
    (home / "journal").mkdir()
    (home / "journal" / "2026-11-22.jsonl").mkdir()
    with pytest.raises(ConfigError, match=r"2026-11-22\.jsonl"):
        JournalWriter(home / "journal")


def test_empty_spools_are_deleted(home):
    (home / "spool" / "empty.spool").write_bytes(b"")
    (home / "spool" / "torn.spool").write_bytes(MAGIC + encode_packet(0, 1, b"x")[:5])
    kept = [put_aside(p) for p in look(home).damaged]
    assert kept == [False, True]
    assert [p.name for p in (home / "spool").iterdir()] == ["torn.damaged"]
