"""Import recordings made elsewhere: audio files of any kind, alone or with a table of call facts (通话清单).

Every file becomes a master (16-bit PCM, or its own untouched G.711) and a sidecar of mode `import`, and goes through
the same stages as a recorded call. Idempotent by content: the same bytes are taken in once. One bad file or row gives
one Chinese sentence; the good ones go on. Captures are imported by import_pcap.py.

A stereo file has the citizen left unless told otherwise. A mono file, or a stereo one whose sides are alike, stays
mono: who speaks is not known. Without facts the start is read from the file's name, else from its modification time.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from callqa.audiofile import cut_off_ms, decode_audio, read_law
from callqa.errors import AudioError, CallqaError
from callqa.periods import say_duration, say_instant
from callqa.sidecar import Sidecar, SourceFile
from callqa.sip.media.codec import Encoding
from callqa.store import audit
from callqa.store.db import Database
from callqa.store.tables import DeskSetting
from callqa.tickets.importers.calls import CALL_COLUMNS, CallInput
from callqa.tickets.importers.columns import check_mapping
from callqa.tickets.importers.sheet import Cell
from callqa.tickets.importers.values import CellRefused, parse_instant
from callqa.usecases.import_files import Found, survey
from callqa.usecases.import_master import (
    content_key,
    describe_os_error,
    import_call_id,
    imported_keys,
    save_call,
    save_master,
    set_agent,
    still_deleted,
)

MAX_FILE_BYTES = 1 << 30  # twelve hours of 16-bit stereo at 8 kHz is 1.4 GB; no call comes near half a day
MAPPING_KEY = "import_mapping"
# Sides whose difference is this much weaker than their sum are one mixed signal written twice (-40 dB).
_ALIKE = 1e-4

Side = Literal["citizen", "agent"]


@dataclass(slots=True)
class ImportResult:
    """What one import did. new, known: call_ids; errors and notes: Chinese, one a file or row.

    captures: capture files that were found and are left to import_pcap.
    """

    new: list[str] = field(default_factory=list)
    known: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    captures: tuple[Path, ...] = ()


def import_calls(
    db: Database,
    paths: Sequence[Path],
    *,
    recordings: Path,
    actor: str,
    now_ms: int,
    left: Side = "citizen",
    demo: bool = False,
    again: bool = False,
) -> ImportResult:
    """Import audio files, and folders with audio and tables of facts. left: who is on the left of a stereo file.
    again: also what was deleted here."""
    found = survey(paths, load_mapping(db))
    result = ImportResult(errors=[*found.errors, *(sentence for _, sentence in found.missing)], captures=found.captures)
    import_found(
        db, found, found.audio, result,
        recordings=recordings, actor=actor, now_ms=now_ms, left=left, demo=demo, again=again,
    )  # fmt: skip
    if found.skipped:
        names = "、".join(path.name for path in found.skipped[:5])
        more = f"等 {len(found.skipped)} 个" if len(found.skipped) > 5 else ""
        result.notes.append(f"跳过了不是录音也不是清单的文件：{names}{more}")
    return result


def import_found(
    db: Database,
    found: Found,
    files: Sequence[Path],
    result: ImportResult,
    *,
    recordings: Path,
    actor: str,
    now_ms: int,
    left: Side = "citizen",
    demo: bool = False,
    again: bool = False,
) -> None:
    """Import some of the audio files that `survey` found, adding to `result`; one audit entry for all of them."""
    known = imported_keys(db)
    before = len(result.new)
    for path in files:
        row, table = found.facts.get(path, (None, None))
        try:
            call_id, is_new = _import_file(
                db, path, row, known,
                recordings=recordings, actor=actor, now_ms=now_ms, left=left, demo=demo, again=again, result=result,
            )  # fmt: skip
        except OSError as e:
            result.errors.append(describe_os_error(path, e))
            continue
        except CallqaError as e:
            result.errors.append(str(e) if str(path) in str(e) else f"{path}：{e}")
            continue
        (result.new if is_new else result.known).append(call_id)
        if row is not None and table is not None and row.agent_no:
            where = f"{table.name} 第 {row.row} 行"
            note = set_agent(db, call_id, row.agent_no, where=where, actor=actor, now_ms=now_ms)
            if note:
                result.notes.append(f"{path.name}：{note}")
    if len(result.new) > before:
        note_import(db, result.new[before:], actor, now_ms)


def _import_file(
    db: Database,
    path: Path,
    row: CallInput | None,
    known: dict[str, str],
    *,
    recordings: Path,
    actor: str,
    now_ms: int,
    left: Side,
    demo: bool,
    again: bool,
    result: ImportResult,
) -> tuple[str, bool]:
    """(call_id, whether it is new) of one file."""
    stat = path.stat()
    if stat.st_size > MAX_FILE_BYTES:
        raise AudioError(f"音频文件 {path} 有 {stat.st_size >> 20} MB，不像一通电话；请先分段")
    data = path.read_bytes()
    sha256 = hashlib.sha256(data).hexdigest()
    key = content_key(sha256)
    if key in known:
        deleted = still_deleted(db, known[key])
        if not (deleted and again):
            result.notes += [f"{path.name}：{deleted}"] if deleted else []
            return known[key], False
    audio = read_master(data, str(path), swap=(row.left if row and row.left else left) == "agent")
    facts = row or facts_of_name(path.name, stat.st_mtime_ns // 1_000_000)
    notes = list(audio.notes)
    if row is None:
        notes.append(f"没有通话清单，开始时间 {say_instant(_started(facts))} 取自文件名或文件修改时间")
    call_id = import_call_id(_started(facts), key)
    recording = save_master(recordings, call_id, _started(facts), audio.encoding, audio.samples, audio.sample_rate_hz)
    answered_at_ms = facts.answered_at_ms or _started(facts)
    ended_at_ms = max(facts.ended_at_ms or 0, answered_at_ms + recording.duration_ms)
    from_number, to_number = _parties(facts)
    sidecar = Sidecar(
        call_id=call_id,
        mode="import",
        direction=facts.direction or "inbound",
        from_number=from_number,
        to_number=to_number,
        seat_extension=facts.seat_extension or None,
        ticket_hint=facts.ticket_no or None,
        started_at_ms=_started(facts),
        answered_at_ms=answered_at_ms,
        ended_at_ms=ended_at_ms,
        hangup_party=facts.hangup_party,
        recording=recording,
        faults=tuple(notes),
        source=SourceFile(name=path.name, sha256=sha256),
        recorder="callqa import",
    )
    save_call(db, recordings, sidecar, now_ms=now_ms, demo=demo, actor=actor)
    known[key] = call_id
    result.notes += [f"{path.name}：{note}" for note in notes]
    return call_id, True


def _started(facts: CallInput) -> int:
    started = facts.started_at_ms if facts.started_at_ms is not None else facts.answered_at_ms
    assert started is not None, "a row without a time is refused by the importer"
    return started


def _parties(facts: CallInput) -> tuple[str, str]:
    """(from, to); the citizen's number stands in where the table names only that."""
    if facts.direction == "outbound":
        return facts.from_number or facts.seat_extension, facts.to_number or facts.citizen_number
    return facts.from_number or facts.citizen_number, facts.to_number


_NAME_TIME = re.compile(
    r"(?<!\d)(20\d{2})[-_.年]?(\d{2})[-_.月]?(\d{2})日?[-_ T]?(\d{2})[-_:.时]?(\d{2})[-_:.分]?(\d{2})"
)
_NAME_MOBILE = re.compile(r"(?<!\d)(1[3-9]\d{9})(?!\d)")


def facts_of_name(name: str, modified_at_ms: int) -> CallInput:
    """What a file name such as `20261103-081430_13871206358_8001.wav` tells: start and the citizen's mobile."""
    started_at_ms = modified_at_ms
    match = _NAME_TIME.search(name)
    if match:
        try:
            started_at_ms = parse_instant(Cell("".join(match.groups()))) or modified_at_ms
        except CellRefused:
            match = None  # digits that are no time
    rest = name.replace(match[0], "_", 1) if match else name
    mobile = _NAME_MOBILE.search(rest)
    return CallInput(row=0, recording=name, started_at_ms=started_at_ms, citizen_number=mobile[1] if mobile else "")


@dataclass(frozen=True, slots=True, eq=False)
class MasterAudio:
    """samples: uint8 (n, 1 or 2) G.711 bytes or int16 (n, 1 or 2). notes: Chinese, what was decided about the file."""

    encoding: Encoding
    samples: NDArray[np.uint8] | NDArray[np.int16]
    sample_rate_hz: int
    notes: tuple[str, ...] = ()


def read_master(data: bytes, name: str, *, swap: bool = False) -> MasterAudio:
    """The master of one audio file. swap: the agent is on its left. Raise AudioError."""
    audio = decode_audio(data, name)
    law = read_law(data)
    if audio.n_channels > 2:
        raise AudioError(
            f"音频文件 {name} 有 {audio.n_channels} 个声道，不知道哪两个是通话双方；请先导出为双声道或单声道"
        )
    samples: NDArray[np.uint8] | NDArray[np.int16] = law.samples if law else audio.samples
    encoding: Encoding = law.law if law else "pcm16"
    missing_ms = cut_off_ms(data)
    notes: tuple[str, ...] = ()
    if audio.n_channels == 2 and _alike(audio.samples):
        samples = samples[:, :1]
        notes = ("两个声道内容相同，按单声道处理，转写不区分说话人",)
    elif audio.n_channels == 1:
        notes = ("单声道录音，转写不区分说话人",)
    elif swap:
        samples = samples[:, ::-1]
    if missing_ms:
        notes += (f"录音文件不完整，缺了末尾 {say_duration(missing_ms)}；请向导出的系统核对，有完整的再导入一次",)
    return MasterAudio(encoding, samples, audio.sample_rate_hz, notes)


def _alike(samples: NDArray[np.int16]) -> bool:
    """Whether both columns of int16 (n, 2) carry one mixed signal."""
    left, right = samples[:, 0].astype(np.float32), samples[:, 1].astype(np.float32)
    whole = float(np.dot(left, left) + np.dot(right, right))
    difference = left - right
    return whole > 0 and float(np.dot(difference, difference)) <= _ALIKE * whole


def load_mapping(db: Database) -> dict[str, str]:
    """The saved column mapping of call facts: {header: field}."""
    with db.read() as session:
        row = session.get(DeskSetting, MAPPING_KEY)
    return {str(k): str(v) for k, v in row.value.items()} if row is not None and isinstance(row.value, dict) else {}


def save_mapping(db: Database, mapping: Mapping[str, str], *, actor: str, now_ms: int) -> dict[str, str]:
    """Add to the saved column mapping; `{header: our column}`. Returns the whole of it. Raise ImportFileError."""
    checked = check_mapping(CALL_COLUMNS, mapping)
    before = load_mapping(db)
    after = before | checked
    if after != before:
        with db.write() as session:
            row = session.get(DeskSetting, MAPPING_KEY) or DeskSetting(key=MAPPING_KEY, value={})
            row.value = after
            session.add(row)
            detail = {"before": before, "after": after}
            audit.append(session, actor=actor, action="import.mapping", subject="desk", detail=detail, now_ms=now_ms)
    return after


def note_import(db: Database, call_ids: Sequence[str], actor: str, now_ms: int) -> None:
    """Note in the audit chain who imported which calls."""
    with db.write() as session:
        audit.append(
            session,
            actor=actor,
            action="call.import",
            subject=f"{len(call_ids)} calls",
            detail={"call_ids": list(call_ids[:200]), "count": len(call_ids)},
            now_ms=now_ms,
        )
