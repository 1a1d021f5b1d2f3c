"""The facts a monthly report is made from, frozen: this month, the months before, calls, tickets and the leader's texts.

Built from rows by the use case; nothing here comes from a clock or a file. Only submitted evaluations have a Score.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from callqa.periods import Month
from callqa.reports.appeals import MonthAppeals
from callqa.reports.appendix import Appendix
from callqa.reports.assessing import Assessing
from callqa.reports.improving import ActionFact, CaseFact
from callqa.reports.matching import Matching
from callqa.reports.trusted import Trusted
from callqa.scoring.plan import Stratum

_COMPOUND_SURNAMES = (
    "欧阳",
    "司马",
    "上官",
    "诸葛",
    "夏侯",
    "东方",
    "皇甫",
    "尉迟",
    "令狐",
    "慕容",
    "司徒",
    "长孙",
    "端木",
)


@dataclass(frozen=True, slots=True)
class ScoredItem:
    """One item of one evaluation; points None where not applicable."""

    item_id: str
    max_points: float
    points: float | None

    @property
    def lost(self) -> float:
        """Points deducted, after the item's floor."""
        return 0.0 if self.points is None else self.max_points - self.points


@dataclass(frozen=True, slots=True)
class DeductionFact:
    """One chosen option with its evidence."""

    item_id: str
    option_code: str
    times: int
    points: float
    at_ms: int | None
    note: str


@dataclass(frozen=True, slots=True)
class FatalFact:
    """A fatal finding; it counts once a second person confirmed it, and never where he refused it. hinted: the machine had suspected it."""

    fatal_id: str
    at_ms: int
    words: str
    confirmed_by: str
    second_confirmed_by: str | None
    hinted: bool = False
    refused_by: str | None = None  # the second person who did not agree
    appeal: str = ""  # what became of the agent's appeal, in words; "" without one

    @property
    def is_confirmed(self) -> bool:
        return self.second_confirmed_by is not None

    @property
    def waits(self) -> bool:
        """Whether its second person has not spoken yet."""
        return not self.is_confirmed and self.refused_by is None

    @property
    def standing_words(self) -> str:
        """What to put behind its name where it does not count."""
        return "" if self.is_confirmed else "（待确认）" if self.waits else "（不认可）"


@dataclass(frozen=True, slots=True)
class Score:
    """A submitted evaluation. suggested, accepted: machine's suggestions and those the leader took."""

    quality_score: float
    final_score: float
    grade: str
    status: str
    evaluator: str
    submitted_at_ms: int | None
    elapsed_ms: int
    rubric_hash: str
    items: tuple[ScoredItem, ...]
    deductions: tuple[DeductionFact, ...] = ()
    fatals: tuple[FatalFact, ...] = ()
    suggested: int = 0
    accepted: int = 0

    @property
    def confirmed_fatals(self) -> tuple[FatalFact, ...]:
        return tuple(fatal for fatal in self.fatals if fatal.is_confirmed)


@dataclass(frozen=True, slots=True)
class FramedCall:
    """A call of the frozen frame, or (score) a sampled one. shift: day | night | holiday."""

    call_id: str
    agent_no: str
    stratum: Stratum
    call_type: str
    started_at_ms: int
    duration_ms: int
    shift: str
    seat: str = ""
    ticket_no: str = ""
    drawn_as: str = ""  # sample | reserve, "" outside the sample
    rank: str = ""  # hex; by it the draw put the calls of an agent and stratum in order
    score: Score | None = None
    confidential: bool = False  # 保密件: it counts in every figure, and no table tells which call it is

    @property
    def call_label(self) -> str:
        return "保密件" if self.confidential else self.call_id


@dataclass(frozen=True, slots=True)
class Drawing:
    """How the sample came about, for table 2-4."""

    frozen_at_ms: int
    committed_at_ms: int | None
    revealed_at_ms: int | None
    commit_a: str
    commit_b: str
    commit_a_by: str
    commit_b_by: str
    nonce_a: str
    nonce_b: str
    seed: str
    by_one_person: bool


@dataclass(frozen=True, slots=True)
class MonthSample:
    """One month's frame with what was drawn and scored of it.

    counts: connected, exclusions and gaps by code, frame; by agent under `by_agent` ("" for calls of nobody).
    planned: calls to draw by agent and stratum before any replacement; reserves_used by agent.
    """

    month: Month
    frame_hash: str
    plan_hash: str
    demo: bool
    partial: bool
    counts: Mapping[str, object]
    calls: tuple[FramedCall, ...]
    planned: Mapping[tuple[str, Stratum], int]
    reserves_used: Mapping[str, int]
    drawing: Drawing

    @property
    def sampled(self) -> tuple[FramedCall, ...]:
        """The calls to score."""
        return tuple(call for call in self.calls if call.drawn_as)

    @property
    def scored(self) -> tuple[tuple[FramedCall, Score], ...]:
        """The scored calls with their scores."""
        return tuple((call, call.score) for call in self.calls if call.drawn_as and call.score is not None)

    @property
    def agents(self) -> tuple[str, ...]:
        """Agents with a framed call."""
        return tuple(sorted({call.agent_no for call in self.calls}))

    @property
    def rubrics(self) -> frozenset[str]:
        """Rubric versions used."""
        return frozenset(score.rubric_hash for _, score in self.scored)


@dataclass(frozen=True, slots=True)
class ItemInfo:
    """What a report says of a rubric item. options: code and label."""

    item_id: str
    title: str
    section_id: str
    max_points: float
    critical: str
    options: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class FatalInfo:
    """What a report says of a fatal item. critical: a code of the rubric's critical_classes, or "none"."""

    fatal_id: str
    title: str
    critical: str


@dataclass(frozen=True, slots=True)
class RubricSheet:
    """The rubric as a report quotes it. grades: code, label and lower bound, best first."""

    rubric_hash: str
    label: str
    pass_line: float
    grades: tuple[tuple[str, str, float], ...]
    sections: tuple[tuple[str, str], ...]
    items: tuple[ItemInfo, ...]
    fatals: tuple[FatalInfo, ...]

    def item(self, item_id: str) -> ItemInfo:
        """The item, or its bare id where another version had it."""
        unknown = ItemInfo(item_id, item_id, item_id.split(".")[0], 0, "none", ())
        return next((item for item in self.items if item.item_id == item_id), unknown)

    def option_label(self, item_id: str, code: str) -> str:
        """The option's label, or its bare code where another version had it."""
        return dict(self.item(item_id).options).get(code, code)

    def fatal(self, fatal_id: str) -> FatalInfo:
        """The fatal item, or its bare id where another version had it."""
        return next((f for f in self.fatals if f.fatal_id == fatal_id), FatalInfo(fatal_id, fatal_id, "none"))

    def grade_label(self, code: str) -> str:
        """The grade's label, or its bare code where another version had it."""
        return next((label for grade, label, _ in self.grades if grade == code), code)


@dataclass(frozen=True, slots=True)
class CallFact:
    """A call for the running figures: any outcome, excluded ones left out before."""

    direction: str
    outcome: str
    started_at_ms: int
    ring_ms: int | None


@dataclass(frozen=True, slots=True)
class TicketFact:
    """A ticket's times for the running figures."""

    due_at_ms: int | None
    closed_at_ms: int | None
    callback_done_at_ms: int | None
    callback_attempts: int | None
    satisfaction: str


@dataclass(frozen=True, slots=True)
class ReviewRow:
    """定向必检, one trigger: calls it caught, done in time, and what they showed."""

    trigger: str
    due: int
    on_time: int
    fatal: int
    failed: int


@dataclass(frozen=True, slots=True)
class SuspectRow:
    """疑似致命处置, one fatal item: machine hints, looked at, confirmed."""

    fatal_id: str
    hinted: int
    checked: int
    confirmed: int


@dataclass(frozen=True, slots=True)
class MonthFacts:
    """Everything of one report. history: earlier months, oldest first, no gaps implied. texts: slot -> text."""

    sample: MonthSample
    history: tuple[MonthSample, ...]
    rubric: RubricSheet
    agent_names: Mapping[str, str]
    calls: tuple[CallFact, ...]
    tickets: tuple[TicketFact, ...]
    previous_calls: tuple[CallFact, ...]
    previous_tickets: tuple[TicketFact, ...]
    must_review: tuple[ReviewRow, ...]
    suspects: tuple[SuspectRow, ...]
    void_frames: int
    late_calls: int
    made_at_ms: int
    report_no: str
    version: int
    hotline_name: str
    organisation: str
    prepared_by: str
    texts: Mapping[str, str] = field(default_factory=dict)
    appeals: MonthAppeals = field(default_factory=MonthAppeals)
    previous_appeals: MonthAppeals = field(default_factory=MonthAppeals)
    trusted: Trusted = field(default_factory=Trusted)
    cases: tuple[CaseFact, ...] = ()
    actions: tuple[ActionFact, ...] = ()
    matching: Matching = field(default_factory=Matching)
    assessing: Assessing = field(default_factory=Assessing)
    appendix: Appendix = field(default_factory=Appendix)

    @property
    def month(self) -> Month:
        return self.sample.month

    def agent_label(self, agent_no: str) -> str:
        """工号 + 姓."""
        name = self.agent_names.get(agent_no, "")
        surname = name[:2] if name[:2] in _COMPOUND_SURNAMES and len(name) > 2 else name[:1]
        return f"{agent_no} {surname}".rstrip()

    def past(self, month: Month) -> MonthSample | None:
        """An earlier month's sample, None where there is none."""
        return next((sample for sample in self.history if sample.month == month), None)

    def recent(self, months: int) -> Iterator[MonthSample]:
        """Up to so many latest months with this one last; months without a sample are missing."""
        first = self.month
        for _ in range(months - 1):
            first = first.previous()
        yield from (sample for sample in self.history if first <= sample.month < self.month)
        yield self.sample
