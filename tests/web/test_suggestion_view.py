"""Suggestions as a page shows them."""

from callqa.store.tables import SuggestionRow
from callqa.web.suggestion_view import view_suggestions


def evidence(start_ms: int, operator: str, quote: str = "喂") -> dict[str, object]:
    return {"channel": 1, "start_ms": start_ms, "end_ms": 15_000, "quote": quote, "operator": operator, "params": ""}


def test_evidence_of_one_place_is_one_chip_in_the_order_of_finding() -> None:
    row = SuggestionRow(
        id=1, check_run_id=1, call_id="c", check_id="S1.1-1", item_id="S1.1", option_code="e", level="preselect", reason="缺失",
        evidence=[evidence(0, "keyword_none"), evidence(0, "keyword_any"), evidence(0, "keyword_any", "说吧"), evidence(9, "regex")],
    )  # fmt: skip
    chips = view_suggestions([row], None)[0].evidence
    assert [(c.start_ms, c.quote) for c in chips] == [(0, "喂"), (0, "说吧"), (9, "喂")]
