"""Suggestions as a page shows them."""

from pathlib import Path

from fastapi.templating import Jinja2Templates

from callqa import web
from callqa.store.tables import SuggestionRow
from callqa.web.suggestion_view import EvidenceView, view_suggestions


def evidence(start_ms: int, operator: str, quote: str = "喂") -> dict[str, object]:
    return {"channel": 1, "start_ms": start_ms, "end_ms": 15_000, "quote": quote, "operator": operator, "params": ""}


def test_evidence_of_one_place_is_one_chip_in_the_order_of_finding() -> None:
    row = SuggestionRow(
        id=1, check_run_id=1, call_id="c", check_id="S1.1-1", item_id="S1.1", option_code="e", level="preselect", reason="缺失",
        evidence=[evidence(0, "keyword_none"), evidence(0, "keyword_any"), evidence(0, "keyword_any", "说吧"), evidence(9, "regex")],
    )  # fmt: skip
    chips = view_suggestions([row], None)[0].evidence
    assert [(c.start_ms, c.quote) for c in chips] == [(0, "喂"), (0, "说吧"), (9, "喂")]


def test_what_signalling_or_the_ticket_tells_does_not_play() -> None:
    record = {"channel": None, "start_ms": 0, "end_ms": 90_000, "quote": "未关联工单", "operator": "ticket_linked"}
    later = record | {"quote": "间隔 11 分钟", "operator": "ticket_time"}
    heard = record | {"quote": "喂", "operator": "keyword_none"}  # words searched on both sides: a stretch of sound
    row = SuggestionRow(
        id=1, check_run_id=1, call_id="c", check_id="S4.1-1", item_id="S4.1", option_code="a", level="preselect", reason="缺失",
        evidence=[record, later, heard, evidence(0, "ticket_match")],
    )  # fmt: skip
    chips = view_suggestions([row], None)[0].evidence
    assert [(c.playable, c.place) for c in chips] == [
        (False, "未关联工单"), (False, "间隔 11 分钟"), (True, "@0"), (True, "@0"),
    ]  # fmt: skip


def test_a_chip_that_does_not_play_is_no_button() -> None:
    templates = Jinja2Templates(Path(web.__file__).parent / "templates")
    templates.env.filters.update(offset=str, duration=str)
    chip = templates.get_template("calls/suggestions.html").module.evidence_chip  # type: ignore[attr-defined]
    said = EvidenceView(None, 0, 90_000, "未关联工单", "工单关联", "", playable=False)
    assert "未关联工单" in chip(said) and "▶" not in chip(said) and "data-play-from" not in chip(said)
    assert "data-play-from" in chip(EvidenceView(1, 0, 900, "喂", "出现用语", ""))
