"""Import the calls of a capture file (pcap, pcapng): SIP dialogs and their RTP become masters and sidecars.

The RTP goes through the same alignment as the recorder's spool. Idempotent by dialog (Call-ID and tags), so overlapping
captures bring each call once. Unanswered calls become rows with their reason. What is not imported is said: encrypted media
without its keys, calls without media.
"""

import hashlib
from collections.abc import Collection, Sequence
from pathlib import Path

from sqlmodel import select

from callqa import __version__
from callqa.errors import CallqaError, ImportFileError
from callqa.journal import JournalEntry, JournalKind
from callqa.sidecar import SourceFile
from callqa.sip.media.align import to_stereo
from callqa.sip.media.captured import CapturedCall, Party, read_calls, sides_of, to_records, without_twins
from callqa.sip.media.captured_media import calls_without_signalling, unlock_call
from callqa.sip.media.layers import read_datagrams
from callqa.sip.media.pcap import read_frames
from callqa.sip.media.story import sidecar_of, tell
from callqa.sip.wire.identity import called_number, caller_number
from callqa.store.db import Database
from callqa.store.tables import Seat
from callqa.units import Direction
from callqa.usecases.import_calls import ImportResult, note_import
from callqa.usecases.import_master import (
    content_key,
    describe_os_error,
    import_call_id,
    imported_keys,
    save_call,
    save_master,
    still_deleted,
)
from callqa.usecases.ingest_rows import apply_entry

_REASONS = {
    404: "空号", 408: "无人接听", 480: "无人接听", 486: "对方占线", 487: "主叫取消", 488: "没有共同的语音编码", 600: "对方占线",
    603: "对方拒接",
}  # fmt: skip
MAX_CAPTURE_BYTES = 2 << 30  # read as a whole; a day of nine seats at G.711 is 1.5 GB


def import_captures(
    db: Database,
    paths: Sequence[Path],
    result: ImportResult,
    *,
    recordings: Path,
    actor: str,
    now_ms: int,
    seats: Collection[str] = (),
    direction: Direction | None = None,
    demo: bool = False,
    bare_rtp: bool = False,
    again: bool = False,
) -> None:
    """Import every call of the captures, adding to `result`. seats: extensions besides the registered ones; bare_rtp: where
    there is no SIP, take RTP between two addresses as a call of unknown parties, inbound unless told otherwise; again: also
    answered calls that were deleted here."""
    known = imported_keys(db)
    with db.read() as session:
        ours = {*session.exec(select(Seat.extension)), *seats}
    before = len(result.new)
    for path in paths:
        try:
            data = _read(path)
            calls = without_twins(read_calls(read_datagrams(read_frames(data))))
            bare = not calls and bare_rtp
            if bare:
                calls = calls_without_signalling(read_datagrams(read_frames(data)))
        except OSError as e:
            result.errors.append(describe_os_error(path, e))
            continue
        except CallqaError as e:
            result.errors.append(f"{path}：{e}")
            continue
        source = SourceFile(name=path.name, sha256=hashlib.sha256(data).hexdigest())
        _summarise(path, calls, result)
        side = direction or (Direction.INBOUND if bare else None)
        for call in calls:
            try:
                if call.answered_ns is None:
                    _note_unanswered(db, call, path, known, result, seats=ours, direction=side, demo=demo)
                    continue
                _import_call(
                    db, call, source, known, result,
                    recordings=recordings, actor=actor, now_ms=now_ms, seats=ours, direction=side, demo=demo, again=again,
                )  # fmt: skip
            except OSError as e:
                result.errors.append(describe_os_error(path, e))
            except CallqaError as e:
                result.errors.append(f"{path} 里的通话 {call.sip_call_id}：{e}")
    if len(result.new) > before:
        note_import(db, result.new[before:], actor, now_ms)


def _read(path: Path) -> bytes:
    size = path.stat().st_size
    if size > MAX_CAPTURE_BYTES:
        raise ImportFileError(f"有 {size >> 20} MB，超过 {MAX_CAPTURE_BYTES >> 20} MB；请用 editcap 按时间切开再导入")
    return path.read_bytes()


def _summarise(path: Path, calls: Sequence[CapturedCall], result: ImportResult) -> None:
    if not calls:
        result.errors.append(
            f"{path}：没有找到 SIP 通话；抓包时请把信令端口（5060）和媒体端口一起抓下，加密的信令无法读取。只有媒体时可加 --bare-rtp 导入"
        )


def _key_of(call: CapturedCall) -> str:
    identity = "\n".join((call.sip_call_id, call.from_tag, call.to_tag))
    return content_key(hashlib.sha256(identity.encode("utf-8", "surrogateescape")).hexdigest())


def _note_unanswered(
    db: Database,
    call: CapturedCall,
    path: Path,
    known: dict[str, str],
    result: ImportResult,
    *,
    seats: Collection[str],
    direction: Direction | None,
    demo: bool,
) -> None:
    """The row of a call that nobody answered."""
    key = _key_of(call)
    if key in known:
        result.known.append(known[key])
        return
    sides = sides_of(call, seats, direction)
    if call.refused_ns is None or sides is None:
        why = (
            "抓包结束时还没有结果" if call.refused_ns is None else "不知道哪一方是坐席，请用 --seat 或 --direction 指明"
        )
        result.notes.append(f"{path.name}：有一个呼叫没有接通，{why}，没有导入")
        return
    started_ms, ended_ms = call.started_ns // 1_000_000, call.refused_ns // 1_000_000
    call_id = import_call_id(started_ms, key)
    gave_up = call.refused == 487 and sides.direction is Direction.INBOUND
    facts = {
        "mode": "import",
        "direction": sides.direction.value,
        "from_number": caller_number(call.invite),
        "to_number": call.to_number or called_number(call.invite),
        "seat_extension": sides.seat_extension,
        "started_at_ms": started_ms,
        "ended_at_ms": ended_ms,
        "ring_ms": max(0, ended_ms - started_ms),
        "reason": "诉求人在接通前挂断" if gave_up else _REASONS.get(call.refused, f"没有接通（{call.refused}）"),
        "sip_status": call.refused,
    }
    kind = JournalKind.CALL_ABANDONED if gave_up else JournalKind.CALL_UNANSWERED
    entry = JournalEntry(number=1, at_ms=ended_ms, kind=kind, call_id=call_id, facts=facts)
    with db.write() as session:
        apply_entry(session, entry, demo=demo)
    known[key] = call_id
    result.new.append(call_id)


def _import_call(
    db: Database,
    call: CapturedCall,
    source: SourceFile,
    known: dict[str, str],
    result: ImportResult,
    *,
    recordings: Path,
    actor: str,
    now_ms: int,
    seats: Collection[str],
    direction: Direction | None,
    demo: bool,
    again: bool,
) -> None:
    key = _key_of(call)
    if key in known:
        deleted = still_deleted(db, known[key])
        if not (deleted and again):
            result.notes += [f"{source.name} {known[key]}：{deleted}"] if deleted else []
            result.known.append(known[key])
            return
    if call.encrypted and not call.packets:
        raise ImportFileError("媒体已加密（SRTP），抓包里没有可用的密钥，无法还原声音")
    locked = unlock_call(call)
    if locked and not call.packets:
        raise ImportFileError("媒体已加密（SRTP），抓包里的密钥都对不上，无法还原声音")
    if locked:
        result.notes.append(f"{source.name}：通话 {call.sip_call_id} 有 {locked} 个加密的媒体包解不开，已略去")
    if not call.packets:
        raise ImportFileError("已接通，但抓包里没有它的 RTP 媒体；请确认抓包位置能看到媒体")
    sides = sides_of(call, seats, direction)
    if sides is None:
        users = "、".join(dict.fromkeys((*call.users(Party.CALLER)[:1], *call.users(Party.CALLEE)[:1])))
        raise ImportFileError(
            f"不知道哪一方是坐席（双方是 {users}）；请用 --seat 指明席位分机，或用 --direction 指明呼入、呼出"
        )
    call_id = import_call_id(call.started_ns // 1_000_000, key)
    records = to_records(call, call_id, sides)
    story, stereo = tell(records), to_stereo(records)
    if not stereo.heard:
        raise ImportFileError("；".join(stereo.faults) or "媒体里没有可解码的声音")
    recording = save_master(
        recordings, call_id, story.started_at_ms, stereo.encoding, stereo.samples, stereo.sample_rate_hz
    )
    sidecar = sidecar_of(story, stereo, recording, recovered=False, recorder=f"callqa {__version__} import")
    sidecar = sidecar.model_copy(update={"source": source})
    if call.hung_up is None:
        sidecar = sidecar.model_copy(update={"hangup_party": None})  # the capture ended first
    save_call(db, recordings, sidecar, now_ms=now_ms, demo=demo, actor=actor)
    known[key] = call_id
    result.new.append(call_id)
    result.notes += [f"{source.name} {call_id}：{fault}" for fault in sidecar.faults]
