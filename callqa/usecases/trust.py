"""质检可信度 from the rows: machine against person by item and rubric version, and what a card may preselect.

Counted: submitted first cards that had a pre-score, with the rubric version they pinned. On a blind card what the person
gave is taken from the first revision, made before the machine's view was shown.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlmodel import Session, col, func, select

from callqa.scoring.criteria import Level, Rubric
from callqa.scoring.trust import (
    ItemTrust,
    ScoreAgreement,
    ScoredCard,
    ScorePair,
    quick_agreement,
    score_agreement,
    verdict,
)
from callqa.scoring.trust import trust_of as figures_of
from callqa.store.queries.evaluate import first_score
from callqa.store.tables import (
    Deduction,
    Evaluation,
    EvaluationItem,
    EvaluationRevision,
    FatalFinding,
    RubricVersion,
    SuggestionDecision,
    SuggestionRow,
)
from callqa.usecases.blind import BLIND_RESCORE
from callqa.usecases.evaluate_input import DeductionInput, EvaluationInput


@dataclass(frozen=True, slots=True)
class VersionTrust:
    """One rubric version's figures. n_cards: submitted cards with a pre-score, n_blind of them blind."""

    version: RubricVersion
    items: tuple[ItemTrust, ...]
    n_cards: int
    n_blind: int


def scored_cards(session: Session, rubric_hash: str) -> list[ScoredCard]:
    """Every card that counts for a rubric version."""
    cards = session.exec(
        select(Evaluation).where(
            Evaluation.kind == "first",
            Evaluation.status != "draft",
            Evaluation.rubric_hash == rubric_hash,
            col(Evaluation.check_run_id).is_not(None),
        )
    ).all()
    ids = [card.id for card in cards if card.id is not None]
    suggested = _suggested(session, [card.check_run_id for card in cards if card.check_run_id is not None])
    deducted: dict[int, set[str]] = {}
    for row in session.exec(select(Deduction).where(col(Deduction.evaluation_id).in_(ids))):
        deducted.setdefault(row.evaluation_id, set()).add(row.item_id)
    applicable: dict[int, set[str]] = {}
    for item in session.exec(select(EvaluationItem).where(col(EvaluationItem.evaluation_id).in_(ids))):
        if not item.not_applicable:
            applicable.setdefault(item.evaluation_id, set()).add(item.item_id)
    for first in session.exec(
        select(EvaluationRevision).where(
            col(EvaluationRevision.evaluation_id).in_([c.id for c in cards if c.blind]), EvaluationRevision.number == 1
        )
    ):
        points = {key: value for key, value in first.items.items() if "options" in value}
        deducted[first.evaluation_id] = {key for key, value in points.items() if value["options"]}
        applicable[first.evaluation_id] = {key for key, value in points.items() if value["points"] is not None}
    decided = _decided(session, ids)
    return [
        ScoredCard(
            card.call_id,
            card.blind,
            frozenset(suggested.get(card.check_run_id or 0, ())),
            frozenset(deducted.get(card.id, ())),
            frozenset(applicable.get(card.id, ())),
            tuple(decided.get(card.id, ())),
        )
        for card in cards
        if card.id is not None
    ]


def _suggested(session: Session, run_ids: Sequence[int]) -> dict[int, set[str]]:
    found: dict[int, set[str]] = {}
    rows = session.exec(
        select(SuggestionRow.check_run_id, SuggestionRow.item_id).where(
            col(SuggestionRow.check_run_id).in_(run_ids),
            SuggestionRow.level == Level.PRESELECT.value,
            col(SuggestionRow.option_code).is_not(None),
            col(SuggestionRow.fatal_id).is_(None),  # never preselected: it would tick a fatal item as well
        )
    )
    for run_id, item_id in rows:
        found.setdefault(run_id, set()).add(item_id)
    return found


def _decided(session: Session, ids: Sequence[int]) -> dict[int, list[tuple[str, bool]]]:
    found: dict[int, list[tuple[str, bool]]] = {}
    rows = session.exec(
        select(SuggestionDecision, SuggestionRow)
        .join(SuggestionRow, col(SuggestionRow.id) == col(SuggestionDecision.suggestion_id))
        .where(col(SuggestionDecision.evaluation_id).in_(ids))
    )
    for decision, suggestion in rows:
        if suggestion.option_code is not None:
            found.setdefault(decision.evaluation_id, []).append((suggestion.item_id, decision.decision == "accepted"))
    return found


def version_trust(session: Session, version: RubricVersion, rubric: Rubric) -> VersionTrust:
    """All figures of one version, with intervals."""
    cards = scored_cards(session, version.rubric_hash)
    items = figures_of(cards, [item.item_id for item in rubric.items if item.checks], version.rubric_hash)
    return VersionTrust(version, items, len(cards), sum(card.blind for card in cards))


# ---------- what a card may preselect ----------


def trust_now(session: Session, rubric_hash: str, suggestions: Iterable[SuggestionRow]) -> dict[str, dict[str, Any]]:
    """{item_id: {"ok", "why"}} of the items that the machine would deduct on, as a card pins it when it is opened."""
    item_ids = sorted({row.item_id for row in suggestions if _would_preselect(row)})
    if not item_ids:
        return {}
    cards = scored_cards(session, rubric_hash)
    found = {item_id: quick_agreement(cards, item_id) for item_id in item_ids}
    return {item_id: {"ok": figures.may_preselect, "why": verdict(figures)} for item_id, figures in found.items()}


def _would_preselect(row: SuggestionRow) -> bool:
    return row.level == Level.PRESELECT.value and row.option_code is not None and row.fatal_id is None


def preselected(
    trust: dict[str, dict[str, Any]], suggestions: Iterable[SuggestionRow], given: EvaluationInput, rubric: Rubric
) -> EvaluationInput:
    """What the card starts with: the deductions of trusted items, each as an accepted suggestion that may be rejected.

    An option that several suggest counts as the machine's own score counts it (`Option.together`), at the first one's place.
    """
    deductions = {item_id: dict(options) for item_id, options in given.deductions.items()}
    decisions = dict(given.decisions)
    for row in suggestions:
        ok = _would_preselect(row) and trust.get(row.item_id, {}).get("ok") and row.item_id not in given.not_applicable
        if not ok or row.id is None or row.option_code is None:
            continue
        at_ms = int(row.evidence[0]["start_ms"]) if row.evidence else None
        options = deductions.setdefault(row.item_id, {})
        before = options.get(row.option_code)
        if before is None:
            options[row.option_code] = DeductionInput(row.times, at_ms, row.reason)
        else:
            times = rubric.item(row.item_id).option(row.option_code).together((before.times, row.times))
            options[row.option_code] = replace(before, times=times)
        decisions[row.id] = "accepted"
    return replace(given, deductions=deductions, decisions=decisions)


# ---------- two raters ----------


@dataclass(frozen=True, slots=True)
class Again:
    """本人复测: first and second scoring of the same calls, as pairs and summed up."""

    pairs: tuple[ScorePair, ...]
    scores: ScoreAgreement


def rescored(session: Session) -> Again:
    """Every submitted blind re-score beside its first score."""
    second = session.exec(
        select(Evaluation).where(Evaluation.kind == BLIND_RESCORE, Evaluation.status != "draft")
    ).all()
    pairs = []
    for again in second:
        first = first_score(session, again.call_id)
        if first is not None:
            pairs.append(_as_first_scored(session, first, score_pair(session, first, again)))
    return Again(tuple(pairs), score_agreement(pairs))


def _as_first_scored(session: Session, first: Evaluation, pair: ScorePair) -> ScorePair:
    """The pair with what the person gave at first: an appeal or a later change is not the judgement that is repeated."""
    revision = session.exec(
        select(EvaluationRevision).where(EvaluationRevision.evaluation_id == first.id, EvaluationRevision.number == 1)
    ).first()
    if revision is None:
        return pair
    found_fatal = any("confirmed" in value for value in revision.items.values())
    return replace(pair, first=revision.quality_score, first_fatal=found_fatal)


def score_pair(session: Session, first: Evaluation, second: Evaluation) -> ScorePair:
    """Two submitted cards of one call."""
    fatal = set(
        session.exec(
            select(FatalFinding.evaluation_id).where(col(FatalFinding.evaluation_id).in_([first.id, second.id]))
        )
    )
    return ScorePair(
        first.call_id, first.quality_score or 0.0, second.quality_score or 0.0, first.id in fatal, second.id in fatal
    )


@dataclass(frozen=True, slots=True)
class VersionLine:
    """A rubric version that cards were scored with."""

    version: RubricVersion
    n_cards: int


def rubric_versions_with_cards(session: Session) -> list[VersionLine]:
    """Every rubric version, the newest in force first, with how many cards count for it."""
    counts = dict(
        session.exec(
            select(Evaluation.rubric_hash, func.count())
            .where(Evaluation.kind == "first", Evaluation.status != "draft", col(Evaluation.check_run_id).is_not(None))
            .group_by(Evaluation.rubric_hash)
        ).all()
    )
    rows = session.exec(
        select(RubricVersion).order_by(
            col(RubricVersion.effective_from_ms).desc(), col(RubricVersion.loaded_at_ms).desc()
        )
    ).all()
    return sorted(
        (VersionLine(row, counts.get(row.rubric_hash, 0)) for row in rows), key=lambda line: line.n_cards == 0
    )
