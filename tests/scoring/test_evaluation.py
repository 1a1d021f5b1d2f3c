"""评分的状态: the table, and who may do what."""

import pytest

from callqa.errors import PermissionDenied, StateError
from callqa.scoring.evaluation import (
    ACTION_LABELS,
    ROLES,
    STATUS_LABELS,
    TRANSITIONS,
    Action,
    Status,
    actions_for,
    apply,
    check_role,
    reopens,
)


@pytest.mark.parametrize("status", Status)
@pytest.mark.parametrize("action", Action)
def test_only_the_table_is_possible(status: Status, action: Action) -> None:
    if (status, action) in TRANSITIONS:
        assert apply(status, action) is TRANSITIONS[status, action]
    else:
        with pytest.raises(StateError, match=STATUS_LABELS[status]):
            apply(status, action)


@pytest.mark.parametrize(
    ("actions", "ends"),
    [
        ((Action.SAVE, Action.SUBMIT, Action.REVISE, Action.RELEASE, Action.ACKNOWLEDGE, Action.FINALIZE), "finalized"),
        ((Action.SUBMIT, Action.RELEASE, Action.APPEAL, Action.DECIDE), "finalized"),
        ((Action.SUBMIT, Action.RELEASE, Action.APPEAL, Action.WITHDRAW, Action.LAPSE, Action.REVISE), "released"),
        ((Action.SUBMIT, Action.RELEASE, Action.LAPSE, Action.FINALIZE, Action.CONFIRM_FATAL), "released"),
    ],
)
def test_the_ways_through(actions: tuple[Action, ...], ends: str) -> None:
    status = Status.DRAFT
    for action in actions:
        status = apply(status, action)
    assert status == ends


def test_every_status_leads_on_and_every_one_is_reached() -> None:
    assert {status for status, _ in TRANSITIONS} == set(Status)
    assert set(TRANSITIONS.values()) == set(Status)


def test_whatever_changes_a_released_score_opens_the_acknowledgement_again() -> None:
    opening = {(status, action) for status, action in TRANSITIONS if reopens(status, action)}
    after_release = (Status.RELEASED, Status.ACKNOWLEDGED, Status.FINALIZED)
    changing = (Action.REVISE, Action.CONFIRM_FATAL, Action.REASSIGN)
    assert opening == {(s, a) for s in after_release for a in changing}
    assert not any(
        (Status.APPEALED, action) in TRANSITIONS for action in changing
    )  # its decision would close it unanswered


def test_every_action_has_a_label_and_a_role() -> None:
    assert set(ACTION_LABELS) == set(ROLES) == set(Action) == {action for _, action in TRANSITIONS}
    assert set(STATUS_LABELS) == set(Status)


def test_roles() -> None:
    assert actions_for(Status.RELEASED, "agent") == (Action.ACKNOWLEDGE, Action.APPEAL)
    assert actions_for(Status.APPEALED, "client_supervisor") == (
        Action.DECIDE,
        Action.REFUSE_FATAL,
    )
    assert actions_for(Status.DRAFT, "agent") == ()
    check_role(Action.SUBMIT, "shift_leader")
    with pytest.raises(PermissionDenied, match="提交"):
        check_role(Action.SUBMIT, "admin")
