"""What the calibration pages show: the list of sessions, the choices of a new one, and a session's comparison."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations

from sqlmodel import Session, col, select

from callqa.periods import Month, say_short
from callqa.scoring.agreement import MIN_CALLS, Agreement, AgreementTable, tabulate
from callqa.scoring.trust import Figures, ScoreAgreement, figures_by_call, score_agreement
from callqa.store.queries.confidential import hidden_from, is_public
from callqa.store.tables import (
    Account,
    CalibrationSession,
    Call,
    Deduction,
    Evaluation,
    EvaluationItem,
    SamplingFrame,
)
from callqa.usecases.blind import double_scores, evaluator_names
from callqa.usecases.second_look import MAX_CALLS, RATER_ROLES, cards_of
from callqa.usecases.trust import score_pair

RECENT_CALLS = 60
MIN_INTERVAL_CALLS = 5  # under this a domain has no interval either (sampling.md §5.1)
HIDDEN = "保密件"  # stands for a call that the reader may not open


@dataclass(frozen=True, slots=True)
class SessionLine:
    """One session in the list. done: submitted cards of `wanted`."""

    row: CalibrationSession
    done: int
    wanted: int


@dataclass(frozen=True, slots=True)
class Choices:
    """What a new session may hold: calls with a recording, newest first, and people who may rate.

    double: 双评样本 of the newest month that was drawn, those not yet in a session; double_month: its name, "" without.
    """

    calls: Sequence[Call]
    raters: Sequence[Account]
    double: Sequence[Call] = ()
    double_month: str = ""


@dataclass(frozen=True, slots=True)
class CallLine:
    """One call of a session: the cards by rater in the session's order (None: not begun), the spread of the scores."""

    call: Call
    cards: tuple[Evaluation | None, ...]

    @property
    def spread(self) -> float | None:
        scores = [card.quality_score for card in self.cards if card is not None and card.quality_score is not None]
        return max(scores) - min(scores) if len(scores) > 1 else None


@dataclass(frozen=True, slots=True)
class PairLine:
    """Two raters over all calls; the second is the reference where the session has one. Differences are first − second."""

    first: str
    second: str
    scores: ScoreAgreement


@dataclass(frozen=True, slots=True)
class ItemLine:
    """One item over all calls and pairs of raters, and who deducted on which call where they differ.

    n_calls: compared by at least one pair; the call is what the intervals draw again, and what counts as a sample. Below
    MIN_INTERVAL_CALLS the figures have no intervals.
    """

    item_id: str
    figures: Figures
    n_calls: int
    differences: tuple[str, ...]

    @property
    def agreement(self) -> Agreement:
        return self.figures.agreement

    @property
    def enough(self) -> bool:
        return self.n_calls >= MIN_CALLS


@dataclass(frozen=True, slots=True)
class SessionView:
    """One session. calls: with one's own card only before it is opened; pairs and items are empty until then."""

    row: CalibrationSession
    raters: tuple[str, ...]
    calls: tuple[CallLine, ...]
    own: int | None  # the viewer's place among the raters
    done: tuple[int, ...]  # submitted cards by rater
    pairs: tuple[PairLine, ...]
    items: tuple[ItemLine, ...]
    rubric_hash: str | None
    reference: str | None = None  # 基准评分人

    @property
    def all_in(self) -> bool:
        return all(count == len(self.calls) for count in self.done)


def list_sessions(session: Session) -> list[SessionLine]:
    """Every session, newest first."""
    rows = session.exec(select(CalibrationSession).order_by(col(CalibrationSession.id).desc())).all()
    return [
        SessionLine(
            row, sum(c.status != "draft" for c in cards_of(session, row)), len(row.call_ids) * len(row.rater_ids)
        )
        for row in rows
    ]


def choices(session: Session) -> Choices:
    """Recent recorded calls and active accounts that may rate."""
    calls = session.exec(
        select(Call)
        .where(Call.outcome == "answered", Call.recording_status == "ok", is_public())
        .order_by(col(Call.started_at_ms).desc())
        .limit(RECENT_CALLS)
    ).all()
    raters = session.exec(
        select(Account)
        .where(col(Account.role).in_(RATER_ROLES), col(Account.active).is_(True))
        .order_by(col(Account.id))
    ).all()
    month, double = _double_sample(session)
    chosen = {call.call_id for call in double}
    return Choices([call for call in calls if call.call_id not in chosen], raters, double, month)


def _double_sample(session: Session) -> tuple[str, Sequence[Call]]:
    frame = session.exec(
        select(SamplingFrame).where(SamplingFrame.state == "revealed").order_by(col(SamplingFrame.month).desc())
    ).first()
    if frame is None:
        return "", ()
    taken = {call_id for row in session.exec(select(CalibrationSession)) for call_id in row.call_ids}
    wanted = [call_id for call_id in double_scores(session, frame) if call_id not in taken][:MAX_CALLS]
    rows = session.exec(select(Call).where(col(Call.call_id).in_(wanted), is_public())).all()
    return Month.parse(frame.month).label, sorted(rows, key=lambda call: call.started_at_ms)


def session_view(session: Session, session_id: int, account_id: int) -> SessionView | None:
    """A session as one person may see it now; None when there is none."""
    row = session.get(CalibrationSession, session_id)
    if row is None:
        return None
    opened = row.opened_at_ms is not None
    cards = {(card.call_id, card.evaluator_id): card for card in cards_of(session, row)}
    names = evaluator_names(session)
    own = row.rater_ids.index(account_id) if account_id in row.rater_ids else None
    lines = []
    for call_id in row.call_ids:
        call = session.get(Call, call_id)
        if call is not None:
            shown = [cards.get((call_id, r)) if opened or r == account_id else None for r in row.rater_ids]
            lines.append(CallLine(call, tuple(shown)))
    done = tuple(
        sum(cards[call_id, r].status != "draft" for call_id in row.call_ids if (call_id, r) in cards)
        for r in row.rater_ids
    )
    pairs = _pairs(session, row, cards, names) if opened else ()
    items = _items(session, row, cards, names, hidden_from(session, account_id)) if opened else ()
    some = next(iter(cards.values()), None)
    raters = tuple(names.get(r, str(r)) for r in row.rater_ids)
    reference = names.get(row.reference_evaluator, "") if row.reference_evaluator is not None else None
    rubric_hash = some.rubric_hash if some else None
    return SessionView(row, raters, tuple(lines), own, done, pairs, items, rubric_hash, reference)


Cards = dict[tuple[str, int], Evaluation]


def _pairs(session: Session, row: CalibrationSession, cards: Cards, names: dict[int, str]) -> tuple[PairLine, ...]:
    return tuple(
        PairLine(
            names.get(a, ""),
            names.get(b, ""),
            score_agreement(
                [
                    score_pair(session, cards[c, a], cards[c, b])
                    for c in row.call_ids
                    if (c, a) in cards and (c, b) in cards
                ]
            ),
        )
        for a, b in _compared(row)
    )


def _compared(row: CalibrationSession) -> list[tuple[int, int]]:
    """Who is held against whom: each rater against the reference, or everybody against everybody."""
    if row.reference_evaluator is None:
        return list(combinations(row.rater_ids, 2))
    return [(r, row.reference_evaluator) for r in row.rater_ids if r != row.reference_evaluator]


def _items(
    session: Session, row: CalibrationSession, cards: Cards, names: dict[int, str], hidden: frozenset[str]
) -> tuple[ItemLine, ...]:
    ids = [card.id for card in cards.values()]
    deducted = {
        (d.evaluation_id, d.item_id)
        for d in session.exec(select(Deduction).where(col(Deduction.evaluation_id).in_(ids)))
    }
    rows = session.exec(select(EvaluationItem).where(col(EvaluationItem.evaluation_id).in_(ids))).all()
    applies = {(item.evaluation_id, item.item_id) for item in rows if not item.not_applicable}
    found = []
    for item_id in sorted({item.item_id for item in rows}):
        told: list[AgreementTable] = []
        differences = []
        for call_id in row.call_ids:
            own = {
                r: card for r in row.rater_ids if (card := cards.get((call_id, r))) and (card.id, item_id) in applies
            }
            pairs = [(own[a], own[b]) for a, b in _compared(row) if a in own and b in own]
            told.append(tabulate(((a.id, item_id) in deducted, (b.id, item_id) in deducted) for a, b in pairs))
            took = [names.get(r, "") for r, card in own.items() if (card.id, item_id) in deducted]
            if 0 < len(took) < len(own):
                call = session.get(Call, call_id)
                where = HIDDEN if call_id in hidden else say_short(call.started_at_ms) if call else call_id
                differences.append(f"{where} {'、'.join(took)}扣分")
        figures = figures_by_call(told, f"calibration/{row.id}/{item_id}")
        n_calls = sum(table.n > 0 for table in told)
        if n_calls < MIN_INTERVAL_CALLS:
            figures = replace(figures, intervals={})
        found.append(ItemLine(item_id, figures, n_calls, tuple(differences)))
    return tuple(found)
