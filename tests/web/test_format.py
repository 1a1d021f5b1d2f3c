"""Filters of the pages that are more than a label."""

from callqa.web.format import mask_numbers_in, pieces


def test_repaired_stretches_are_told_apart_and_lose_nothing() -> None:
    text = "您好，水务热线，请讲。"
    found = pieces(text, [[3, 5, "税污"], [6, 7, "现"]])
    assert found == [("您好，", ""), ("水务", "税污"), ("热", ""), ("线", "现"), ("，请讲。", "")]
    assert "".join(piece for piece, _ in found) == text
    assert pieces(text, []) == [(text, "")] and pieces("", []) == []


def test_numbers_are_masked_in_each_piece() -> None:
    found = pieces("电话13871206358对吧", [[13, 14, "队"]])
    assert "13871206358" not in "".join(mask_numbers_in(piece) for piece, _ in found)
