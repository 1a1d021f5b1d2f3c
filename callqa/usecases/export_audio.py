"""Give a call's recording away as a file: as it is, or 消音 with a tone in place of the private numbers that were said.

The recording itself is never changed. Every export is noted in the audit chain, with what was taken out.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from sqlmodel import Session, col, select

from callqa.errors import StoreError
from callqa.files import read_file
from callqa.privacy import Turn
from callqa.private_times import Said, private_spans
from callqa.refusals import no_such_call, os_reason
from callqa.sip.media.beep import beep
from callqa.speech import Span
from callqa.store import audit
from callqa.store.db import Database
from callqa.store.queries.transcription import newest_transcript
from callqa.store.tables import Call, UtteranceRow
from callqa.usecases.confidential import is_confidential
from callqa.usecases.deleted import refuse_deleted

ACTION = "call.export_audio"


@dataclass(frozen=True, slots=True)
class AudioExport:
    """A WAV file, and which stretches of it are a tone."""

    data: bytes
    beeped: tuple[Span, ...]

    @property
    def beeped_ms(self) -> int:
        return sum(span.duration_ms for span in self.beeped)


@dataclass(frozen=True, slots=True)
class PrivateStretches:
    """Where private numbers were said, by the newest transcript."""

    transcript_version: int
    spans: tuple[Span, ...]

    def take_out(self, wav: bytes) -> bytes:
        """The same recording as a WAV file of G.711 or 16-bit PCM, with a tone there. Raise AudioError."""
        return beep(wav, self.spans)


def find_stretches(db: Database, call_id: str, recording_sha256: str) -> PrivateStretches:
    """Where the recording has private numbers. Raise StoreError where no transcript of this very recording tells."""
    with db.read() as session:
        version, said = _newest_words(session, call_id, recording_sha256)
    return PrivateStretches(version, private_spans(said))


def export_audio(db: Database, call_id: str, *, recordings: Path, actor: str, now_ms: int) -> AudioExport:
    """The recording byte by byte, with every number in it. Raise StoreError (Chinese) when there is none to give."""
    data = _read_master(db, call_id, recordings)
    _note(db, call_id, {"beeped": False, "bytes": len(data)}, actor, now_ms)
    return AudioExport(data, ())


def export_beeped(db: Database, call_id: str, *, recordings: Path, actor: str, now_ms: int) -> AudioExport:
    """The recording without the private numbers that its newest transcript tells of. Raise StoreError, AudioError."""
    master = _read_master(db, call_id, recordings)
    found = find_stretches(db, call_id, hashlib.sha256(master).hexdigest())
    made = AudioExport(found.take_out(master), found.spans)
    detail = {
        "beeped": True,
        "bytes": len(made.data),
        "transcript_version": found.transcript_version,
        "stretches_ms": [[span.start_ms, span.end_ms] for span in found.spans],
    }
    _note(db, call_id, detail, actor, now_ms)
    return made


def _note(db: Database, call_id: str, detail: dict[str, object], actor: str, now_ms: int) -> None:
    with db.write() as session:
        audit.append(session, actor=actor, action=ACTION, subject=call_id, detail=detail, now_ms=now_ms)


def _read_master(db: Database, call_id: str, recordings: Path) -> bytes:
    with db.read() as session:
        call = session.get(Call, call_id)
    if call is None:
        raise StoreError(no_such_call(call_id))
    if is_confidential(db, call_id):
        raise StoreError(f"通话 {call_id} 是保密件，不能导出；请由指定的人在“保密件”页先解除")
    if call.deleted_at_ms is not None:
        with db.read() as session:
            refuse_deleted(session, call_id)
    if call.recording_status != "ok" or not call.recording_path:
        raise StoreError(f"通话 {call_id} 没有可导出的录音；原因见通话页")
    path = (recordings / call.recording_path).resolve()
    if not path.is_relative_to(recordings.resolve()):
        raise StoreError(f"通话 {call_id} 的录音存放路径不在录音文件夹内，拒绝打开；请联系管理员")
    try:
        data = read_file(path)
    except OSError as e:
        raise StoreError(f"通话 {call_id} 的录音读不了：{os_reason(e)}；请在“系统”页核对录音文件夹") from e
    if hashlib.sha256(data).hexdigest() != call.recording_sha256:
        raise StoreError(f"通话 {call_id} 的录音文件与入库时的校验和不符，不能导出；请在“系统”页核对录音文件夹")
    return data


def _newest_words(session: Session, call_id: str, recording_sha256: str) -> tuple[int, list[Said]]:
    """The newest transcript's version and its utterances in order. Raise StoreError where it cannot tell of this recording."""
    newest = newest_transcript(session, call_id)
    if newest is None:
        raise StoreError(
            f"通话 {call_id} 还没有转写，不知道号码是在哪里说的，不能消音；请等转写完成后再导出或播放"
            "（有权取原录音的人可以不消音导出）"
        )
    if newest.recording_sha256 != recording_sha256:
        raise StoreError(f"通话 {call_id} 的转写不是由现在这份录音做的，不能消音；请重新转写后再导出或播放")
    rows = session.exec(
        select(UtteranceRow)
        .where(UtteranceRow.transcript_id == newest.id)
        .order_by(col(UtteranceRow.start_ms), col(UtteranceRow.index))
    )
    said = [Said(Turn(u.speaker, u.start_ms, u.end_ms, u.text), u.raw_text, u.reliable) for u in rows]
    return newest.version, said
