"""Who may do what: one table, permission -> roles. Routes ask by `require(...)`, templates by `can(...)`.

Nothing else in the project looks at a role. A new page adds its rows here; a permission that is not in the table
is a programming error and raises at start. Limits that depend on the object (an agent's own calls) are not
permissions: see `deps.Person.own_agent_no`.
"""

from enum import StrEnum


class Role(StrEnum):
    """角色 of an account."""

    SHIFT_LEADER = "shift_leader"
    AGENT = "agent"
    CLIENT_SUPERVISOR = "client_supervisor"
    ADMIN = "admin"


ROLE_LABELS = {
    Role.SHIFT_LEADER: "班长",
    Role.AGENT: "坐席",
    Role.CLIENT_SUPERVISOR: "采购人监督员",
    Role.ADMIN: "管理员",
}

_LEADER = frozenset({Role.SHIFT_LEADER})
_ADMIN = frozenset({Role.ADMIN})
_SUPERVISOR = frozenset({Role.CLIENT_SUPERVISOR})
_AGENT = frozenset({Role.AGENT})
_QUALITY = _LEADER | _SUPERVISOR
_RUNNING = _LEADER | _ADMIN
_EVERYBODY = _LEADER | _AGENT | _SUPERVISOR | _ADMIN

PERMISSIONS: dict[str, frozenset[Role]] = {
    "home.view": _EVERYBODY,
    "account.own": _EVERYBODY,  # own password
    # 实时
    "live.view": _LEADER | _SUPERVISOR | _ADMIN,
    "live.sign": _RUNNING,  # sign agents in and out at seats
    "live.own": _AGENT,  # the own seat's call as it happens
    "live.listen": _LEADER,  # listen in on a call; never an agent
    "live.pause": _LEADER,  # pause and resume any recording, where the policy allows pausing
    "live.pause_own": _LEADER | _AGENT,  # the own seat's only
    # 通话
    "calls.view": _LEADER | _SUPERVISOR | _AGENT,
    "calls.view_all": _QUALITY,  # without it: own calls only
    "calls.number": _LEADER | _AGENT,  # whole phone numbers
    "calls.listen": _LEADER | _SUPERVISOR | _AGENT,
    "calls.transcript": _LEADER | _SUPERVISOR | _AGENT,
    "calls.private": _LEADER | _AGENT,  # private numbers in what was said, each viewing noted; masked until asked for
    "calls.suggestions": _QUALITY,  # what the machine suggests; agents see only what a person has decided
    "calls.export": _QUALITY,
    "calls.download": _LEADER | _SUPERVISOR | _AGENT,  # a recording as a file, private numbers beeped
    "calls.download_whole": _LEADER,  # a recording as a file with the numbers in it, where asked for
    "calls.attribute": _LEADER,  # say by hand who took a call
    "calls.retry": _RUNNING,  # ask for another transcription or check
    "calls.correct": _LEADER | _AGENT,  # write what was said; an agent in the own calls only
    "calls.delete": _LEADER,  # its content, for good; at the terminal of the machine: callqa delete
    "calls.hold": _LEADER,  # 保全: nothing deletes it
    "deletions.view": _QUALITY | _ADMIN,  # what was deleted, what is kept
    "calls.reconcile": _QUALITY | _ADMIN,  # compare with a PBX's call list
    # 转写
    "transcription.view": _QUALITY | _ADMIN,
    "vocabulary.edit": _LEADER,  # the site's own words
    "confidential.mark": _QUALITY,  # 保密件: mark, name, lift, and list those one was named for
    # 未接来电回拨
    "followups.view": _LEADER | _SUPERVISOR | _AGENT,
    "followups.work": _LEADER | _AGENT,  # write down attempts, close, give up
    "followups.assign": _LEADER,
    "followups.export": _QUALITY,
    # 待关联
    "links.view": _LEADER | _AGENT,
    "links.decide": _LEADER | _AGENT,
    # 工单
    "tickets.view": _LEADER | _SUPERVISOR | _AGENT,
    "tickets.import": _RUNNING,
    "tickets.export": _QUALITY,
    # 人员与席位
    "people.view": _RUNNING | _SUPERVISOR,
    "people.edit": _RUNNING,
    "lines.edit": _RUNNING,  # trunks, dial plan, routing
    "accounts.manage": _ADMIN,
    # 系统
    "system.view": _RUNNING,
    "system.verify": _ADMIN | _SUPERVISOR | _LEADER,
    # 评分
    "evaluate.view": _QUALITY,
    "evaluate.own": _AGENT,  # 我的质检
    "evaluate.score": _LEADER,
    "evaluate.fill": _QUALITY,  # write on a card: who scores, and raters on their own calibration cards
    "calibration.manage": _LEADER,
    "trust.view": _QUALITY,
    "evaluate.release": _LEADER,
    "evaluate.confirm_fatal": _SUPERVISOR,  # the second person of a fatal finding
    "evaluate.decide": _QUALITY,  # appeals; not of the own points while somebody else could
    # 辅导、整改、案例库
    "coaching.write": _LEADER,
    "actions.view": _QUALITY,
    "actions.edit": _LEADER,
    "cases.view": _QUALITY | _AGENT,  # excerpts without names and numbers
    "cases.edit": _LEADER,
    "cases.export": _QUALITY,
    # 标准与词表
    "rubric.view": _QUALITY,
    "rubric.edit": _LEADER,
    # 抽检
    "sampling.view": _QUALITY,
    "sampling.freeze": _LEADER,
    "sampling.commit": _QUALITY,
    "sampling.reveal": _QUALITY,
    "sampling.draw": _LEADER,
    "sampling.reserve": _LEADER,
    "sampling.void": _QUALITY,  # one asks, another agrees
    # 月度质检报告
    "report.view": _QUALITY,
    "report.write": _LEADER,
    "report.publish": _LEADER,
    "report.export": _QUALITY,
}


def allowed(role: str, permission: str) -> bool:
    """Whether the role has the permission. KeyError for a permission that is not in the table."""
    return role in PERMISSIONS[permission]
