"""通话事实: everything the checks may know of one call, as frozen values. Built from rows by a use case."""

from dataclasses import dataclass

from callqa.speech import Gap, Transcript
from callqa.units import CallType, Direction


@dataclass(frozen=True, slots=True)
class TicketFacts:
    """The linked ticket, in the rubric's field names (instants with `_ms`: UTC milliseconds).

    location: without district when `district` is given. contact_phone: canonical digits.
    """

    ticket_no: str
    title: str = ""
    category: str = ""
    matter_category: str = ""
    citizen_name: str = ""
    district: str = ""
    location: str = ""
    content: str = ""
    contact_phone: str = ""
    handling_unit: str = ""
    satisfaction: str = ""
    verify_note: str = ""
    parent_ticket_no: str = ""
    result: str = ""
    urgent_flag: bool = False
    callback_attempts: int | None = None
    occurred_at_ms: int | None = None
    accepted_at_ms: int | None = None  # ticket_created_at of the rubric
    dispatched_at_ms: int | None = None
    due_at_ms: int | None = None
    reported_at_ms: int | None = None
    result_received_at_ms: int | None = None
    closed_at_ms: int | None = None
    callback_done_at_ms: int | None = None
    rework_requested_at_ms: int | None = None


# The rubric's ticket fields and the attribute each reads.
TICKET_FIELDS = {
    name: name
    for name in [
        "ticket_no",
        "title",
        "category",
        "matter_category",
        "citizen_name",
        "district",
        "location",
        "content",
        "contact_phone",
        "handling_unit",
        "satisfaction",
        "verify_note",
        "parent_ticket_no",
        "result",
        "urgent_flag",
        "callback_attempts",
    ]
} | {
    "occurred_at": "occurred_at_ms",
    "ticket_created_at": "accepted_at_ms",
    "dispatched_at": "dispatched_at_ms",
    "due_at": "due_at_ms",
    "reported_at": "reported_at_ms",
    "result_received_at": "result_received_at_ms",
    "closed_at": "closed_at_ms",
    "callback_done_at": "callback_done_at_ms",
    "rework_requested_at": "rework_requested_at_ms",
}

TICKET_FIELD_LABELS = {
    "ticket_no": "工单编号",
    "title": "标题",
    "category": "诉求性质",
    "matter_category": "事项类别",
    "citizen_name": "诉求人",
    "district": "行政区",
    "location": "地点",
    "content": "诉求内容",
    "contact_phone": "联系电话",
    "handling_unit": "承办单位",
    "satisfaction": "满意度",
    "verify_note": "核实记录",
    "parent_ticket_no": "原工单编号",
    "result": "办理结果",
    "urgent_flag": "险情加急",
    "callback_attempts": "回访次数",
    "occurred_at": "发生时间",
    "ticket_created_at": "受理时间",
    "dispatched_at": "交办时间",
    "due_at": "办理时限",
    "reported_at": "上报时间",
    "result_received_at": "结果反馈时间",
    "closed_at": "办结时间",
    "callback_done_at": "回访时间",
    "rework_requested_at": "二次办理时间",
}

PROCESS_TIMES = {
    "call_started": "通话开始",
    "call_answered": "接通",
    "call_ended": "通话结束",
    "callback_started_at": "回访开始",
} | {name: TICKET_FIELD_LABELS[name] for name, attribute in TICKET_FIELDS.items() if attribute.endswith("_ms")}

CALL_FIELDS = {
    "disposition": "通话处置",
    "transferred": "已转接",
    "direction": "呼叫方向",
    "hangup_party": "挂机方",
    "type": "通话类型",
}


def ticket_value(ticket: TicketFacts, field: str) -> str | int | bool | None:
    """The value of a rubric's ticket field. KeyError for a field that does not exist."""
    value: str | int | bool | None = getattr(ticket, TICKET_FIELDS[field])
    return value


@dataclass(frozen=True, slots=True)
class ProcessTimes:
    """When the call itself happened, UTC milliseconds."""

    call_started_at_ms: int | None = None
    call_answered_at_ms: int | None = None
    call_ended_at_ms: int | None = None


@dataclass(frozen=True, slots=True)
class CallFacts:
    """One call as the checks see it.

    duration_ms: length of the recording. answer_ms: where the answer lies in the recording. loudness: dBFS per utterance of
    the transcript, in its order, None where it cannot be measured; empty when the audio was not measured. ticket None = not
    linked; tickets_in False = nor could it be, for the tickets of the call's time are not imported yet. hangup_party: agent | citizen | network | None when signalling did not tell.
    """

    call_type: CallType
    direction: Direction
    duration_ms: int
    transcript: Transcript | None = None
    ring_ms: int | None = None
    hangup_party: str | None = None
    disposition: str | None = None
    transferred: bool = False
    gaps: tuple[Gap, ...] = ()
    ticket: TicketFacts | None = None
    loudness: tuple[float | None, ...] = ()
    times: ProcessTimes = ProcessTimes()
    answer_ms: int = 0
    tickets_in: bool = True

    def __post_init__(self) -> None:
        if self.duration_ms < 0 or self.answer_ms < 0:
            raise ValueError(f"duration {self.duration_ms} ms and answer {self.answer_ms} ms must not be negative")
        if self.loudness and self.transcript is not None and len(self.loudness) != len(self.transcript.utterances):
            raise ValueError(f"{len(self.loudness)} loudness figures for {len(self.transcript.utterances)} utterances")

    def instant_ms(self, name: str) -> int | None:
        """When a step of PROCESS_TIMES happened, or None when nobody noted it."""
        if name == "callback_started_at":
            return self.times.call_started_at_ms if self.call_type is CallType.CALLBACK else None
        own = {
            "call_started": self.times.call_started_at_ms,
            "call_answered": self.times.call_answered_at_ms,
            "call_ended": self.times.call_ended_at_ms,
        }
        if name in own:
            return own[name]
        value = ticket_value(self.ticket, name) if self.ticket is not None else None
        return value if isinstance(value, int) and not isinstance(value, bool) else None
