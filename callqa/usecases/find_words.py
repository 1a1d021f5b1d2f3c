"""Results of a search as lines for a terminal and as JSON. Pure."""

import json
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta

from callqa.errors import CallqaError
from callqa.periods import SHANGHAI, say_offset, say_short, to_ms
from callqa.speech import SPEAKER_LABELS
from callqa.store.queries.search import FoundCall


def day_range_ms(first: date | None, last: date | None) -> tuple[int | None, int | None]:
    """[start, end) of the days first to last of the hotline's time; None where a side is open. Raise CallqaError where
    the first comes after the last."""
    if first and last and first > last:
        raise CallqaError(f"起始日期 {first} 晚于结束日期 {last}；请核对")
    start = to_ms(datetime.combine(first, time.min, SHANGHAI)) if first else None
    end = to_ms(datetime.combine(last + timedelta(days=1), time.min, SHANGHAI)) if last else None
    return start, end


def found_lines(found: FoundCall) -> Iterator[str]:
    """The call, and each utterance shown, the words in 【】."""
    yield "　".join(
        part for part in (say_short(found.started_at_ms), found.call_id, found.agent_no, found.ticket_no) if part
    )
    for hit in found.hits:
        words = "".join(f"【{piece}】" if marked else piece for piece, marked in hit.pieces)
        yield f"    {say_offset(hit.start_ms)} {SPEAKER_LABELS[hit.speaker]}：{words}"


def found_json(found: FoundCall) -> str:
    """One JSON object: call_id, started_at_ms, agent_no, ticket_no, n_hits, hits of {start_ms, speaker, text}."""
    hits = [{"start_ms": hit.start_ms, "speaker": hit.speaker.value, "text": hit.text} for hit in found.hits]
    fields = {
        "call_id": found.call_id,
        "started_at_ms": found.started_at_ms,
        "agent_no": found.agent_no,
        "ticket_no": found.ticket_no,
        "n_hits": found.n_hits,
        "hits": hits,
    }
    return json.dumps(fields, ensure_ascii=False)
