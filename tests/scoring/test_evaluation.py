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
)


@pytest.mark.parametrize("status", Status)
@pytest.mark.parametrize("action", Action)
def test_only_the_table_is_possible(status: Status, action: Action) -> None:
    if (status, action) in TRANSITIONS:
        assert apply(status, action) is TRANSITIONS[status, action]
    else:
        with pytest.raises(StateError, match=STATUS_LABELS[status]):
            apply(status, action)


def test_the_way_through() -> None:
    status = Status.DRAFT
    for action in (
        Action.SAVE,
        Action.SUBMIT,
        Action.RELEASE,
        Action.APPEAL,
        Action.REVISE,
        Action.ACKNOWLEDGE,
        Action.FINALIZE,
    ):
        status = apply(status, action)
    assert status is Status.FINALIZED


def test_every_status_but_the_last_leads_on_and_every_one_is_reached() -> None:
    assert {status for status, _ in TRANSITIONS} == set(Status) - {Status.FINALIZED}
    assert set(TRANSITIONS.values()) == set(Status)


def test_every_action_has_a_label_and_a_role() -> None:
    assert set(ACTION_LABELS) == set(ROLES) == set(Action) == {action for _, action in TRANSITIONS}
    assert set(STATUS_LABELS) == set(Status)


def test_roles() -> None:
    assert actions_for(Status.RELEASED, "agent") == (Action.ACKNOWLEDGE, Action.APPEAL)
    assert actions_for(Status.APPEALED, "client_supervisor") == (Action.UPHOLD, Action.REVISE)
    assert actions_for(Status.DRAFT, "agent") == ()
    check_role(Action.SUBMIT, "shift_leader")
    with pytest.raises(PermissionDenied, match="提交"):
        check_role(Action.SUBMIT, "admin")
