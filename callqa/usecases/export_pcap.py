"""Give a call's raw media back as a capture file for Wireshark, while its spool is kept."""

from pathlib import Path

from callqa.errors import CallqaError, SpoolError, StoreError
from callqa.refusals import no_such_call, os_reason
from callqa.sip.media.export import to_frames
from callqa.sip.media.pcap import write_pcap
from callqa.sip.media.spool import read_records
from callqa.store import audit
from callqa.store.db import Database
from callqa.store.tables import Call
from callqa.usecases.confidential import is_confidential
from callqa.usecases.deleted import refuse_deleted


def export_pcap(db: Database, call_id: str, *, spool: Path, keep_days: int, actor: str, now_ms: int) -> bytes:
    """The pcap file of one call; noted in the audit chain. Raise StoreError (Chinese) when there is no spool any more."""
    with db.read() as session:
        call = session.get(Call, call_id)
        refuse_deleted(session, call_id)
    if is_confidential(db, call_id):
        raise StoreError(f"通话 {call_id} 是保密件，不能导出；请由指定的人在“保密件”页先解除")
    path = spool / f"{call_id}.spool"
    if Path(call_id).name != call_id or not path.is_file():
        raise StoreError(_why_not(call_id, call, keep_days))
    try:
        data = write_pcap(to_frames(read_records(path.read_bytes())))
    except OSError as e:
        raise StoreError(f"通话 {call_id} 的原始媒体读不了：{os_reason(e)}；请检查 {path} 的权限和磁盘") from e
    except SpoolError as e:
        raise CallqaError(f"通话 {call_id} 的原始媒体文件已损坏，不能导出：{path.name}") from e
    with db.write() as session:
        detail = {"format": "pcap", "bytes": len(data)}
        audit.append(session, actor=actor, action="call.export_pcap", subject=call_id, detail=detail, now_ms=now_ms)
    return data


def _why_not(call_id: str, call: Call | None, keep_days: int) -> str:
    if call is None:
        return no_such_call(call_id)
    if call.mode == "import":
        return f"通话 {call_id} 是导入的，没有原始媒体；请用导入时的那个文件"
    if call.outcome != "answered":
        return f"通话 {call_id} 没有接通，没有媒体可导出"
    return (
        f"通话 {call_id} 的原始媒体已经清理，不能再导出：归档后只保留 {keep_days} 天"
        "（设置 retention.spool_keep_days），磁盘将满时更早。录音母版仍在，可用 callqa export --audio 或在通话页导出"
    )
