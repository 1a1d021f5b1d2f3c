"""Correct a transcript 更正: a person who has listened writes what was said; a new version, the ones before it stay.

An utterance that a person wrote is confirmed as a whole: it counts as reliable and nothing in it is the machine's guess any
more. It is kept in simplified characters as all transcripts are, or no search would find it. The new version is what checks and searches see from then on; evaluations keep the version they used.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from sqlmodel import Session, col, select

from callqa.errors import CallqaError, ConflictError, StateError
from callqa.speech import Transcript, Utterance
from callqa.store import audit
from callqa.store.db import Database
from callqa.store.queries.transcription import hold_transcripts, newest_transcript
from callqa.store.tables import TranscriptRow, VocabularyCandidate
from callqa.text import simplified
from callqa.transcribe.corrections import errors_of, offers, stretches
from callqa.usecases.deleted import refuse_deleted
from callqa.usecases.progress import Stage, ask_again
from callqa.usecases.required import one_line, required_line
from callqa.usecases.transcribe import Origin, load_transcript, save_transcript

MAX_CHARS = 1000  # of one utterance: nobody says more in one breath
MAX_REASON_CHARS = 200


@dataclass(frozen=True, slots=True)
class Correction:
    """What a person wrote. texts: utterance index -> text; verified: the whole transcript was compared with the recording."""

    texts: Mapping[int, str]
    reason: str
    verified: bool = False


def correct_transcript(
    db: Database, call_id: str, given: Correction, *, base_id: int, actor: str, now_ms: int
) -> TranscriptRow:
    """Save what a person wrote as the next version, made from the one with the id base_id.

    Raise ConflictError when that is not the newest any more, StateError when nothing was changed, CallqaError for a
    text or a reason that cannot be.
    """
    missing = "请写明更正的理由，如“听录音更正”"
    reason = required_line(given.reason, "更正的理由", MAX_REASON_CHARS, missing=missing)
    with db.read() as session:
        row, base = _load(session, call_id, base_id)
        machine = _machine_version(session, row)
    corrected = replace(base, utterances=tuple(_corrected(u, given) for u in base.utterances))
    changed = [n for n, u in enumerate(corrected.utterances) if u.text != base.utterances[n].text]
    if not changed and not (given.verified and not row.verified):
        raise StateError("没有改动；文字与原来一样")
    edits, chars = errors_of(machine, corrected)
    verified = given.verified or row.verified
    origin = Origin(actor, reason, row.version, verified, edits, chars)
    with db.write() as session:
        hold_transcripts(session, call_id)
        refuse_deleted(session, call_id)
        _load(session, call_id, base_id)
        made = save_transcript(session, call_id, corrected, cpu_s=None, now_ms=now_ms, origin=origin)
        _offer_words(session, made, base, corrected, now_ms)
        ask_again(
            session, call_id, Stage.CHECK, now_ms
        )  # one that runs now is found by the worker: its text was the old one
        detail = {"version": made.version, "from": row.version, "changed": len(changed), "reason": reason}
        audit.append(
            session,
            actor=actor,
            action="transcript.correct",
            subject=call_id,
            detail=detail | {"verified": verified},
            now_ms=now_ms,
        )
    return made


def _load(session: Session, call_id: str, base_id: int) -> tuple[TranscriptRow, Transcript]:
    row = newest_transcript(session, call_id)
    if row is None:
        raise StateError("这通电话还没有转写，不能更正")
    if row.id != base_id:
        raise ConflictError("这份转写刚有了新的版本；请刷新后再改，避免互相覆盖")
    return row, load_transcript(session, row)


def _machine_version(session: Session, row: TranscriptRow) -> Transcript:
    """The newest version of the machine's up to this one."""
    found = session.exec(
        select(TranscriptRow)
        .where(TranscriptRow.call_id == row.call_id, TranscriptRow.version <= row.version, TranscriptRow.author == "")
        .order_by(col(TranscriptRow.version).desc())
        .limit(1)
    ).first()
    return load_transcript(session, found if found is not None else row)


def _corrected(utterance: Utterance, given: Correction) -> Utterance:
    text = given.texts.get(utterance.index)
    text = utterance.text if text is None or one_line(text) == utterance.text else simplified(one_line(text))
    if len(text) > MAX_CHARS:
        raise CallqaError(f"第 {utterance.index + 1} 句有 {len(text)} 字，最多 {MAX_CHARS} 字")
    if text == utterance.text and not given.verified:
        return utterance
    corrections = utterance.corrections if text == utterance.text else stretches(utterance.machine_text, text)
    return replace(
        utterance, text=text, repairs=(), unprompted=None, corrections=corrections, reliable=True, confidence=1.0
    )


def _offer_words(session: Session, made: TranscriptRow, base: Transcript, corrected: Transcript, now_ms: int) -> None:
    assert made.id is not None
    pairs = zip(base.utterances, corrected.utterances, strict=True)
    found = {offer.word: offer for old, new in pairs for offer in offers(old.text, new.text)}
    for offer in found.values():
        session.add(
            VocabularyCandidate(
                transcript_id=made.id, word=offer.word, was=offer.was, context=offer.context, offered_at_ms=now_ms
            )
        )
