"""Call facts from the reference of a synthetic call (turns with times and exact text) and its row of the ticket file."""

import csv
import dataclasses
import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from callqa.periods import SHANGHAI, to_ms
from callqa.scoring.facts import CallFacts, ProcessTimes, TicketFacts
from callqa.speech import Made, Repair, Span, Speaker, Transcript, Unprompted, Utterance
from callqa.units import CallType, Direction

DATA = Path(__file__).parents[1] / "data" / "calls"
MADE = Made("reference", "0" * 64, (), "0" * 64)


@dataclass(frozen=True)
class ReferenceCall:
    name: str
    facts: CallFacts
    planted: tuple[str, ...]


def load_call(folder: Path, name: str) -> ReferenceCall:
    reference = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
    outbound = reference["direction"] == "outbound"
    duration_ms = round(reference["duration"] * 1000)
    utterances = tuple(
        _utterance(index, turn["speaker"], turn["start"], turn["end"], turn["text"])
        for index, turn in enumerate(reference["turns"])
    )
    started_ms = _instant(reference["started_at"].replace("T", " "))
    assert started_ms is not None
    facts = CallFacts(
        CallType.CALLBACK if outbound else CallType.INBOUND,
        Direction.OUTBOUND if outbound else Direction.INBOUND,
        duration_ms,
        transcript_of(utterances, duration_ms),
        ring_ms=4000,
        hangup_party="citizen",
        ticket=_tickets(folder).get(reference["ticket"]["id"]),
        times=ProcessTimes(started_ms, started_ms, started_ms + duration_ms),
    )
    return ReferenceCall(reference["id"], facts, tuple(reference["planted_defects"]))


def transcript_of(utterances: Iterable[Utterance], duration_ms: int) -> Transcript:
    """A transcript whose speech spans are those of its utterances."""
    utterances = tuple(utterances)
    speech = tuple(
        tuple(sorted(u.span for u in utterances if u.speaker is speaker))
        for speaker in (Speaker.CITIZEN, Speaker.AGENT)
    )
    return Transcript(utterances, (speech[0], speech[1]), duration_ms, MADE)


def load_base_transcript(path: Path) -> Transcript:
    """What Whisper base made of a call, as `transcript_json` wrote it."""
    data = json.loads(path.read_text(encoding="utf-8"))
    citizen, agent = (tuple(Span(*span) for span in channel) for channel in data["speech"])
    made = data["made"]
    return Transcript(
        tuple(
            Utterance(
                **{
                    **each,
                    "speaker": Speaker(each["speaker"]),
                    "span": Span(*each["span"]),
                    "repairs": tuple(Repair(*repair) for repair in each.get("repairs", ())),
                    "unprompted": Unprompted(*each["unprompted"]) if each.get("unprompted") else None,
                }
            )
            for each in data["utterances"]
        ),
        (citizen, agent),
        data["duration_ms"],
        Made(made["engine"], made["model_sha256"], tuple(map(tuple, made["options"])), made["recording_sha256"]),
    )


def transcript_json(transcript: Transcript) -> str:
    """A transcript as JSON, an utterance a line."""
    utterances = ",\n  ".join(
        json.dumps(
            {
                "index": each.index,
                "speaker": each.speaker,
                "span": [each.span.start_ms, each.span.end_ms],
                "text": each.text,
                "raw_text": each.raw_text,
                "confidence": each.confidence,
                "reliable": each.reliable,
                "repairs": [[repair.start, repair.end, repair.was] for repair in each.repairs],
                **({"unprompted": dataclasses.astuple(each.unprompted)} if each.unprompted else {}),
            },
            ensure_ascii=False,
        )
        for each in transcript.utterances
    )
    head = {
        "duration_ms": transcript.duration_ms,
        "made": {
            "engine": transcript.made.engine,
            "model_sha256": transcript.made.model_sha256,
            "options": transcript.made.options,
            "recording_sha256": transcript.made.recording_sha256,
        },
        "speech": [[[span.start_ms, span.end_ms] for span in channel] for channel in transcript.speech],
    }
    return f'{json.dumps(head, ensure_ascii=False)[:-1]},\n "utterances": [\n  {utterances}\n ]}}\n'


def _utterance(index: int, speaker: str, start_s: float, end_s: float, text: str) -> Utterance:
    span = Span(round(start_s * 1000), round(end_s * 1000))
    return Utterance(index, Speaker(speaker), span, text, text, 0.95)


def _instant(text: str) -> int | None:
    return to_ms(datetime.fromisoformat(text).replace(tzinfo=SHANGHAI)) if text else None


def _tickets(folder: Path) -> dict[str, TicketFacts]:
    with (folder / "tickets.csv").open(encoding="utf-8-sig", newline="") as lines:
        return {row["工单编号"]: _ticket(row) for row in csv.DictReader(lines)}


def _ticket(row: dict[str, str]) -> TicketFacts:
    return TicketFacts(
        row["工单编号"],
        title=row["标题"],
        category=row["诉求性质"],
        matter_category=row["事项类别"],
        citizen_name=row["诉求人"],
        district=row["行政区"],
        location=row["地点"],
        content=row["诉求内容"],
        contact_phone=row["联系电话"],
        handling_unit=row["承办单位"],
        satisfaction=row["满意度"],
        parent_ticket_no=row["原工单编号"],
        result=row["办理结果"],
        urgent_flag=row["险情加急"] == "是",
        callback_attempts=int(row["回访次数"] or 0),
        occurred_at_ms=_instant(row["发生时间"]),
        accepted_at_ms=_instant(row["受理时间"]),
        dispatched_at_ms=_instant(row["交办时间"]),
        due_at_ms=_instant(row["办理时限"]),
        closed_at_ms=_instant(row["办结时间"]),
        callback_done_at_ms=_instant(row["回访时间"]),
    )
