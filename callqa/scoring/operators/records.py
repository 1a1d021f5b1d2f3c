"""Operators on signalling and the ticket: duration, ring_time, hangup_by, ticket_linked, ticket_fields, ticket_time."""

from callqa.scoring.condition_tree import OperatorCall
from callqa.scoring.facts import PROCESS_TIMES, TICKET_FIELD_LABELS, TICKET_FIELDS, ticket_value
from callqa.scoring.operators.finding import Finding, Hit, State, not_checked
from callqa.scoring.operators.operator import Operator, ParamKind, ParamSpec
from callqa.scoring.operators.scene import Scene
from callqa.units import PARTY_LABELS

MS_PER_MINUTE = 60_000


def _decided(call: OperatorCall, scene: Scene, holds: bool, text: str) -> Finding:
    evidence = scene.record(call, text)
    if holds:
        return Finding(State.HIT, text, (Hit(evidence),), (evidence,))
    return Finding(State.MISS, text, (), (evidence,))


def duration(call: OperatorCall, scene: Scene) -> Finding:
    """Hit when the call's length lies in [min_s, max_s]."""
    length_s = scene.facts.duration_ms / 1000
    low, high = call.params.optional_number("min_s"), call.params.optional_number("max_s")
    inside = (low is None or length_s >= low) and (high is None or length_s <= high)
    return _decided(call, scene, inside, f"通话时长 {length_s:.1f} 秒")


def ring_time(call: OperatorCall, scene: Scene) -> Finding:
    """Hit when it rang longer than max_s before the answer."""
    if scene.facts.ring_ms is None:
        return Finding(State.UNSURE, "话单没有振铃时长")
    ring_s = scene.facts.ring_ms / 1000
    return _decided(call, scene, ring_s > call.params.number("max_s"), f"振铃 {ring_s:.1f} 秒后接听")


def hangup_by(call: OperatorCall, scene: Scene) -> Finding:
    """Hit when `party` hung up first, no later than max_after_last_speech_s after the last words."""
    if scene.facts.hangup_party is None:
        return Finding(State.UNSURE, "话单没有挂机方")
    party = PARTY_LABELS.get(scene.facts.hangup_party, scene.facts.hangup_party)
    if scene.facts.hangup_party != call.params.text("party"):
        return _decided(call, scene, False, f"由{party}挂机")
    limit_s = call.params.optional_number("max_after_last_speech_s")
    if limit_s is None:
        return _decided(call, scene, True, f"由{party}挂机")
    if scene.facts.transcript is None:
        return not_checked("没有转写，不知最后一句话何时说完，待人工")
    after_s = (scene.facts.duration_ms - scene.last_speech_ms) / 1000
    return _decided(call, scene, after_s <= limit_s, f"最后一句话后 {after_s:.1f} 秒由{party}挂机")


def ticket_linked(call: OperatorCall, scene: Scene) -> Finding:
    """Hit when the call is linked to a ticket. Abstains where the tickets of its time are not here yet."""
    ticket = scene.facts.ticket
    if ticket is None and not scene.facts.tickets_in:
        return not_checked("这通电话时段的工单还没有导入，暂不判断是否建单；导入后自动重新核对")
    text = f"已关联工单 {ticket.ticket_no}" if ticket is not None else "未关联工单"
    return _decided(call, scene, (ticket is not None) == call.params.flag("required", True), text)


def ticket_fields(call: OperatorCall, scene: Scene) -> Finding:
    """Hit when all fields are filled (a yes/no field: yes), max_missing of them apart."""
    ticket = scene.facts.ticket
    if ticket is None:
        return not_checked("通话未关联工单")
    fields = call.params.texts("required_fields")
    missing = [TICKET_FIELD_LABELS[field] for field in fields if not _filled(ticket_value(ticket, field))]
    names = "、".join(missing) if missing else "、".join(TICKET_FIELD_LABELS[field] for field in fields)
    text = f"工单 {ticket.ticket_no} 缺：{names}" if missing else f"工单 {ticket.ticket_no} 已填：{names}"
    return _decided(call, scene, len(missing) <= int(call.params.number("max_missing", 0)), text)


def _filled(value: str | int | bool | None) -> bool:
    """Whether a field says something: 否, 0 次 and blanks do not."""
    return bool(value.strip() if isinstance(value, str) else value)


def ticket_time(call: OperatorCall, scene: Scene) -> Finding:
    """Hit when `to` follows `from` within max_minutes; earlier than `from` is in time as well."""
    start, end = call.params.text("from"), call.params.text("to")
    start_ms, end_ms = scene.facts.instant_ms(start), scene.facts.instant_ms(end)
    for name, instant_ms in ((start, start_ms), (end, end_ms)):
        if instant_ms is None:
            return Finding(State.UNSURE, f"没有“{PROCESS_TIMES[name]}”的时间，无从核对")
    assert start_ms is not None and end_ms is not None
    minutes = (end_ms - start_ms) / MS_PER_MINUTE
    limit = call.params.number("max_minutes")
    spent = f"隔 {minutes:.0f} 分钟" if minutes >= 0 else f"早 {-minutes:.0f} 分钟"
    text = f"{PROCESS_TIMES[start]}到{PROCESS_TIMES[end]}{spent}（限 {limit:g} 分钟）"
    return _decided(call, scene, minutes <= limit, text)


def _describe_duration(call: OperatorCall) -> str:
    low, high = call.params.optional_number("min_s"), call.params.optional_number("max_s")
    return f"{'不限' if low is None else f'{low:g}'} 至 {'不限' if high is None else f'{high:g}'} 秒"


def _describe_hangup(call: OperatorCall) -> str:
    limit_s = call.params.optional_number("max_after_last_speech_s")
    by = f"由{PARTY_LABELS[call.params.text('party')]}挂机"
    return by if limit_s is None else f"{by}，且在最后一句话后 {limit_s:g} 秒内"


def _describe_time(call: OperatorCall) -> str:
    start, end = PROCESS_TIMES[call.params.text("from")], PROCESS_TIMES[call.params.text("to")]
    return f"{start}到{end}不超过 {call.params.number('max_minutes'):g} 分钟"


_SECONDS_RANGE = (
    ParamSpec("min_s", ParamKind.NUMBER, minimum=0),
    ParamSpec("max_s", ParamKind.NUMBER, minimum=0),
)

ROWS = (
    Operator(
        "duration",
        "通话时长",
        "call",
        _SECONDS_RANGE,
        "通话时长落在 [min_s, max_s] 内（缺省端不限）",
        duration,
        _describe_duration,
        ("min_s", "max_s"),
    ),
    Operator(
        "ring_time",
        "振铃时长",
        "call",
        (ParamSpec("max_s", ParamKind.NUMBER, required=True, minimum=0),),
        "振铃到接听 > max_s",
        ring_time,
        lambda call: f"超过 {call.params.number('max_s'):g} 秒",
    ),
    Operator(
        "hangup_by",
        "挂机方",
        "call",
        (
            ParamSpec("party", ParamKind.CHOICE, required=True, choices=tuple(PARTY_LABELS)),
            ParamSpec("max_after_last_speech_s", ParamKind.NUMBER, minimum=0),
        ),
        "由 party 先挂机，且距最后一句话 ≤ max_after_last_speech_s（由信令 BYE 方向判定）",
        hangup_by,
        _describe_hangup,
    ),
    Operator(
        "ticket_linked",
        "关联工单",
        "ticket",
        (ParamSpec("required", ParamKind.FLAG),),
        "通话已关联工单；未关联而该时段工单尚未导入时不判（not_checked）",
        ticket_linked,
        lambda call: "已关联" if call.params.flag("required", True) else "未关联",
    ),
    Operator(
        "ticket_fields",
        "工单字段",
        "ticket",
        (
            ParamSpec("required_fields", ParamKind.CHOICES, required=True, choices=tuple(TICKET_FIELDS)),
            ParamSpec("max_missing", ParamKind.WHOLE, minimum=0),
        ),
        "所列字段均非空（布尔字段须为真），允许缺 max_missing 项（缺省 0）",
        ticket_fields,
        lambda call: "、".join(TICKET_FIELD_LABELS[field] for field in call.params.texts("required_fields")),
    ),
    Operator(
        "ticket_time",
        "环节用时",
        "ticket",
        (
            ParamSpec("from", ParamKind.CHOICE, required=True, choices=tuple(PROCESS_TIMES)),
            ParamSpec("to", ParamKind.CHOICE, required=True, choices=tuple(PROCESS_TIMES)),
            ParamSpec("max_minutes", ParamKind.NUMBER, required=True, minimum=0),
        ),
        "两环节时间差 ≤ max_minutes；任一时间缺失时为 unsure",
        ticket_time,
        _describe_time,
    ),
)
