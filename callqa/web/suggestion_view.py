"""Suggestions as a page shows them: item and option by name, evidence with the place to play. Pure.

The scoring page uses the same values. A rubric that cannot be read (or is not given) leaves the ids as names.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from callqa.privacy import mask_quote, mask_text
from callqa.scoring.criteria import Rubric
from callqa.store.tables import SuggestionRow

OPERATOR_LABELS = {
    "keyword_any": "出现用语",
    "keyword_all": "用语齐全",
    "keyword_none": "未出现用语",
    "regex": "句式匹配",
    "similar": "与话术相近",
    "context_repeat": "反复说",
    "entity": "要素",
    "silence": "双方静音",
    "response_delay": "应答迟",
    "overlap": "抢话",
    "speech_rate": "语速",
    "volume": "音量",
    "talk_ratio": "说话占比",
    "duration": "时长",
    "ring_time": "振铃",
    "hangup_by": "挂机方",
    "ticket_linked": "工单关联",
    "ticket_fields": "工单字段",
    "ticket_match": "工单与通话",
    "ticket_time": "工单时限",
}

# What signalling or the ticket tells: without a channel it has no place in the recording.
RECORD_OPERATORS = frozenset(
    {"duration", "ring_time", "hangup_by", "ticket_linked", "ticket_fields", "ticket_match", "ticket_time"}
)


@dataclass(frozen=True, slots=True)
class EvidenceView:
    """One piece of evidence. channel: 0 citizen, 1 agent, None both or neither; playable: it can be heard."""

    channel: int | None
    start_ms: int
    end_ms: int
    quote: str
    operator: str
    params: str
    playable: bool = True

    @property
    def place(self) -> str:
        """Where it is, to show one piece a place; what cannot be heard differs by what it says."""
        return f"@{self.start_ms}" if self.playable else self.quote or self.operator

    @property
    def side(self) -> str:
        return {0: "citizen", 1: "agent"}.get(-1 if self.channel is None else self.channel, "plain")


@dataclass(frozen=True, slots=True)
class SuggestionView:
    """One suggestion in words."""

    suggestion_id: int
    check_id: str
    item_id: str
    item_title: str
    option_code: str | None
    option_label: str
    fatal: bool
    level: str
    points: float
    reason: str
    evidence: tuple[EvidenceView, ...]
    shown_level: str = ""  # as the card treats it: the rule may preselect, the item may not be trusted with it
    trust: str = ""  # why, where the rule would preselect
    times: int = 1  # how often its option counts; `points` holds them all


Pieces = Mapping[str, tuple[int, ...]]
NO_PIECES: Pieces = MappingProxyType({})
UNKNOWN_TRUST = "开始评分时还没有可信度数据，只作提示"


def view_suggestions(
    rows: Sequence[SuggestionRow],
    rubric: Rubric | None,
    trust: Mapping[str, Mapping[str, Any]] | None = None,
    pieces: Pieces = NO_PIECES,
) -> tuple[SuggestionView, ...]:
    """Every suggestion with names instead of codes; suspected fatal ones first, then in the rubric's order.

    Numbers are masked for everybody: whole ones are in the transcript and the ticket, where the right to see them is asked for.
    trust: what a card pinned of its items (usecases/trust.py); None where nothing is to be preselected. pieces: as
    `privacy.number_pieces` finds them in the call.
    """
    titles = {item.item_id: item.title for item in rubric.items} if rubric else {}
    fatals = {fatal.fatal_id: fatal.title for fatal in rubric.fatal_items} if rubric else {}
    options = {(i.item_id, o.code): o.label for i in rubric.items for o in i.options} if rubric else {}
    order = {item_id: index for index, item_id in enumerate(titles)}
    views = [
        SuggestionView(
            suggestion_id=row.id or 0,
            check_id=row.check_id,
            item_id=row.fatal_id or row.item_id,
            item_title=fatals.get(row.fatal_id, "") if row.fatal_id else titles.get(row.item_id, ""),
            option_code=row.option_code,
            option_label=options.get((row.item_id, row.option_code), "") if row.option_code else "",
            fatal=row.fatal_id is not None,
            level=row.level,
            points=row.points,
            reason=mask_text(row.reason),
            evidence=_by_place(_evidence(e, pieces) for e in row.evidence),
            shown_level=_shown_level(row, trust),
            trust=_trust_text(row, trust),
            times=row.times,
        )
        for row in rows
    ]
    return tuple(sorted(views, key=lambda v: (not v.fatal, order.get(v.item_id, len(order)), v.suggestion_id)))


def _shown_level(row: SuggestionRow, trust: Mapping[str, Mapping[str, Any]] | None) -> str:
    if trust is None or row.level != "preselect" or trust.get(row.item_id, {}).get("ok"):
        return row.level
    return "hint"


def _trust_text(row: SuggestionRow, trust: Mapping[str, Mapping[str, Any]] | None) -> str:
    if trust is None or row.level != "preselect" or row.option_code is None:
        return ""
    return str(trust.get(row.item_id, {}).get("why", UNKNOWN_TRUST))


def _by_place(evidence: Iterable[EvidenceView]) -> tuple[EvidenceView, ...]:
    """One chip a place and quote: several conditions of one check often searched the same words."""
    return tuple({(e.channel, e.start_ms, e.end_ms, e.quote): e for e in reversed(list(evidence))}.values())[::-1]


def _evidence(stored: dict[str, object], pieces: Pieces) -> EvidenceView:
    channel, start, end = stored.get("channel"), stored.get("start_ms"), stored.get("end_ms")
    operator, quote = str(stored.get("operator") or ""), str(stored.get("quote") or "")
    playable = isinstance(channel, int) or operator not in RECORD_OPERATORS
    return EvidenceView(
        channel=channel if isinstance(channel, int) else None,
        start_ms=start if isinstance(start, int) else 0,
        end_ms=end if isinstance(end, int) else 0,
        quote=mask_quote(quote, pieces) if playable else mask_text(quote),
        operator=OPERATOR_LABELS.get(operator, operator),
        params=mask_text(str(stored.get("params") or "")),
        playable=playable,
    )
