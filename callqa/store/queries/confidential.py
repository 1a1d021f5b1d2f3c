"""保密件: keep them out of lists (`is_public`), say who may open one, list those a person was named for. Reading only."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, exists
from sqlmodel import Session, col, select

from callqa.store.tables import Account, Agent, Call, ConfidentialCall, ConfidentialReader, Evaluation, FatalFinding


@dataclass(frozen=True, slots=True)
class ConfidentialLine:
    """One confidential call as its named people see it. call None: in progress, not taken in yet."""

    mark: ConfidentialCall
    call: Call | None
    agent_name: str
    marked_by: str
    readers: tuple[str, ...]


def is_public() -> ColumnElement[bool]:
    """Condition on `Call`: nobody marked it confidential. Every list of calls has it."""
    return ~exists().where(col(ConfidentialCall.call_id) == col(Call.call_id))


def confidential_ids(session: Session) -> frozenset[str]:
    """All of them; there are few."""
    return frozenset(session.exec(select(ConfidentialCall.call_id)))


def hidden_from(session: Session, account_id: int) -> frozenset[str]:
    """The confidential calls that an account may not open: where a list counts them, they stand without their number."""
    named = select(ConfidentialReader.call_id).where(ConfidentialReader.account_id == account_id)
    return frozenset(session.exec(select(ConfidentialCall.call_id).where(col(ConfidentialCall.call_id).not_in(named))))


def readers_of(session: Session, call_id: str) -> frozenset[int] | None:
    """Account ids that may open the call; None where everybody with the right may."""
    if session.get(ConfidentialCall, call_id) is None:
        return None
    query = select(ConfidentialReader.account_id).where(ConfidentialReader.call_id == call_id)
    return frozenset(session.exec(query))


def call_behind(session: Session, *, evaluation_id: int | None = None, finding_id: int | None = None) -> str | None:
    """The call that an evaluation or a fatal finding is about."""
    if finding_id is not None:
        finding = session.get(FatalFinding, finding_id)
        evaluation_id = finding.evaluation_id if finding else None
    evaluation = session.get(Evaluation, evaluation_id) if evaluation_id is not None else None
    return evaluation.call_id if evaluation else None


def find_confidential(session: Session, call_id: str) -> ConfidentialLine | None:
    """One confidential call, or None."""
    mark = session.get(ConfidentialCall, call_id)
    return _line(session, mark) if mark else None


def named_for(session: Session, account_id: int) -> Sequence[ConfidentialLine]:
    """The confidential calls an account may open, newest mark first."""
    query = (
        select(ConfidentialCall)
        .join(ConfidentialReader, col(ConfidentialReader.call_id) == col(ConfidentialCall.call_id))
        .where(ConfidentialReader.account_id == account_id)
        .order_by(col(ConfidentialCall.marked_at_ms).desc(), col(ConfidentialCall.call_id))
    )
    return [_line(session, mark) for mark in session.exec(query)]


def _line(session: Session, mark: ConfidentialCall) -> ConfidentialLine:
    call = session.get(Call, mark.call_id)
    agent = session.get(Agent, call.agent_no) if call and call.agent_no else None
    marker = session.get(Account, mark.marked_by)
    names = session.exec(
        select(Account.display_name)
        .join(ConfidentialReader, col(ConfidentialReader.account_id) == col(Account.id))
        .where(ConfidentialReader.call_id == mark.call_id)
        .order_by(Account.display_name)
    )
    return ConfidentialLine(
        mark, call, agent.name if agent else "", marker.display_name if marker else "", tuple(names)
    )
