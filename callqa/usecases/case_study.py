"""典型案例: an excerpt of a call for training, without names and numbers. A person reads it before it is kept.

What is proposed has long numbers, the citizen's name and place of the linked ticket, and who took the call blotted out; what is kept is what the
person left. A confidential call cannot become a case, and one that becomes confidential is not shown any more.
"""

import re
from collections.abc import Collection, Iterable, Sequence

from sqlmodel import Session, col, select

from callqa.errors import CallqaError, StateError
from callqa.privacy import Turn, blot_numbers, find_private
from callqa.speech import SIDES_BY_LABEL, SPEAKER_LABELS, Speaker
from callqa.store import audit
from callqa.store.db import Database
from callqa.store.queries.transcription import newest_transcript
from callqa.store.tables import Agent, Call, CaseStudy, Ticket, TicketLink, UtteranceRow
from callqa.usecases.confidential import is_confidential
from callqa.usecases.deleted import refuse_deleted
from callqa.usecases.evaluate_state import actor_of

KINDS = {"exemplary": "优秀", "problem": "问题"}
MAX_LINES = 60
BLOT = "＊"
# A ticket writes 宝丰一路与解放大道交叉口, people say one street at a time.
_BETWEEN_PLACES = re.compile(r"[与和及、，,；;（）()\s]|交叉口|路口|附近")


def redact(text: str, private: Iterable[str]) -> str:
    """The text with private words and long numbers blotted out, one mark each."""
    for word in sorted((w.strip() for w in private if len(w.strip()) >= 2), key=len, reverse=True):
        text = text.replace(word, BLOT * 3)
    return blot_numbers(text, BLOT * 3)


def redact_lines(lines: Sequence[tuple[str, str]], private: Collection[str]) -> list[tuple[str, str]]:
    """(speaker, text) lines of one conversation redacted, with numbers that were said in several breaths too."""
    found = find_private([Turn(speaker, 0, 0, text) for speaker, text in lines])
    redacted = []
    for (speaker, text), parts in zip(lines, found, strict=True):
        for part in reversed(parts):
            text = text[: part.start] + BLOT * 3 + text[part.end :]
        redacted.append((speaker, redact(text, private)))
    return redacted


def propose(session: Session, call_id: str, *, start_ms: int, end_ms: int) -> str:
    """The excerpt as text to be read and changed: a line an utterance, `坐席：…`, of the newest transcript."""
    newest = newest_transcript(session, call_id)
    if newest is None:
        return ""
    rows = session.exec(
        select(UtteranceRow)
        .where(UtteranceRow.transcript_id == newest.id, UtteranceRow.end_ms > start_ms, UtteranceRow.start_ms < end_ms)
        .order_by(col(UtteranceRow.start_ms))
        .limit(MAX_LINES)
    ).all()
    private = _private_words(session, call_id)
    lines = redact_lines([(row.speaker, row.text) for row in rows], private)
    sides = [Speaker.CITIZEN if speaker == Speaker.CITIZEN else Speaker.AGENT for speaker, _ in lines]
    return "\n".join(f"{SPEAKER_LABELS[side]}：{text}" for side, (_, text) in zip(sides, lines, strict=True))


def add_case(
    db: Database,
    call_id: str,
    *,
    kind: str,
    title: str,
    lesson: str,
    excerpt: str,
    item_id: str,
    account_id: int,
    now_ms: int,
) -> int:
    """Keep a case. Long numbers are blotted out once more, whatever the person left. Returns its id."""
    if kind not in KINDS:
        raise CallqaError("案例请选“优秀”或“问题”")
    if not title.strip() or not lesson.strip():
        raise CallqaError("请填写案例的标题和要点")
    if is_confidential(db, call_id):
        raise StateError("保密件不能列入案例库")
    lines = parse_excerpt(excerpt)
    with db.write() as session:
        if session.get(Call, call_id) is None:
            raise CallqaError("没有这通电话")
        refuse_deleted(session, call_id)
        private = _private_words(session, call_id)
        actor = actor_of(session, account_id)
        row = CaseStudy(
            call_id=call_id,
            kind=kind,
            title=redact(title.strip(), private)[:80],
            lesson=redact(lesson.strip(), private)[:1000],
            item_id=item_id,
            excerpt=[{"speaker": speaker, "text": text} for speaker, text in redact_lines(lines, private)],
            added_by=account_id,
            added_at_ms=now_ms,
        )
        session.add(row)
        session.flush()
        detail = {"kind": kind, "title": row.title}
        audit.append(session, actor=actor.username, action="case.add", subject=call_id, detail=detail, now_ms=now_ms)
        assert row.id is not None
        return row.id


def remove_case(db: Database, case_id: int, *, account_id: int, now_ms: int) -> None:
    """Take a case out of the library; its row is kept."""
    with db.write() as session:
        row = session.get(CaseStudy, case_id)
        if row is None or row.removed_at_ms is not None:
            return
        row.removed_at_ms = now_ms
        session.add(row)
        actor = actor_of(session, account_id)
        detail = {"title": row.title}
        audit.append(
            session, actor=actor.username, action="case.remove", subject=row.call_id, detail=detail, now_ms=now_ms
        )


def parse_excerpt(text: str) -> Sequence[tuple[str, str]]:
    """Lines `坐席：…` and `诉求人：…` as (speaker, words). Raise CallqaError naming the line that is neither."""
    lines = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        name, colon, words = line.strip().replace(":", "：", 1).partition("：")
        if not colon or name.strip() not in SIDES_BY_LABEL:
            raise CallqaError(f"节选第 {number} 行要以“坐席：”或“诉求人：”开头")
        lines.append((SIDES_BY_LABEL[name.strip()], words.strip()))
    if not lines or len(lines) > MAX_LINES:
        raise CallqaError(f"节选要有 1 到 {MAX_LINES} 行")
    return lines


def _private_words(session: Session, call_id: str) -> list[str]:
    tickets = session.exec(
        select(Ticket)
        .join(TicketLink, col(TicketLink.ticket_no) == col(Ticket.ticket_no))
        .where(TicketLink.call_id == call_id, TicketLink.state != "rejected")
    ).all()
    words = [w for t in tickets for w in (t.citizen_name, t.location, t.caller_number, t.contact_phone, t.ticket_no)]
    places = [part for t in tickets for part in _BETWEEN_PLACES.split(t.location or "") if len(part) >= 3]
    surnames = [f"{t.citizen_name[0]}{title}" for t in tickets if t.citizen_name for title in ("先生", "女士", "师傅")]
    call = session.get(Call, call_id)
    agent = session.get(Agent, call.agent_no) if call and call.agent_no else None
    staff = [agent.name, *_spoken(agent.agent_no)] if agent else []
    return [w for w in (*words, *places, *surnames, *staff) if w]


def _spoken(agent_no: str) -> tuple[str, ...]:
    """A 工号 as it is written and said: 805, 八零五, 八〇五; 幺 for one."""
    said = agent_no.translate(str.maketrans("0123456789", "零一二三四五六七八九"))
    return agent_no, said, said.replace("零", "〇"), said.replace("一", "幺")
