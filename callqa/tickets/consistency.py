"""录音、工单、流程三方比对: where call, ticket and record of the process do not tell the same story.

Every comparison made gives one Finding, also when it agrees or cannot be decided, because report table 7-1 counts
compared, equal, different and undecided. First version: call without ticket, ticket without call, callback record
without call, phone, location. A machine's finding is a question to a person, never a deduction.
Not yet here: matter, occurred_at, satisfaction, repeat complaints, process limits.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from callqa.matching import address_in_speech, number_distance
from callqa.periods import say_duration, say_short
from callqa.speech import Speaker, Transcript, Utterance
from callqa.text import digits_of
from callqa.units import CallType, Direction


class Check(StrEnum):
    """检查项, the rows of report table 7-1."""

    CALL_WITHOUT_TICKET = "call_without_ticket"
    TICKET_WITHOUT_CALL = "ticket_without_call"
    CALLBACK_WITHOUT_CALL = "callback_without_call"
    LOCATION = "location"
    CONTACT_PHONE = "contact_phone"


CHECK_LABELS = {
    Check.CALL_WITHOUT_TICKET: "有通话无工单",
    Check.TICKET_WITHOUT_CALL: "有工单无录音",
    Check.CALLBACK_WITHOUT_CALL: "回访记录无通话",
    Check.LOCATION: "地点",
    Check.CONTACT_PHONE: "联系电话",
}


class Outcome(StrEnum):
    """一致 / 不一致 / 无法判定."""

    MATCH = "match"
    MISMATCH = "mismatch"
    UNDECIDED = "undecided"


class Level(StrEnum):
    """How much a person should care: nothing to do, 提示, 需核实."""

    NONE = "none"
    HINT = "hint"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class CallSide:
    """An answered call. ticket_nos: confirmed or linked; doubtful_ticket_nos wait for a person.

    duration_ms: answered to ended. disposition: glossary code or None.
    """

    call_id: str
    call_type: CallType
    direction: Direction
    citizen_number: str
    started_at_ms: int
    duration_ms: int
    disposition: str | None = None
    ticket_nos: tuple[str, ...] = ()
    doubtful_ticket_nos: tuple[str, ...] = ()
    transcript: Transcript | None = None


@dataclass(frozen=True, slots=True)
class TicketSide:
    """A ticket as far as the comparison needs it."""

    ticket_no: str
    caller_number: str = ""
    contact_phone: str = ""
    location: str = ""
    accepted_at_ms: int | None = None
    callback_done_at_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Quote:
    """The words a finding rests on; times are milliseconds from the start of the recording."""

    speaker: Speaker
    start_ms: int
    end_ms: int
    text: str


@dataclass(frozen=True, slots=True)
class Finding:
    """One comparison. text: a Chinese sentence with both sides."""

    check: Check
    outcome: Outcome
    level: Level
    text: str
    call_id: str | None = None
    ticket_no: str | None = None
    quotes: tuple[Quote, ...] = ()


NO_TICKET_DISPOSITIONS = frozenset({"no_ticket_needed", "transferred", "not_reached"})
SHORT_CALL_MS = 10_000  # below this nobody has told a matter; report rule F6 uses the same 10 s
LOCATION_MIN_SCORE = 70  # rubric S6.2-1


def compare(
    calls: Sequence[CallSide], tickets: Sequence[TicketSide], *, from_ms: int, to_ms: int
) -> tuple[Finding, ...]:
    """Compare calls with tickets of a period; one finding per comparison made, ordered by check, call, ticket.

    from_ms, to_ms: [from, to) while the recorder ran; tickets accepted (or called back) outside it are not blamed
    for lacking a recording. calls: all answered calls of the period, and those a little before and after.
    """
    by_number = {t.ticket_no: t for t in tickets}
    found: list[Finding] = []
    for call in calls:
        if from_ms <= call.started_at_ms < to_ms:
            found += _call_without_ticket(call)
        for ticket_no in call.ticket_nos:
            ticket = by_number.get(ticket_no)
            if ticket is not None:
                found += [*_phone(call, ticket), *_location(call, ticket)]
    for ticket in tickets:
        found += _ticket_without_call(ticket, calls, from_ms, to_ms)
    order = list(Check)
    return tuple(sorted(found, key=lambda f: (order.index(f.check), f.call_id or "", f.ticket_no or "")))


def _call_without_ticket(call: CallSide) -> Iterator[Finding]:
    check = Check.CALL_WITHOUT_TICKET
    if call.direction is not Direction.INBOUND or call.disposition in NO_TICKET_DISPOSITIONS:
        return
    who = f"{say_short(call.started_at_ms)} 的来电（{say_duration(call.duration_ms)}）"
    if call.ticket_nos:
        yield Finding(check, Outcome.MATCH, Level.NONE, f"{who}有工单 {'、'.join(call.ticket_nos)}", call.call_id)
    elif call.doubtful_ticket_nos:
        listed = "、".join(call.doubtful_ticket_nos)
        yield Finding(check, Outcome.UNDECIDED, Level.HINT, f"{who}与工单 {listed} 的关联待人工确认", call.call_id)
    elif call.duration_ms < SHORT_CALL_MS or call.disposition == "dropped":
        yield Finding(check, Outcome.UNDECIDED, Level.HINT, f"{who}没有工单，但通话很短或掉线", call.call_id)
    elif call.disposition == "answered_on_call":
        yield Finding(check, Outcome.UNDECIDED, Level.HINT, f"{who}登记为当场答复，没有工单", call.call_id)
    else:
        yield Finding(check, Outcome.MISMATCH, Level.WARNING, f"{who}没有对应的工单，请核实是否漏建", call.call_id)


def _ticket_without_call(ticket: TicketSide, calls: Sequence[CallSide], from_ms: int, to_ms: int) -> Iterator[Finding]:
    for check, at_ms, direction, what in (
        (Check.TICKET_WITHOUT_CALL, ticket.accepted_at_ms, Direction.INBOUND, "受理"),
        (Check.CALLBACK_WITHOUT_CALL, ticket.callback_done_at_ms, Direction.OUTBOUND, "回访"),
    ):
        if at_ms is None or not from_ms <= at_ms < to_ms:
            continue
        said = f"工单 {ticket.ticket_no} 记为 {say_short(at_ms)} {what}"
        same_way = [c for c in calls if c.direction is direction]
        sure = sorted(c.call_id for c in same_way if ticket.ticket_no in c.ticket_nos)
        maybe = sorted(c.call_id for c in same_way if ticket.ticket_no in c.doubtful_ticket_nos)
        if sure:
            yield Finding(check, Outcome.MATCH, Level.NONE, f"{said}，有录音", sure[0], ticket.ticket_no)
        elif maybe:
            yield Finding(
                check, Outcome.UNDECIDED, Level.HINT, f"{said}，有一通待确认的通话", maybe[0], ticket.ticket_no
            )
        else:
            text = f"{said}，但没有对应的接通录音，请核实"
            yield Finding(check, Outcome.MISMATCH, Level.WARNING, text, None, ticket.ticket_no)


_SAID_DIGITS = re.compile(r"[0-9零〇○幺一二三四五六七八九\s，,、。\-]{11,}")
_MOBILE = re.compile(r"1[3-9]\d{9}")


def spoken_mobiles(text: str) -> tuple[str, ...]:
    """Mobile numbers read out in one sentence, pauses inside a number allowed."""
    return tuple(n for run in _SAID_DIGITS.findall(text) for n in _MOBILE.findall(digits_of(run)))


def _phone(call: CallSide, ticket: TicketSide) -> Iterator[Finding]:
    """The contact phone against numbers said in the call, else against the caller's number."""
    if not ticket.contact_phone:
        return
    check, phone = Check.CONTACT_PHONE, ticket.contact_phone
    spoken = [(n, u) for u in _utterances(call) for n in spoken_mobiles(u.text)]
    equal = [u for n, u in spoken if n == phone]
    if equal:
        text = f"工单联系电话 {phone} 与通话中所报一致"
        yield Finding(check, Outcome.MATCH, Level.NONE, text, call.call_id, ticket.ticket_no, _quotes(equal[-1:]))
    elif spoken:
        distance, number, utterance = min(
            ((number_distance(n, phone) or 0, n, u) for n, u in spoken), key=lambda s: (s[0], s[2].span.start_ms)
        )
        level = Level.HINT if distance <= 1 else Level.WARNING
        maybe = "，可能是转写误差" if distance <= 1 else ""
        text = f"通话中所报电话 {number} 与工单联系电话 {phone} 相差 {distance} 位{maybe}，请听录音核实"
        yield Finding(check, Outcome.MISMATCH, level, text, call.call_id, ticket.ticket_no, _quotes([utterance]))
    elif number_distance(call.citizen_number, phone) == 0:
        text = f"工单联系电话 {phone} 与来电号码一致"
        yield Finding(check, Outcome.MATCH, Level.NONE, text, call.call_id, ticket.ticket_no)
    else:
        text = f"工单联系电话 {phone} 与通话号码 {call.citizen_number or '（未知）'} 不同，通话中没有听到所报号码"
        yield Finding(check, Outcome.UNDECIDED, Level.HINT, text, call.call_id, ticket.ticket_no)


def _location(call: CallSide, ticket: TicketSide) -> Iterator[Finding]:
    """The ticket's location against the citizen's own words: an agent's read-back may repeat the ticket's mistake."""
    if not ticket.location or call.direction is not Direction.INBOUND:
        return
    check = Check.LOCATION
    heard = [u for u in _utterances(call) if u.speaker is not Speaker.AGENT]
    # As written and as heard before homophone repair: no mismatch rests on a repaired word alone.
    said = [
        address_in_speech(ticket.location, texts)
        for texts in ([u.text for u in heard], [u.as_heard.text for u in heard])
    ]
    score = max((each for each in said if each is not None), default=None)
    if score is None:
        text = f"诉求人的话里没有听到可与工单地点“{ticket.location}”比较的地址"
        yield Finding(check, Outcome.UNDECIDED, Level.NONE, text, call.call_id, ticket.ticket_no)
        return
    ranked = sorted(heard, key=lambda u: (-(address_in_speech(ticket.location, [u.text]) or 0), u.span.start_ms))
    quotes = _quotes(ranked[:1])
    if score >= LOCATION_MIN_SCORE:
        text = f"工单地点“{ticket.location}”与诉求人所说一致（{score} 分）"
        yield Finding(check, Outcome.MATCH, Level.NONE, text, call.call_id, ticket.ticket_no, quotes)
    else:
        level = Level.WARNING if score >= 30 else Level.HINT  # far below, the engine may just have misheard the names
        text = f"工单地点“{ticket.location}”与诉求人所说不一致（{score} 分，应不低于 {LOCATION_MIN_SCORE} 分），请听录音核实"
        yield Finding(check, Outcome.MISMATCH, level, text, call.call_id, ticket.ticket_no, quotes)


def _utterances(call: CallSide) -> tuple[Utterance, ...]:
    return tuple(u for u in call.transcript.utterances if u.reliable) if call.transcript else ()


def _quotes(utterances: Sequence[Utterance]) -> tuple[Quote, ...]:
    return tuple(Quote(u.speaker, u.span.start_ms, u.span.end_ms, u.text) for u in utterances)
