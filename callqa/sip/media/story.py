"""What a spool tells of its call besides audio, and the sidecar that is written from it."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from callqa.errors import SpoolError
from callqa.sidecar import DigitNote, GapNote, MarkNote, Party, PauseNote, Recording, Sidecar, TransferNote
from callqa.sip.media.align import Stereo
from callqa.sip.media.columns import SpoolColumns, columns_of
from callqa.sip.media.notes import Notes, notes_of, typed_marks
from callqa.sip.media.pauses import Pause, pauses_of
from callqa.sip.media.peer_view import describe_trouble, troubles_of, with_peer_view
from callqa.sip.media.spool import (
    AnsweredMark,
    EndedMark,
    FactsMark,
    FaultMark,
    PartyMark,
    RtcpMark,
    SpoolRecord,
    StartedMark,
    TroubleMark,
)
from callqa.units import Channel

PARTIES_MOST = 32  # of one call; a conference has eight
_NO_NOTES = Notes()
_NOTHING_LEARNT = FactsMark(at_ns=0)
_SIDES = {Channel.CITIZEN: "诉求人", Channel.AGENT: "坐席"}


@dataclass(frozen=True, slots=True)
class CallStory:
    """One call as its spool has it. answered: None when nobody answered; ended: None when the spool just stops."""

    started: StartedMark
    answered: AnsweredMark | None
    ended: EndedMark | None
    last_ns: int
    faults: tuple[str, ...]
    facts: FactsMark = _NOTHING_LEARNT
    parties: tuple[PartyMark, ...] = ()
    notes: Notes = _NO_NOTES
    pauses: tuple[Pause, ...] = ()
    troubles: tuple[TroubleMark, ...] = ()
    reports: tuple[RtcpMark, ...] = ()

    @property
    def direction(self) -> Literal["inbound", "outbound"]:
        return self.facts.direction or self.started.direction

    @property
    def from_number(self) -> str:
        return self.started.from_number if self.facts.from_number is None else self.facts.from_number

    @property
    def to_number(self) -> str:
        return self.started.to_number if self.facts.to_number is None else self.facts.to_number

    @property
    def started_at_ms(self) -> int:
        return self.started.wall_ms

    @property
    def answered_at_ms(self) -> int | None:
        return self.started.wall_of(self.answered.at_ns) if self.answered else None

    @property
    def ended_at_ms(self) -> int:
        """The end, or the last thing the spool knows of."""
        end_ns = self.ended.at_ns if self.ended else self.last_ns
        floor_ns = self.answered.at_ns if self.answered else self.started.at_ns
        return self.started.wall_of(max(end_ns, floor_ns))

    @property
    def hangup_party(self) -> Literal["agent", "citizen", "network"] | None:
        """挂机方; a spool that just stops was cut by us, which counts as the network."""
        return self.ended.hangup_party if self.ended else "network"

    @property
    def seat_extension(self) -> str | None:
        """The seat that had the call last."""
        answered = self.answered.seat_extension if self.answered else None
        return self.notes.seat_extension or self.facts.seat_extension or answered or self.started.seat_extension

    @property
    def sip_call_ids(self) -> tuple[str, ...]:
        """Of every leg."""
        known = self.facts.sip_call_ids or (self.answered.sip_call_ids if self.answered else ())
        return tuple(dict.fromkeys((*(known or (self.started.sip_call_id,)), *self.notes.sip_call_ids)))


def tell(spool: SpoolColumns | Iterable[SpoolRecord]) -> CallStory:
    """Gather the story of one call. Raise SpoolError when the spool does not say whose it is."""
    if not isinstance(spool, SpoolColumns):
        spool = columns_of(spool)
    started: StartedMark | None = None
    answered: AnsweredMark | None = None
    ended: EndedMark | None = None
    faults: dict[str, None] = {}
    facts: dict[str, object] = {}
    parties: dict[str, PartyMark] = {}
    for _, record in spool.marks:
        if isinstance(record, StartedMark):
            started = started or record
        elif isinstance(record, AnsweredMark):
            answered = answered or record
        elif isinstance(record, EndedMark):
            ended = ended or record
        elif isinstance(record, FaultMark):
            faults[record.text] = None
        elif isinstance(record, FactsMark):
            facts |= {name: value for name, value in record if value is not None}
        elif isinstance(record, PartyMark) and (record.address in parties or len(parties) < PARTIES_MOST):
            parties[record.address] = _as_known(parties.get(record.address), record)
    if started is None:
        raise SpoolError("spool has no started mark: whose call it is cannot be told")
    learnt = FactsMark.model_validate(facts) if facts else _NOTHING_LEARNT
    pauses = pauses_of(mark for _, mark in spool.marks)
    reports = tuple(mark for _, mark in spool.marks if isinstance(mark, RtcpMark))
    return CallStory(
        started, answered, ended, spool.last_ns, tuple(faults), learnt, tuple(parties.values()),
        notes_of(mark for _, mark in spool.marks), pauses, troubles_of(spool), reports,
    )  # fmt: skip


def sidecar_of(
    story: CallStory, stereo: Stereo, recording: Recording | None, *, recovered: bool, recorder: str
) -> Sidecar:
    """The sidecar of an answered call. recording: None when no audio came on either side."""
    if story.answered is None or story.answered_at_ms is None:
        raise SpoolError(f"call {story.started.call_id} was never answered")
    started = story.started
    return Sidecar(
        call_id=started.call_id,
        mode=started.mode,
        direction=story.direction,
        sip_call_ids=story.sip_call_ids,
        from_number=story.from_number,
        to_number=story.to_number,
        seat_extension=story.seat_extension,
        ticket_hint=started.ticket_hint,
        user_to_user=started.user_to_user,
        started_at_ms=story.started_at_ms,
        answered_at_ms=max(started.wall_ms, story.answered_at_ms - stereo.lead_ms),
        notice_ms=story.answered.notice_ms,
        queued_ms=story.answered.queued_ms,
        overflow_to=story.answered.overflow_to,
        ended_at_ms=story.ended_at_ms,
        hangup_party=story.hangup_party,
        recovered=recovered,
        recording=recording,
        gaps=tuple(_gap_notes(stereo)),
        streams=with_peer_view(stereo.streams, story.reports),
        digits=tuple(sorted(_digit_notes(story, stereo), key=lambda note: note.start_ms)),
        withheld=started.withheld,
        diverted_from=started.diverted_from,
        marks=tuple(sorted(_mark_notes(story, stereo), key=lambda note: note.at_ms)),
        transfers=tuple(_transfer_notes(story)),
        related=story.notes.related,
        pauses=tuple(_pause_notes(story)),
        parties=tuple(_parties(story)),
        joined_by=story.facts.joined_by,
        faults=(*story.faults, *stereo.faults, *_troubles(story, stereo), *_silent_sides(story, stereo)),
        recorder=recorder,
    )


def _troubles(story: CallStory, stereo: Stereo) -> Iterable[str]:
    zero_ns = (story.answered.at_ns if story.answered else story.started.at_ns) - stereo.lead_ms * 1_000_000
    return [describe_trouble(mark, zero_ns) for mark in story.troubles]


def _gap_notes(stereo: Stereo) -> Iterable[GapNote]:
    for gap in stereo.gaps:
        channel: Literal[0, 1] = 1 if gap.channel is Channel.AGENT else 0
        yield GapNote(channel=channel, start_ms=gap.span.start_ms, end_ms=gap.span.end_ms, kind=gap.kind.value)


def _as_known(before: PartyMark | None, now: PartyMark) -> PartyMark:
    """Who had left before he got another name left when he left."""
    still_away = before is not None and before.left and now.left
    return now.model_copy(update={"at_ns": before.at_ns}) if before is not None and still_away else now


def _parties(story: CallStory) -> Iterable[Party]:
    for p in story.parties:
        left_at_ms = story.started.wall_of(p.at_ns) if p.left else None
        yield Party(name=p.name, address=p.address, channel=p.side, left_at_ms=left_at_ms)


def _pause_notes(story: CallStory) -> Iterable[PauseNote]:
    for pause in story.pauses:
        until_ms = None if pause.to_ns is None else story.started.wall_of(pause.to_ns)
        yield PauseNote(at_ms=story.started.wall_of(pause.from_ns), until_ms=until_ms, by=pause.by, reason=pause.reason)


def _transfer_notes(story: CallStory) -> Iterable[TransferNote]:
    for t in story.notes.transfers:
        at_ms = story.started.wall_of(t.at_ns)
        yield TransferNote(at_ms=at_ms, kind=t.kind, to=t.to, seat_extension=t.seat_extension, by=t.by)


def _mark_notes(story: CallStory, stereo: Stereo) -> Iterable[MarkNote]:
    """Marks that were dialled, and those typed in the call."""
    wall_of = story.started.wall_of
    for marked in story.notes.marks:
        yield MarkNote(at_ms=wall_of(marked.at_ns), code=marked.code)
    zero_ns = story.answered.at_ns - stereo.lead_ms * 1_000_000 if story.answered else 0
    for typed_ms, code in typed_marks(stereo.digits):
        yield MarkNote(at_ms=wall_of(zero_ns + typed_ms * 1_000_000), code=code)


def _digit_notes(story: CallStory, stereo: Stereo) -> Iterable[DigitNote]:
    """The keys that were pressed during the recording, in the audio's packets or beside them."""
    zero_ns = story.answered.at_ns - stereo.lead_ms * 1_000_000 if story.answered else 0
    for press in story.notes.digits:
        start_ms = (press.at_ns - zero_ns) // 1_000_000
        if 0 <= start_ms <= stereo.duration_ms:
            yield DigitNote(channel=press.channel, start_ms=start_ms, duration_ms=press.duration_ms, digit=press.digit)
    for key in stereo.digits:
        if 0 <= key.start_ms <= stereo.duration_ms:
            channel: Literal[0, 1] = 1 if key.channel is Channel.AGENT else 0
            yield DigitNote(channel=channel, start_ms=key.start_ms, duration_ms=key.duration_ms, digit=key.digit)


def _silent_sides(story: CallStory, stereo: Stereo) -> Iterable[str]:
    """A side that should speak and never sent audio. An `answer` call has one leg only, the citizen's."""
    expected = (Channel.CITIZEN,) if story.started.mode == "answer" else (Channel.CITIZEN, Channel.AGENT)
    if stereo.heard and stereo.mono:
        yield "对端把双方声音混在一路里送来，转写不区分说话人；请在录音客户端上改成双方各一路"
        return
    silent = [channel for channel in expected if not stereo.streams[channel].codec]
    if len(silent) == len(expected):
        yield "通话已接通，但没有收到任何媒体；请检查防火墙是否放行 RTP 端口"
        return
    if story.started.mode == "siprec":
        for channel in silent:
            yield f"录音客户端没有送来{_SIDES[channel]}一侧的声音；请检查它的录音设置，看是否双方都在送"
        return
    for channel in silent:
        yield f"没有收到{_SIDES[channel]}一侧的媒体；请检查防火墙是否放行 RTP 端口"
