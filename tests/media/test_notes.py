"""Transfers, marks, keys by INFO, related calls and the caller's facts reach the sidecar; a cut-off spool keeps its prefix."""

import dataclasses

from callqa.sidecar import DigitNote, MarkNote, TransferNote
from callqa.sip.media.align import to_stereo
from callqa.sip.media.dtmf import Digit
from callqa.sip.media.notes import EACH_MOST, TYPING_MOST_MS, notes_of, typed_marks
from callqa.sip.media.spool import DigitMark, MarkedMark, RelatedMark, StartedMark, TransferredMark, read_records
from callqa.sip.media.story import sidecar_of, tell
from callqa.units import Channel
from tests.media.builders import MS, ZERO_NS, Sender, call, spool_bytes


def at(ms: int) -> int:
    return ZERO_NS + ms * MS


MARKS = [
    RelatedMark(at_ns=at(200), call_id="20261103T010203-B-1"),
    DigitMark(at_ns=at(400), channel=0, digit="5", duration_ms=160),
    DigitMark(at_ns=at(900_000), channel=0, digit="6", duration_ms=160),
    TransferredMark(at_ns=at(1000), kind="blind", to="8002", seat_extension="8002", by="8001", sip_call_id="new@x"),
    MarkedMark(at_ns=at(1100), code="5", seat_extension="8002"),
    TransferredMark(at_ns=at(1500), kind="attended", to="13900001111", by="8002"),
    RelatedMark(at_ns=at(1600), call_id="20261103T010203-B-1"),
]


def records():
    sides = [*Sender(0, 100).records(), *Sender(1, 100, seed=2, ssrc=9).records()]
    return [
        r.model_copy(update={"withheld": True, "diverted_from": "02784770000"}) if isinstance(r, StartedMark) else r
        for r in call(sides, 2000, MARKS)
    ]


def sidecar(found):
    return sidecar_of(tell(found), to_stereo(found), None, recovered=False, recorder="t")


def test_all_of_it_is_in_the_sidecar():
    made = sidecar(records())
    zero_ms = made.answered_at_ms
    assert made.transfers == (
        TransferNote(at_ms=zero_ms + 1000, kind="blind", to="8002", seat_extension="8002", by="8001"),
        TransferNote(at_ms=zero_ms + 1500, kind="attended", to="13900001111", by="8002"),
    )
    assert made.marks == (MarkNote(at_ms=zero_ms + 1100, code="5"),)
    assert made.digits == (DigitNote(channel=0, start_ms=400, duration_ms=160, digit="5"),), "one came after the end"
    assert made.related == ("20261103T010203-B-1",)
    assert made.seat_extension == "8002", "the seat that had it last, whoever outside came after"
    assert made.sip_call_ids[-1] == "new@x" and len(made.sip_call_ids) >= 2
    assert (made.withheld, made.diverted_from) == (True, "02784770000")


def test_a_spool_that_breaks_off_tells_what_it_has():
    data = spool_bytes(records())
    for cut in range(len(data) // 2, len(data), 997):
        made = sidecar(list(read_records(data[:cut])))
        assert made.transfers == sidecar(records()).transfers[: len(made.transfers)]


def test_a_phone_that_marks_without_end_fills_no_sidecar():
    many = [MarkedMark(at_ns=at(n), code="1") for n in range(EACH_MOST + 10)]
    assert len(notes_of(many).marks) == EACH_MOST


def keys(text: str, side: Channel = Channel.AGENT, every_ms: int = 200) -> list[Digit]:
    return [Digit(side, 1000 + n * every_ms, 100, digit) for n, digit in enumerate(text)]


def test_marks_typed_in_the_call_are_found():
    assert typed_marks(keys("77*1342#*13#*135#")) == ((1000 + 7 * 200, "42"), (1000 + 16 * 200, "5"))
    assert typed_marks(keys("*135#", Channel.CITIZEN)) == (), "a citizen marks nothing"
    assert typed_marks(keys("*135#", every_ms=TYPING_MOST_MS)) == ()
    assert typed_marks([*keys("*13"), Digit(Channel.AGENT, 1700, 100, "flash"), *keys("000005#")[5:]]) == ((2200, "5"),)


def test_a_typed_mark_is_in_the_sidecar_beside_the_dialled_one():
    found = records()
    typed = dataclasses.replace(to_stereo(found), digits=tuple(keys("*137#", every_ms=10)))
    made = sidecar_of(tell(found), typed, None, recovered=False, recorder="t")
    zero_ms = made.answered_at_ms
    assert made.marks == (MarkNote(at_ms=zero_ms + 1040, code="7"), MarkNote(at_ms=zero_ms + 1100, code="5"))
