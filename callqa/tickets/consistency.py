"""录音、工单、流程三方比对: where call, ticket and record of the process do not tell the same story.

Every comparison made gives one Finding, also when it agrees or cannot be decided, because report table 7-1 counts
compared, equal, different and undecided. A machine's finding is a question to a person, never a deduction.

Words are compared where a transcript is given (location, phone), or taken as the rubric's checks found them (`heard`):
then the report counts what the scoring card showed. What nobody compared is undecided, not equal.
What this does not do: process limits, which are arithmetic on a ticket's times (`reports/matching.py`).
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
    LOCATION = "location"
    OCCURRED_AT = "occurred_at"
    CONTACT_PHONE = "contact_phone"
    MATTER = "matter_category"
    SATISFACTION = "satisfaction"
    REPEAT = "repeat"
    CALLBACK_WITHOUT_CALL = "callback_without_call"


CHECK_LABELS = {
    Check.CALL_WITHOUT_TICKET: "有通话无工单",
    Check.TICKET_WITHOUT_CALL: "有工单无录音",
    Check.LOCATION: "地点",
    Check.OCCURRED_AT: "时间",
    Check.CONTACT_PHONE: "联系电话",
    Check.MATTER: "事项类别",
    Check.SATISFACTION: "满意度",
    Check.REPEAT: "重复诉求未关联",
    Check.CALLBACK_WITHOUT_CALL: "回访记录无通话",
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

    duration_ms: answered to ended. disposition: glossary code or None. recorded: its recording can be heard.
    tickets_in: whether its ticket would be here by now. heard: what the rubric's checks found of the words, field by field,
    against the ticket heard_with.
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
    recorded: bool = True
    tickets_in: bool = True
    heard: tuple[tuple[Check, Outcome], ...] = ()
    heard_with: str = ""


@dataclass(frozen=True, slots=True)
class TicketSide:
    """A ticket as far as the comparison needs it. repeats: an earlier one of the same matter and number or place; None:
    it says too little of itself to tell."""

    ticket_no: str
    caller_number: str = ""
    contact_phone: str = ""
    location: str = ""
    accepted_at_ms: int | None = None
    callback_done_at_ms: int | None = None
    occurred_at_ms: int | None = None
    matter_category: str = ""
    satisfaction: str = ""
    parent_ticket_no: str = ""
    repeats: bool | None = False


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
    sure: dict[str, list[CallSide]] = {}
    maybe: dict[str, list[CallSide]] = {}
    for call in calls:
        for ticket_no in call.ticket_nos:
            sure.setdefault(ticket_no, []).append(call)
        for ticket_no in call.doubtful_ticket_nos:
            maybe.setdefault(ticket_no, []).append(call)
        if not from_ms <= call.started_at_ms < to_ms:
            continue
        found += _call_without_ticket(call)
        for ticket in (by_number[no] for no in call.ticket_nos if no in by_number):
            found += [*_location(call, ticket), *_phone(call, ticket), *_as_heard(call, ticket)]
    for ticket in tickets:
        known = (sure.get(ticket.ticket_no, ()), maybe.get(ticket.ticket_no, ()))
        found += _ticket_without_call(ticket, *known, from_ms, to_ms)
        if ticket.accepted_at_ms is not None and from_ms <= ticket.accepted_at_ms < to_ms:
            found += _repeat(ticket)
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
    elif not call.tickets_in:
        yield Finding(check, Outcome.UNDECIDED, Level.NONE, f"{who}，那段时间的工单还没有导入", call.call_id)
    else:
        yield Finding(check, Outcome.MISMATCH, Level.WARNING, f"{who}没有对应的工单，请核实是否漏建", call.call_id)


def _ticket_without_call(
    ticket: TicketSide, sure: Sequence[CallSide], maybe: Sequence[CallSide], from_ms: int, to_ms: int
) -> Iterator[Finding]:
    """sure, maybe: calls linked to the ticket, and those that wait for a person to say so."""
    for check, at_ms, direction, what in (
        (Check.TICKET_WITHOUT_CALL, ticket.accepted_at_ms, Direction.INBOUND, "受理"),
        (Check.CALLBACK_WITHOUT_CALL, ticket.callback_done_at_ms, Direction.OUTBOUND, "回访"),
    ):
        if at_ms is None or not from_ms <= at_ms < to_ms:
            continue
        said, number = f"工单 {ticket.ticket_no} 记为 {say_short(at_ms)} {what}", ticket.ticket_no
        calls = sorted((c for c in sure if c.direction is direction), key=lambda c: (not c.recorded, c.call_id))
        doubtful = sorted(c.call_id for c in maybe if c.direction is direction)
        if calls and (calls[0].recorded or check is Check.CALLBACK_WITHOUT_CALL):
            yield Finding(check, Outcome.MATCH, Level.NONE, f"{said}，有通话", calls[0].call_id, number)
        elif calls:
            text = f"{said}，通话在，但没有录音"
            yield Finding(check, Outcome.MISMATCH, Level.WARNING, text, calls[0].call_id, number)
        elif doubtful:
            yield Finding(check, Outcome.UNDECIDED, Level.HINT, f"{said}，有一通待确认的通话", doubtful[0], number)
        elif check is Check.TICKET_WITHOUT_CALL and not ticket.caller_number:
            text = f"{said}，没有来电号码，可能不是电话受理"
            yield Finding(check, Outcome.UNDECIDED, Level.NONE, text, None, number)
        else:
            text = f"{said}，但没有对应的接通录音，请核实"
            yield Finding(check, Outcome.MISMATCH, Level.WARNING, text, None, number)


def _repeat(ticket: TicketSide) -> Iterator[Finding]:
    """重复诉求: one that repeats an earlier ticket has to name it. A ticket that repeats none is not compared."""
    check = Check.REPEAT
    if ticket.parent_ticket_no:
        text = f"工单 {ticket.ticket_no} 已关联原工单 {ticket.parent_ticket_no}"
        yield Finding(check, Outcome.MATCH, Level.NONE, text, None, ticket.ticket_no)
    elif ticket.repeats is None:
        text = f"工单 {ticket.ticket_no} 没有事项类别，或号码、地点都没有，看不出是否重复"
        yield Finding(check, Outcome.UNDECIDED, Level.NONE, text, None, ticket.ticket_no)
    elif ticket.repeats:
        text = f"工单 {ticket.ticket_no} 与 30 日内的工单同事项、同号码或同地点，没有关联原工单"
        yield Finding(check, Outcome.MISMATCH, Level.HINT, text, None, ticket.ticket_no)


def _as_heard(call: CallSide, ticket: TicketSide) -> Iterator[Finding]:
    """Time and matter of a call that came in, satisfaction of a call-back: only the rubric's checks compare these."""
    inbound, callback = call.direction is Direction.INBOUND, call.call_type is CallType.CALLBACK
    heard = _heard(call, ticket)
    for check, due in (
        (Check.OCCURRED_AT, inbound and ticket.occurred_at_ms is not None),
        (Check.MATTER, inbound and bool(ticket.matter_category)),
        (Check.SATISFACTION, callback and bool(ticket.satisfaction)),
    ):
        if due:
            yield _found(check, heard.get(check, Outcome.UNDECIDED), call, ticket)


def _heard(call: CallSide, ticket: TicketSide) -> dict[Check, Outcome]:
    return dict(call.heard) if call.heard_with == ticket.ticket_no else {}


_OUTCOME_WORDS = {
    Outcome.MATCH: (Level.NONE, "与通话中所说一致"),
    Outcome.MISMATCH: (Level.HINT, "与通话中所说不一致，请听录音核实"),
    Outcome.UNDECIDED: (Level.NONE, "无法与通话比较"),
}


def _found(check: Check, outcome: Outcome, call: CallSide, ticket: TicketSide) -> Finding:
    level, words = _OUTCOME_WORDS[outcome]
    text = f"工单 {ticket.ticket_no} 的{CHECK_LABELS[check]}{words}"
    return Finding(check, outcome, level, text, call.call_id, ticket.ticket_no)


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
    heard = _heard(call, ticket).get(check)
    if heard in (Outcome.MATCH, Outcome.MISMATCH):
        yield _found(check, heard, call, ticket)
        return
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
    if call.transcript is None and check in (known := _heard(call, ticket)):
        yield _found(check, known[check], call, ticket)
        return
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
