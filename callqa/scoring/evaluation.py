"""评分记录的状态: one table of what may happen to an evaluation, and by whom.

    draft ──submit──► submitted ──release──► released ──acknowledge──► acknowledged ──finalize──► finalized
      ▲                   │                     │                           ▲
      └─────return────────┘                     └──appeal──► appealed ──uphold│withdraw──┘ (back to released)
                                                                └──revise──► released, with new points

- A draft may be saved as often as wanted; nothing else changes its points, except `revise` of an appeal.
- The agent sees an evaluation from released on, acknowledges or appeals it; an appeal may be made once more after a
  revision, not after it was acknowledged.
- The client's supervisor decides appeals in the last instance; the shift leader may decide them first.
- A released evaluation that nobody answers in time is finalized as it is. Finalized is the end.
"""

from enum import StrEnum

from callqa.errors import PermissionDenied, StateError


class Status(StrEnum):
    """评分状态."""

    DRAFT = "draft"
    SUBMITTED = "submitted"
    RELEASED = "released"
    ACKNOWLEDGED = "acknowledged"
    APPEALED = "appealed"
    FINALIZED = "finalized"


class Action(StrEnum):
    """What a person does to an evaluation."""

    SAVE = "save"
    SUBMIT = "submit"
    RETURN = "return"
    RELEASE = "release"
    ACKNOWLEDGE = "acknowledge"
    APPEAL = "appeal"
    UPHOLD = "uphold"
    REVISE = "revise"
    WITHDRAW = "withdraw"
    FINALIZE = "finalize"


STATUS_LABELS = {
    Status.DRAFT: "草稿",
    Status.SUBMITTED: "已提交",
    Status.RELEASED: "已发布",
    Status.ACKNOWLEDGED: "已确认",
    Status.APPEALED: "申诉中",
    Status.FINALIZED: "已定稿",
}

ACTION_LABELS = {
    Action.SAVE: "暂存",
    Action.SUBMIT: "提交",
    Action.RETURN: "退回修改",
    Action.RELEASE: "发布",
    Action.ACKNOWLEDGE: "确认",
    Action.APPEAL: "申诉",
    Action.UPHOLD: "维持",
    Action.REVISE: "改判",
    Action.WITHDRAW: "撤回申诉",
    Action.FINALIZE: "定稿",
}

TRANSITIONS: dict[tuple[Status, Action], Status] = {
    (Status.DRAFT, Action.SAVE): Status.DRAFT,
    (Status.DRAFT, Action.SUBMIT): Status.SUBMITTED,
    (Status.SUBMITTED, Action.RETURN): Status.DRAFT,
    (Status.SUBMITTED, Action.RELEASE): Status.RELEASED,
    (Status.RELEASED, Action.ACKNOWLEDGE): Status.ACKNOWLEDGED,
    (Status.RELEASED, Action.APPEAL): Status.APPEALED,
    (Status.RELEASED, Action.FINALIZE): Status.FINALIZED,
    (Status.APPEALED, Action.UPHOLD): Status.RELEASED,
    (Status.APPEALED, Action.REVISE): Status.RELEASED,
    (Status.APPEALED, Action.WITHDRAW): Status.RELEASED,
    (Status.ACKNOWLEDGED, Action.FINALIZE): Status.FINALIZED,
}

# Account roles that may take each action; the agent only on evaluations of their own calls (the use case checks whose).
ROLES: dict[Action, frozenset[str]] = {
    Action.SAVE: frozenset({"shift_leader"}),
    Action.SUBMIT: frozenset({"shift_leader"}),
    Action.RETURN: frozenset({"shift_leader"}),
    Action.RELEASE: frozenset({"shift_leader"}),
    Action.ACKNOWLEDGE: frozenset({"agent"}),
    Action.APPEAL: frozenset({"agent"}),
    Action.UPHOLD: frozenset({"shift_leader", "client_supervisor"}),
    Action.REVISE: frozenset({"shift_leader", "client_supervisor"}),
    Action.WITHDRAW: frozenset({"agent"}),
    Action.FINALIZE: frozenset({"shift_leader"}),
}

# From here on the agent may see the evaluation, and the report may count it.
VISIBLE_TO_AGENT = frozenset({Status.RELEASED, Status.ACKNOWLEDGED, Status.APPEALED, Status.FINALIZED})
COUNTED = frozenset(Status) - {Status.DRAFT}


def apply(status: Status, action: Action) -> Status:
    """The next status. StateError when the action is not possible now."""
    following = TRANSITIONS.get((status, action))
    if following is None:
        possible = "、".join(ACTION_LABELS[other] for (at, other) in TRANSITIONS if at is status)
        now = f"评分为“{STATUS_LABELS[status]}”，不能“{ACTION_LABELS[action]}”"
        raise StateError(f"{now}；现在可以：{possible}" if possible else f"{now}；已不能再改")
    return following


def actions_for(status: Status, role: str) -> tuple[Action, ...]:
    """What a role may do now, in the order of the table."""
    return tuple(action for (at, action) in TRANSITIONS if at is status and role in ROLES[action])


def check_role(action: Action, role: str) -> None:
    """PermissionDenied when the role may not take the action."""
    if role not in ROLES[action]:
        raise PermissionDenied(f"您的角色不能“{ACTION_LABELS[action]}”评分")
