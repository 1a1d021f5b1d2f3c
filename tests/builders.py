"""Rows of a believable month: agents, seats, sign-ins, calls with small real recordings, transcripts, tickets,
links, suggestions. Everything is invented; the same every time (no clock, no randomness but a fixed seed)."""

import hashlib
import struct
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from sqlmodel import Session

from callqa.periods import SHANGHAI, to_ms
from callqa.store.tables import (
    Agent,
    Call,
    CallProgress,
    CheckRun,
    RosterEntry,
    RubricVersion,
    Seat,
    SeatLogin,
    SuggestionRow,
    Ticket,
    TicketImport,
    TicketLink,
    TranscriptRow,
    UtteranceRow,
)

RATE_HZ = 8000
AGENTS = (("801", "王小雨"), ("802", "陈一鸣"), ("803", "刘思思"), ("805", "欧阳明"))
SEATS = (("8001", "一号席"), ("8002", "二号席"), ("8003", "三号席"), ("8004", "四号席"))


def at(text: str) -> int:
    """UTC milliseconds of `2026-11-06 07:22:10` in Shanghai."""
    return to_ms(datetime.fromisoformat(text).replace(tzinfo=SHANGHAI))


@dataclass(frozen=True, slots=True)
class Line:
    """One utterance of a story: speaker c (citizen) or a (agent), seconds, words, confidence."""

    who: str
    start_s: float
    end_s: float
    text: str
    confidence: float = 0.93


BURST_PIPE = (
    Line("a", 0.4, 4.6, "您好，武汉水务热线，工号八零五，请问有什么可以帮您？"),
    Line("c", 5.0, 9.8, "你好，我在宝丰路这边，人行道上有个水管一直在往外冒水。"),
    Line("a", 10.2, 13.4, "请问具体是在宝丰路的什么位置？附近有什么标志吗？"),
    Line("c", 13.9, 19.2, "就在宝丰一路和解放大道的交叉口，靠近地铁站 B 出口那边。", 0.71),
    Line("a", 19.8, 24.1, "好的，您反映的是宝丰一路与解放大道交叉口供水管漏水，对吗？"),
    Line("c", 24.5, 25.6, "对对对，水挺大的。"),
    Line("a", 38.2, 43.5, "让您久等了，已经为您登记，工单尾号零零三一，请您注意安全。", 0.52),
    Line("c", 44.0, 46.2, "好，那大概什么时候能来人？"),
    Line("a", 46.6, 51.0, "抢修人员两小时内与您联系，请保持电话畅通。"),
    Line("c", 51.3, 52.4, "行，谢谢啊。"),
)


def speech_like(lines: tuple[Line, ...], duration_s: float, seed: int = 7) -> np.ndarray:
    """int16 (n_samples, 2) at 8 000 Hz: syllable-like bursts where somebody speaks, faint noise elsewhere."""
    rng = np.random.default_rng(seed)
    n = int(duration_s * RATE_HZ)
    audio = rng.normal(0, 25, (n, 2))
    for line in lines:
        first, last = int(line.start_s * RATE_HZ), min(n, int(line.end_s * RATE_HZ))
        t = np.arange(last - first) / RATE_HZ
        pitch = 190 if line.who == "c" else 230
        syllables = 0.25 + 0.75 * np.abs(np.sin(np.pi * 4.2 * t + rng.uniform(0, 3)))
        phrase = 0.6 + 0.4 * np.sin(np.pi * t / max(t[-1], 0.1))
        voice = sum(np.sin(2 * np.pi * pitch * k * t) / k for k in (1, 2, 3, 5))
        audio[first:last, "ca".index(line.who)] += 5200 * syllables * phrase * voice
    return np.clip(audio, -32000, 32000).astype(np.int16)


def alaw_bytes(samples: np.ndarray) -> bytes:
    """G.711 A-law of int16, interleaved. Written from the definition, for test files only."""
    x = samples.astype(np.int32).reshape(-1)
    sign = np.where(x >= 0, 0x80, 0)
    magnitude = np.minimum(np.where(x >= 0, x, -x - 1), 32767) >> 4
    exponent = np.zeros_like(magnitude)
    for k in range(1, 8):
        exponent = np.where(magnitude >= 1 << (k + 3), k, exponent)
    mantissa = (magnitude >> np.maximum(exponent - 1, 0)) & 15
    code = sign | (exponent << 4) | mantissa
    return (code ^ 0x55).astype(np.uint8).tobytes()


def alaw_wav(samples: np.ndarray) -> bytes:
    """int16 (n_samples, 2) as a G.711 A-law WAV file."""
    body = alaw_bytes(samples)
    header = struct.pack("<4sI4s", b"RIFF", 38 + 12 + len(body), b"WAVE")
    header += struct.pack("<4sIHHIIHHH", b"fmt ", 18, 6, 2, RATE_HZ, RATE_HZ * 2, 2, 8, 0)
    header += struct.pack("<4sII", b"fact", 4, len(samples)) + struct.pack("<4sI", b"data", len(body))
    return header + body


@cache
def _story_wav(lines: tuple[Line, ...], duration_s: float) -> tuple[bytes, int]:
    """A story's master file and its length in samples; made once a process, it takes a quarter of a second."""
    samples = speech_like(lines, duration_s)
    return alaw_wav(samples), len(samples)


def _write(path: Path, data: bytes) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return hashlib.sha256(data).hexdigest()


def add_people(session: Session) -> None:
    """Four agents and four seats, three signed in since this morning, today's roster."""
    for agent_no, name in AGENTS:
        if session.get(Agent, agent_no) is None:
            session.add(Agent(agent_no=agent_no, name=name, hired_on="2024-03-01"))
    for extension, label in SEATS:
        session.add(Seat(extension=extension, label=label, ha1_md5="0" * 32, ha1_sha256="0" * 64))
    session.flush()
    for seat, agent_no in (("8001", "801"), ("8002", "802"), ("8004", "805")):
        session.add(SeatLogin(seat_extension=seat, agent_no=agent_no, started_at_ms=at("2026-11-22 07:55")))
    session.add(
        SeatLogin(
            seat_extension="8003",
            agent_no="803",
            started_at_ms=at("2026-11-21 19:58"),
            ended_at_ms=at("2026-11-22 08:02"),
            source="phone",
        )
    )
    for agent_no, seat in (("801", "8001"), ("802", "8002"), ("805", "8004")):
        session.add(
            RosterEntry(
                agent_no=agent_no,
                seat_extension=seat,
                shift="day",
                start_at_ms=at("2026-11-22 08:00"),
                end_at_ms=at("2026-11-22 20:00"),
            )
        )
    session.flush()


def add_ticket(session: Session, ticket_no: str, **values: Any) -> Ticket:
    """A ticket with believable fields; `values` replace them."""
    fields: dict[str, Any] = {
        "title": "宝丰路供水管漏水",
        "category": "help",
        "matter_category": "water_supply",
        "caller_number": "13871206358",
        "contact_phone": "13871206358",
        "citizen_name": "周建国",
        "district": "硚口区",
        "location": "宝丰一路与解放大道交叉口",
        "content": "市民反映人行道供水管漏水，水量较大，请尽快派人抢修。",
        "accepted_at_ms": at("2026-11-06 07:24:00"),
        "occurred_at_ms": at("2026-11-06 07:00:00"),
        "accepted_by_agent_no": "805",
        "handling_unit": "供水管网抢修中心",
        "dispatched_at_ms": at("2026-11-06 07:31:00"),
        "due_at_ms": at("2026-11-09 07:24:00"),
        "closed_at_ms": at("2026-11-06 15:10:00"),
        "result": "已更换阀门，恢复供水。",
        "satisfaction": "满意",
    }
    ticket = Ticket(ticket_no=ticket_no, **{**fields, **values})
    session.add(ticket)
    session.flush()
    return ticket


def add_call(session: Session, call_id: str, started_at_ms: int, **values: Any) -> Call:
    """An answered inbound call of 63 s taken by 805, without recording; `values` replace fields."""
    fields: dict[str, Any] = {
        "direction": "inbound",
        "call_type": "inbound",
        "outcome": "answered",
        "from_number": "13871206358",
        "to_number": "02796510",
        "citizen_number": "13871206358",
        "seat_extension": "8004",
        "answered_at_ms": started_at_ms + 6_400,
        "ended_at_ms": started_at_ms + 6_400 + 63_000,
        "ring_ms": 6_400,
        "duration_ms": 63_000,
        "hangup_party": "citizen",
        "agent_no": "805",
        "attribution_source": "login",
        "attribution_reason": "通话开始时 805 在 8004 签入",
    }
    call = Call(call_id=call_id, started_at_ms=started_at_ms, **{**fields, **values})
    session.add(call)
    session.flush()
    return call


def record(call: Call, recordings: Path, lines: tuple[Line, ...] = BURST_PIPE, duration_s: float = 54.0) -> Call:
    """Give the call a real A-law master with two gaps, and stream figures."""
    wav, n_samples = _story_wav(lines, duration_s)
    path = f"2026/11/06/{call.call_id}.wav"
    call.recording_sha256 = _write(recordings / path, wav)
    call.recording_path, call.recording_status = path, "ok"
    call.recording_encoding, call.sample_rate_hz, call.n_samples = "alaw", RATE_HZ, n_samples
    call.duration_ms = int(duration_s * 1000)
    call.gaps = [
        {"channel": 0, "start_ms": 26_000, "end_ms": 38_000, "kind": "held"},
        {"channel": 1, "start_ms": 26_000, "end_ms": 38_000, "kind": "held"},
        {"channel": 0, "start_ms": 47_100, "end_ms": 47_600, "kind": "lost"},
    ]
    call.streams = [
        {"channel": 0, "codec": "PCMA", "packets": 2674, "lost": 26, "duplicates": 1, "reordered": 2, "foreign": 0,
         "jitter_ms": 3.8, "ssrcs": 1},
        {"channel": 1, "codec": "PCMA", "packets": 2700, "lost": 0, "duplicates": 0, "reordered": 0, "foreign": 0,
         "jitter_ms": 1.1, "ssrcs": 1},
    ]  # fmt: skip
    return call


def add_progress(session: Session, call: Call, now_ms: int, **states: str) -> None:
    """Stage rows: all done unless `states` says otherwise (transcribe="running")."""
    for stage in ("attribute", "link", "transcribe", "check"):
        state = states.get(stage, "done")
        session.add(
            CallProgress(
                call_id=call.call_id,
                stage=stage,
                state=state,
                percent={"done": 100, "running": 42}.get(state, 0),
                message="转写模型不在；请运行 callqa model install" if state == "waiting" else "",
                updated_at_ms=now_ms,
            )
        )
    session.flush()


def add_transcript(
    session: Session, call: Call, lines: tuple[Line, ...] = BURST_PIPE, version: int = 1
) -> TranscriptRow:
    """The story's words as a transcript."""
    row = TranscriptRow(
        call_id=call.call_id,
        version=version,
        engine="faster-whisper base",
        model_sha256="ab" * 32,
        recording_sha256=call.recording_sha256 or "",
        duration_ms=call.duration_ms or 0,
        speech=[[], []],
        mean_confidence=0.86,
        created_at_ms=(call.ended_at_ms or call.started_at_ms) + 60_000,
        cpu_s=11.2,
    )
    session.add(row)
    session.flush()
    assert row.id is not None
    for index, line in enumerate(lines):
        session.add(
            UtteranceRow(
                transcript_id=row.id,
                index=index,
                speaker={"c": "citizen", "a": "agent"}[line.who],
                start_ms=int(line.start_s * 1000),
                end_ms=int(line.end_s * 1000),
                text=line.text,
                raw_text=line.text,
                confidence=line.confidence,
                reliable=line.confidence >= 0.6,
            )
        )
    session.flush()
    return row


RUBRIC = Path(__file__).resolve().parent.parent / "scorecards" / "rubric.yaml"


def add_rubric(session: Session) -> RubricVersion:
    """The project's own rubric as a stored version."""
    source = RUBRIC.read_text(encoding="utf-8")
    rubric_hash = hashlib.sha256(source.encode()).hexdigest()
    row = session.get(RubricVersion, rubric_hash)
    if row is None:
        row = RubricVersion(
            rubric_hash=rubric_hash,
            rubric_id="water-hotline",
            version=1,
            title="水务热线话务质检评分标准",
            source=source,
            effective_from_ms=0,
            loaded_at_ms=0,
        )
        session.add(row)
        session.flush()
    return row


def add_suggestions(session: Session, call: Call, transcript: TranscriptRow) -> CheckRun:
    """A check run with a suggested deduction, a hint, and evidence in both channels."""
    rubric = add_rubric(session)
    assert transcript.id is not None
    run = CheckRun(
        call_id=call.call_id,
        transcript_id=transcript.id,
        rubric_hash=rubric.rubric_hash,
        created_at_ms=transcript.created_at_ms + 900,
        auto_score=96.0,
    )
    session.add(run)
    session.flush()
    assert run.id is not None
    session.add(
        SuggestionRow(
            check_run_id=run.id,
            call_id=call.call_id,
            check_id="S1.4-2",
            item_id="S1.4",
            option_code="b",
            level="preselect",
            points=2,
            reason="结束时没有致谢或道别语",
            evidence=[
                {"channel": 1, "start_ms": 46_600, "end_ms": 51_000, "quote": "抢修人员两小时内与您联系，请保持电话畅通。",
                 "operator": "keyword_none", "params": "词表 closing"},
            ],
        )
    )  # fmt: skip
    session.add(
        SuggestionRow(
            check_run_id=run.id,
            call_id=call.call_id,
            check_id="S2.3-1",
            item_id="S2.3",
            option_code=None,
            level="hint",
            points=1,
            reason="双方同时无语音 12.6 秒，此前已请对方稍等",
            evidence=[
                {"channel": None, "start_ms": 25_600, "end_ms": 38_200, "quote": "",
                 "operator": "silence", "params": "min_s 10"},
            ],
        )
    )  # fmt: skip
    session.flush()
    return run


def add_link(session: Session, call: Call, ticket: Ticket, state: str = "linked", **values: Any) -> TicketLink:
    """A link with its reasons."""
    fields: dict[str, Any] = {
        "method": "evidence",
        "score": 92 if state == "linked" else 61,
        "reasons": ["来电号码一致（138****6358）", "受理坐席一致（805）", "受理时间在通话开始后 1 分 50 秒"],
        "decided_at_ms": call.started_at_ms + 90_000,
    }
    link = TicketLink(call_id=call.call_id, ticket_no=ticket.ticket_no, state=state, **{**fields, **values})
    session.add(link)
    session.flush()
    return link


def add_import(session: Session, now_ms: int, **values: Any) -> TicketImport:
    """A finished import with two refused rows."""
    fields: dict[str, Any] = {
        "file_name": "工单11月.csv",
        "file_sha256": "cd" * 32,
        "imported_at_ms": now_ms,
        "imported_by": "shift_leader",
        "rows_new": 12,
        "rows_changed": 3,
        "rows_same": 40,
        "errors": [
            {"row": 8, "column": "受理时间", "message": "“昨天下午”不是时间；请写成 2026-11-06 07:24:00"},
            {"row": 21, "column": "工单编号", "message": "没有填写"},
        ],
    }
    row = TicketImport(**{**fields, **values})
    session.add(row)
    session.flush()
    return row


def add_month(session: Session, recordings: Path, now_ms: int) -> Call:
    """A whole small month; returns its showpiece: a recorded, transcribed, linked, pre-scored call."""
    add_people(session)
    add_import(session, now_ms - 3_600_000)
    ticket = add_ticket(session, "SW202611060031")
    show = record(add_call(session, "20261105T232210000Z-A1", at("2026-11-06 07:22:10")), recordings)
    add_progress(session, show, now_ms)
    add_suggestions(session, show, add_transcript(session, show))
    add_link(session, show, ticket)

    other = add_ticket(
        session, "SW202611070112", title="后湖大道停水", citizen_name="李芳", location="后湖大道百步亭花园怡康苑",
        district="江岸区", caller_number="15927340866", contact_phone="15927340866", accepted_by_agent_no="801",
        accepted_at_ms=at("2026-11-07 09:14:00"), satisfaction="", closed_at_ms=None, result="",
    )  # fmt: skip
    third = add_ticket(
        session, "SW202611070118", title="后湖大道水压低", citizen_name="李先生", location="后湖大道百步亭花园",
        district="江岸区", caller_number="15927340866", contact_phone="02784770000", accepted_by_agent_no="801",
        accepted_at_ms=at("2026-11-07 09:31:00"), satisfaction="", closed_at_ms=None, result="", category="complaint",
    )  # fmt: skip
    doubtful = add_call(
        session, "20261107T011200000Z-A2", at("2026-11-07 09:12:00"), from_number="15927340866",
        citizen_number="15927340866", agent_no="801", seat_extension="8001", duration_ms=121_000,
    )  # fmt: skip
    record(doubtful, recordings)
    add_progress(session, doubtful, now_ms, check="wanted", transcribe="running")
    add_link(session, doubtful, other, "doubtful", score=66)
    add_link(
        session,
        doubtful,
        third,
        "doubtful",
        score=58,
        reasons=["来电号码一致（159****0866）", "受理时间在通话开始后 19 分钟"],
    )

    waiting = add_call(
        session, "20261121T030000000Z-A3", at("2026-11-21 11:00:00"), agent_no=None, attribution_source="unknown",
        attribution_reason="8003 无人签入，排班中也没有人", seat_extension="8003", citizen_number="",
        from_number="anonymous",
    )  # fmt: skip
    record(waiting, recordings)
    add_progress(session, waiting, now_ms, transcribe="waiting", check="wanted")
    add_call(
        session, "20261121T041500000Z-A4", at("2026-11-21 12:15:00"), direction="outbound", call_type="callback",
        from_number="02796510", to_number="13871206358", agent_no="803", duration_ms=84_000, ring_ms=11_000,
        recording_status="missing", faults=["answered, but no media came"],
    )  # fmt: skip
    for index, (outcome, reason) in enumerate((("abandoned", ""), ("unanswered", "busy"), ("abandoned", ""))):
        add_call(
            session, f"20261122T0{index}3000000Z-B{index}", at(f"2026-11-22 {8 + index:02d}:30:00"), outcome=outcome,
            outcome_reason=reason, answered_at_ms=None, duration_ms=None, agent_no=None, seat_extension=None,
            attribution_source="pending", attribution_reason="", ring_ms=9_000 + 7_000 * index, hangup_party=None,
            citizen_number=f"1339988776{index}", from_number=f"1339988776{index}",
        )  # fmt: skip
    for index in range(24):
        agent_no, seat = [("801", "8001"), ("802", "8002"), ("803", "8003"), ("805", "8004")][index % 4]
        call = add_call(
            session, f"202611{8 + index // 2:02d}T0{index % 9}0000000Z-C{index:02d}",
            at(f"2026-11-{8 + index // 2:02d} {8 + index % 9:02d}:{(index * 7) % 60:02d}:00"), agent_no=agent_no,
            seat_extension=seat, citizen_number=f"1387120{6000 + index * 37}", from_number=f"1387120{6000 + index * 37}",
            duration_ms=48_000 + index * 9_000, ring_ms=2_000 + (index * 1_300) % 15_000,
            direction="outbound" if index % 6 == 5 else "inbound", call_type="callback" if index % 6 == 5 else "inbound",
        )  # fmt: skip
        call.recording_status = "pending"
    return show
