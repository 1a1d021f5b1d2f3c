"""What the scoring page shows: the form as typed or stored, the score it gives, what is missing. Loads and arranges; decides nothing."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, TypeVar

from fastapi import Request
from fastapi.responses import Response

from callqa.errors import CallqaError, PermissionDenied, StateError
from callqa.scoring.criteria import Rubric
from callqa.scoring.evaluation import STATUS_LABELS, Action, Status, actions_for
from callqa.scoring.scorecard import ScoreCard
from callqa.store.db import Database
from callqa.store.queries import evaluate as queries
from callqa.store.queries.evaluate import CardView, EvaluationView, QueuePlace
from callqa.units import CallType
from callqa.usecases.blind import ASKED_AGAIN, is_asked_again
from callqa.usecases.evaluate_input import (
    Missing,
    SuggestionRef,
    find_missing,
    needs_evidence,
    preview,
)
from callqa.usecases.evaluate_rows import suggestion_refs
from callqa.usecases.evaluate_state import must_be_author
from callqa.usecases.second_look import is_second_look, may_see, session_id_of
from callqa.web.deps import PageNotFound, Person, get_now_ms, get_person, page, state_of
from callqa.web.evaluate_flow import in_call_order
from callqa.web.evaluate_form import Pairs, ShownForm, read_form
from callqa.web.format import points
from callqa.web.private import private_pieces
from callqa.web.suggestion_view import SuggestionView, view_suggestions

View = TypeVar("View", bound=CardView)
SECOND_LOOK_LABELS = {"blind_rescore": "盲评复测", "calibration": "校准"}
GRADE_LABELS = {"excellent": "优秀", "good": "良好", "qualified": "合格", "failed": "不合格"}


class Mode(StrEnum):
    """What the form lets one do."""

    EDIT = "edit"  # a draft
    REVISE = "revise"  # what was submitted or released, with a reason
    READ = "read"


@dataclass(frozen=True, slots=True)
class Standing:
    """How the form stands: the score it gives, what submitting still needs by place, what cannot be read."""

    card: ScoreCard | None = None
    missing: tuple[Missing, ...] = ()
    problem: str = ""

    @property
    def by_place(self) -> Mapping[str, list[str]]:
        places: dict[str, list[str]] = {}
        for one in self.missing:
            places.setdefault(one.place, []).append(one.text)
        return places

    def points_of(self, item_id: str) -> str:
        """An item's points now, in words."""
        score = next((s for s in self.card.items if s.item_id == item_id), None) if self.card else None
        if score is None:
            return "—"
        return "不适用" if score.points is None else points(score.points)


@dataclass(frozen=True, slots=True)
class Notice:
    """Why the form came back: what submitting needs, or that somebody else saved meanwhile (their version)."""

    text: str = ""
    tried: bool = False
    newer_version: int | None = None
    missing: tuple[Missing, ...] = field(default=())


def load(request: Request, db: Database, evaluation_id: int, person: Person) -> tuple[EvaluationView, Rubric]:
    """The evaluation with all that its page shows, and its rubric. Raise as `load_card` does."""
    return _loaded(request, db, evaluation_id, person, queries.find_evaluation)


def load_card(request: Request, db: Database, evaluation_id: int, person: Person) -> tuple[CardView, Rubric]:
    """The evaluation for taking a form in, and its rubric: without the call's words. Raise PageNotFound; PermissionDenied for
    a draft of somebody else, or a card of a calibration that is not opened; StateError for a first score that is being tested
    by a blind re-score."""
    return _loaded(request, db, evaluation_id, person, queries.find_card)


def _loaded(
    request: Request,
    db: Database,
    evaluation_id: int,
    person: Person,
    find: Callable[[Any, int], View | None],
) -> tuple[View, Rubric]:
    now_ms = get_now_ms(request)
    with db.read() as session:
        view = find(session, evaluation_id)
        visible = view is None or may_see(session, view.evaluation, person.account_id)
        asked_again = (
            person.can("evaluate.score") and view is not None and is_asked_again(session, view.evaluation, now_ms)
        )
    if view is None:
        raise PageNotFound("没有这份评分；可能已随抽样框作废，请从“评分”列表进入")
    must_be_author(view.evaluation, person.account_id)
    if not visible:
        raise PermissionDenied("校准的比对公布之前，只能看自己的评分")
    if asked_again:
        raise StateError(ASKED_AGAIN)
    return view, state_of(request).rubrics.load(db, view.evaluation.rubric_hash)


def version_now(db: Database, view: CardView) -> int:
    """The version that is stored by now, for a form that is shown again after a conflict; the shown one if it is gone."""
    with db.read() as session:
        now = queries.find_version(session, view.evaluation.id or 0)
    return view.evaluation.version if now is None else now


def mode_of(view: CardView, person: Person, *, revise: bool) -> Mode:
    """What this person may do with the card; revise: asked to change a submitted one. A second look is its rater's alone."""
    if view.call.deleted_at_ms is not None:
        return Mode.READ  # nobody can listen any more
    if is_second_look(view.evaluation):
        own = view.evaluation.status == "draft" and view.evaluation.evaluator_id == person.account_id
        return Mode.EDIT if own else Mode.READ
    if person.can("evaluate.score"):
        if view.evaluation.status == "draft":
            return Mode.EDIT
        if revise and Action.REVISE in actions_for(Status(view.evaluation.status), person.role):
            return Mode.REVISE
    return Mode.READ


def hides_machine(view: CardView) -> bool:
    """Whether what the machine says must not be shown: a blind card until it is submitted, every second look."""
    return view.evaluation.blind and (view.evaluation.status == "draft" or is_second_look(view.evaluation))


def suggested(view: CardView, rubric: Rubric) -> tuple[SuggestionRef, ...]:
    """The suggestions to be decided on; none on a blind card."""
    return () if view.evaluation.blind else suggestion_refs(view.suggestions, rubric)


def standing_of(view: CardView, rubric: Rubric, pairs: Pairs) -> Standing:
    """The score of a form as it stands and what it lacks; a form that cannot be read gives the problem instead."""
    confirmed = [f.fatal_id for f in view.fatals.values() if f.second_confirmed_by is not None]
    try:
        refs = suggested(view, rubric)
        given = read_form(pairs, refs)
        card = preview(rubric, CallType(view.call.call_type), given, confirmed_fatals=confirmed)
    except CallqaError as e:
        return Standing(problem=str(e))
    return Standing(card, find_missing(rubric, given, refs))


def parts(view: CardView, rubric: Rubric, standing: Standing) -> dict[str, Any]:
    """What the score, the points of every item and the list of what is missing are drawn from."""
    call_type = CallType(view.call.call_type)
    return {
        "standing": standing,
        "grade_labels": GRADE_LABELS,
        "na_warn_ratio": rubric.scoring.na_warn_ratio,
        "places": [i.item_id for i in rubric.items_for(call_type)],
        "fatal_places": [f.fatal_id for f in rubric.fatal_items_for(call_type)],
    }


def form_page(
    request: Request,
    db: Database,
    view: EvaluationView,
    rubric: Rubric,
    shown: ShownForm,
    *,
    mode: Mode,
    notice: Notice = Notice(),
    status_code: int = 200,
) -> Response:
    call_type = CallType(view.call.call_type)
    trust = view.evaluation.trust
    suggestions: Sequence[SuggestionView] = ()
    if view.suggestions and not hides_machine(view):
        suggestions = view_suggestions(view.suggestions, rubric, trust, private_pieces(view.utterances))
    by_item: dict[str, list[SuggestionView]] = {}
    for suggestion in suggestions:
        by_item.setdefault(suggestion.item_id, []).append(suggestion)
    with db.read() as session:
        places = queries.places_around(session, view.evaluation)
    standing = standing_of(view, rubric, [(k, v) for k, v in shown.fields.items() if k not in ("c_at", "c_text")])
    if notice.missing:
        standing = Standing(standing.card, notice.missing, standing.problem)
    place = next((k for k, one in enumerate(places, 1) if one.call_id == view.call.call_id), None)
    return page(
        request,
        "evaluate/form.html",
        status_code=status_code,
        view=view,
        rubric=rubric,
        mode=mode,
        status_labels=STATUS_LABELS,
        shown=shown,
        notice=notice,
        stages=in_call_order(rubric, call_type),
        fatal_items=rubric.fatal_items_for(call_type),
        suggestions=suggestions,
        by_item=by_item,
        n_places=len(places),
        place=place,
        before=places[place - 2] if place and place > 1 else None,
        after=places[place] if place and place < len(places) else None,
        second_look=SECOND_LOOK_LABELS.get(view.evaluation.kind.partition(":")[0], ""),
        session_id=session_id_of(view.evaluation),
        next_open=next_open(places, view.call.call_id, get_person(request)) if place else None,
        words=lambda shown: _words(request, view, shown=shown),
        weighty=lambda item, option: needs_evidence(rubric, item, option),
        **parts(view, rubric, standing),
    )


def _words(request: Request, view: EvaluationView, *, shown: bool) -> str:
    """The transcript as HTML. shown: private numbers too."""
    if view.transcript is None:
        return ""
    state = state_of(request)
    return state.words.render(state.templates, view.transcript, view.utterances, shown=shown)


def next_open(places: Sequence[QueuePlace], call_id: str, person: Person) -> QueuePlace | None:
    """The next to score behind a call's place, from the top again at the end: not submitted, and nobody else's draft. From the
    top where the call is not among them."""
    at = next((k for k, one in enumerate(places, 1) if one.call_id == call_id), 0)
    return next(
        (
            one
            for one in (*places[at:], *places[: max(0, at - 1)])
            if not one.is_done and one.author_id in (None, person.account_id)
        ),
        None,
    )
