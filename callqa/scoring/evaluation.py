"""评分记录的状态: one table of what may happen to an evaluation, and by whom.

    draft ──submit──► submitted ──release──► released ──acknowledge, lapse──► acknowledged ──finalize──► finalized
                        ▲  │                  ▲  │  ▲                              │                       ▲  │
                        └──┘ revise,          └──┘  └─ revise, confirm_fatal, ─────┴───────────────────────┼──┘
                             reassign       revise  │  reassign                                            │
                                                    └──appeal──► appealed ──decide─────────────────────────┘
                                                    ▲               │
                                                    └───withdraw────┘

- A draft is its author's alone and may be saved as often as wanted. Nobody else sees it, not even by address.
- From submitted on, points change only by a revision with a reason, by the decision of an appeal, or by the second person
  of a fatal finding. Whatever changes a score after its release opens the acknowledgement again, with a new window.
- A fatal finding counts nothing until its second person confirms it. One that he refuses, with a reason, never counts: no points
  change, so neither does the status nor the agent's window; the evaluator may find it anew by a revision.
- The agent sees an evaluation from released on, and within the window acknowledges it or appeals item by item.
  What nobody answers in time is acknowledged by lapse, and says so.
- An appeal is decided once, not by who gave the points where a second person exists; the decision is final. While it waits no fatal
  finding is confirmed and the call goes to nobody else: the decision would close what the agent could never answer.
- A call that turns out to be another agent's (改归属) is that agent's to answer from then on, with a window of their own.

The table below is drawn in docs/scoring.md by `state_table`.
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
    """What a person (or the end of the window) does to an evaluation; its audit entry is `evaluation.<action>`."""

    SAVE = "save"
    SUBMIT = "submit"
    REVISE = "revise"
    CONFIRM_FATAL = "fatal_confirmed"
    REFUSE_FATAL = "fatal_refused"
    REASSIGN = "reassign"
    RELEASE = "release"
    ACKNOWLEDGE = "acknowledge"
    LAPSE = "lapse"
    APPEAL = "appeal"
    WITHDRAW = "withdraw"
    DECIDE = "decide"
    FINALIZE = "finalize"


class Outcome(StrEnum):
    """申诉 of one item, and what became of it."""

    OPEN = "open"
    UPHELD = "upheld"
    REVISED = "revised"
    WITHDRAWN = "withdrawn"


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
    Action.REVISE: "修改",
    Action.CONFIRM_FATAL: "第二人确认致命项",
    Action.REFUSE_FATAL: "第二人不认可致命项",
    Action.REASSIGN: "改归属坐席",
    Action.RELEASE: "发布",
    Action.ACKNOWLEDGE: "确认",
    Action.LAPSE: "逾期视为确认",
    Action.APPEAL: "申诉",
    Action.WITHDRAW: "撤回申诉",
    Action.DECIDE: "裁定申诉",
    Action.FINALIZE: "定稿",
}

OUTCOME_LABELS = {
    Outcome.OPEN: "待裁定",
    Outcome.UPHELD: "维持",
    Outcome.REVISED: "改判",
    Outcome.WITHDRAWN: "已撤回",
}

TRANSITIONS: dict[tuple[Status, Action], Status] = {
    (Status.DRAFT, Action.SAVE): Status.DRAFT,
    (Status.DRAFT, Action.SUBMIT): Status.SUBMITTED,
    (Status.SUBMITTED, Action.REVISE): Status.SUBMITTED,
    (Status.SUBMITTED, Action.CONFIRM_FATAL): Status.SUBMITTED,
    (Status.SUBMITTED, Action.REFUSE_FATAL): Status.SUBMITTED,
    (Status.SUBMITTED, Action.REASSIGN): Status.SUBMITTED,
    (Status.SUBMITTED, Action.RELEASE): Status.RELEASED,
    (Status.RELEASED, Action.ACKNOWLEDGE): Status.ACKNOWLEDGED,
    (Status.RELEASED, Action.LAPSE): Status.ACKNOWLEDGED,
    (Status.RELEASED, Action.APPEAL): Status.APPEALED,
    (Status.RELEASED, Action.REVISE): Status.RELEASED,
    (Status.RELEASED, Action.CONFIRM_FATAL): Status.RELEASED,
    (Status.RELEASED, Action.REFUSE_FATAL): Status.RELEASED,
    (Status.RELEASED, Action.REASSIGN): Status.RELEASED,
    (Status.APPEALED, Action.WITHDRAW): Status.RELEASED,
    (Status.APPEALED, Action.DECIDE): Status.FINALIZED,
    (Status.APPEALED, Action.REFUSE_FATAL): Status.APPEALED,
    (Status.ACKNOWLEDGED, Action.FINALIZE): Status.FINALIZED,
    (Status.ACKNOWLEDGED, Action.REVISE): Status.RELEASED,
    (Status.ACKNOWLEDGED, Action.CONFIRM_FATAL): Status.RELEASED,
    (Status.ACKNOWLEDGED, Action.REFUSE_FATAL): Status.ACKNOWLEDGED,
    (Status.ACKNOWLEDGED, Action.REASSIGN): Status.RELEASED,
    (Status.FINALIZED, Action.REVISE): Status.RELEASED,
    (Status.FINALIZED, Action.CONFIRM_FATAL): Status.RELEASED,
    (Status.FINALIZED, Action.REFUSE_FATAL): Status.FINALIZED,
    (Status.FINALIZED, Action.REASSIGN): Status.RELEASED,
}

SYSTEM = "system"  # nobody: the end of the window

# Account roles that may take each action; the agent only on evaluations of their own calls, the author only on the own
# draft, the decider only on points of somebody else (the use cases look at who).
ROLES: dict[Action, frozenset[str]] = {
    Action.SAVE: frozenset({"shift_leader"}),
    Action.SUBMIT: frozenset({"shift_leader"}),
    Action.REVISE: frozenset({"shift_leader"}),
    Action.CONFIRM_FATAL: frozenset({"client_supervisor"}),
    Action.REFUSE_FATAL: frozenset({"client_supervisor"}),
    Action.REASSIGN: frozenset({"shift_leader"}),
    Action.RELEASE: frozenset({"shift_leader"}),
    Action.ACKNOWLEDGE: frozenset({"agent"}),
    Action.LAPSE: frozenset({SYSTEM}),
    Action.APPEAL: frozenset({"agent"}),
    Action.WITHDRAW: frozenset({"agent"}),
    Action.DECIDE: frozenset({"shift_leader", "client_supervisor"}),
    Action.FINALIZE: frozenset({"shift_leader"}),
}

# From here on the agent may see the evaluation.
VISIBLE_TO_AGENT = frozenset({Status.RELEASED, Status.ACKNOWLEDGED, Status.APPEALED, Status.FINALIZED})

_ROLE_WORDS = {"shift_leader": "班长", "client_supervisor": "采购人监督员", "agent": "坐席本人", SYSTEM: "系统（到期）"}


def apply(status: Status, action: Action) -> Status:
    """The next status. StateError when the action is not possible now."""
    following = TRANSITIONS.get((status, action))
    if following is None:
        possible = "、".join(ACTION_LABELS[other] for (at, other) in TRANSITIONS if at is status)
        now = f"评分为“{STATUS_LABELS[status]}”，不能“{ACTION_LABELS[action]}”"
        raise StateError(f"{now}；现在可以：{possible}")
    return following


def actions_for(status: Status, role: str) -> tuple[Action, ...]:
    """What a role may do now, in the order of the table."""
    return tuple(action for (at, action) in TRANSITIONS if at is status and role in ROLES[action])


def check_role(action: Action, role: str) -> None:
    """PermissionDenied when the role may not take the action."""
    if role not in ROLES[action]:
        raise PermissionDenied(f"您的角色不能“{ACTION_LABELS[action]}”评分")


def reopens(status: Status, action: Action) -> bool:
    """Whether the action changes what the agent was shown, or which agent is, so that the acknowledgement begins anew."""
    changing = action in (Action.REVISE, Action.CONFIRM_FATAL, Action.REASSIGN)
    return changing and TRANSITIONS.get((status, action)) is Status.RELEASED


def state_table() -> str:
    """The table as Markdown, for docs/scoring.md."""
    lines = ["| 现在 | 动作 | 谁 | 之后 |", "| --- | --- | --- | --- |"]
    for (status, action), following in TRANSITIONS.items():
        who = "、".join(word for role, word in _ROLE_WORDS.items() if role in ROLES[action])
        then = STATUS_LABELS[following] + ("，重新等待确认" if reopens(status, action) else "")
        lines.append(f"| {STATUS_LABELS[status]} | {ACTION_LABELS[action]} | {who} | {then} |")
    return "\n".join(lines)
