"""When private numbers were said: nothing of a number stays, at whatever pace it was spoken."""

from hypothesis import given
from hypothesis import strategies as st

from callqa.privacy import Turn
from callqa.private_times import MARGIN_MS, QUICKEST_CHARS_PER_S, Said, private_spans
from callqa.speech import Span

NUMBER = "幺三八七幺二零六三五八"


def said(*lines: tuple[str, int, int, str], reliable: bool = True) -> list[Said]:
    return [Said(Turn(*line), line[3], reliable) for line in lines]


def test_a_call_without_numbers_keeps_all_its_sound() -> None:
    assert private_spans([]) == ()
    assert (
        private_spans(said(("agent", 0, 4000, "您好，工号八零五。"), ("citizen", 5000, 9000, "十二栋三单元漏水了。")))
        == ()
    )


def test_a_number_alone_takes_its_utterance_with_a_margin() -> None:
    assert private_spans(said(("citizen", 1000, 4000, NUMBER))) == (Span(1000 - MARGIN_MS, 4000 + MARGIN_MS),)
    assert private_spans(said(("citizen", 50, 4000, NUMBER)))[0].start_ms == 0


def test_digits_whose_cue_was_misheard_are_taken_out_and_named_ones_stay() -> None:
    """Masking leaves them: a sentence full of figures must stay readable. In sound, too much is better than too little."""
    assert private_spans(said(("agent", 0, 6000, "您的来电号买137-038-56，方便吗？"))) != ()
    for text in ("您的户号是1234567，8910。", "从2026-11-22到现在。", "工单编号SW202611220031。", "用了二十三吨水"):
        assert private_spans(said(("agent", 0, 6000, text))) == (), text


def test_words_further_away_than_any_pace_stay() -> None:
    text = f"我家在后湖大道这边住，我的电话是{NUMBER}，麻烦你们快一点来人看看。"
    (span,) = private_spans(said(("citizen", 10_000, 20_000, text)))
    assert 11_000 < span.start_ms < 12_000 and 18_000 < span.end_ms < 19_500


@given(st.integers(0, 20), st.integers(0, 20), st.lists(st.floats(0.101, 0.6), min_size=51, max_size=51))
def test_at_every_pace_the_whole_number_is_inside(front: int, behind: int, pace_s: list[float]) -> None:
    """However unevenly somebody speaks, as long as no character is quicker than the quickest."""
    assert min(pace_s) >= 1 / QUICKEST_CHARS_PER_S
    text = "水" * front + "，" + NUMBER + "，" + "水" * behind
    lengths = pace_s[: front + len(NUMBER) + behind]
    start = 1000 + 1000 * sum(lengths[:front])
    end = start + 1000 * sum(lengths[front : front + len(NUMBER)])
    whole = 1000 + 1000 * sum(lengths)
    (span,) = private_spans(said(("citizen", 1000, round(whole), text)))
    assert span.start_ms <= start and end <= span.end_ms


def test_a_number_in_pieces_is_taken_out_piece_by_piece() -> None:
    spans = private_spans(
        said(
            ("agent", 0, 2000, "请问您的联系电话是多少？"),
            ("citizen", 2500, 3500, "幺三八"),
            ("agent", 3800, 4200, "嗯。"),
            ("citizen", 4600, 5900, "七幺二零"),
            ("citizen", 8000, 9500, "六三五八。"),
        )
    )
    assert spans == (Span(2300, 3700), Span(4400, 6100), Span(7800, 9700))


def test_what_only_the_engine_wrote_is_taken_out_as_well() -> None:
    """A person who corrects the words may have left the number out of them."""
    corrected = [Said(Turn("citizen", 0, 4000, "（号码）"), f"电话{NUMBER}", True)]
    assert private_spans(corrected) != ()


def test_doubtful_digits_and_speech_that_nobody_understood_go_whole() -> None:
    line = ("citizen", 3000, 7000, "电话是七一二零麻烦了")
    assert private_spans(said(line)) == ()
    assert private_spans(said(line, reliable=False)) == (Span(2800, 7200),)
    assert private_spans(said(("citizen", 3000, 7000, "水很大啊"), reliable=False)) == ()
    assert private_spans(said(("citizen", 3000, 7000, ""), reliable=False)) == (Span(2800, 7200),)
    assert private_spans(said(("citizen", 3000, 7000, "是" * 40 + "。"), reliable=False)) == (Span(2800, 7200),)
    assert private_spans(said(("citizen", 3000, 3500, ""), reliable=False)) == ()
    assert private_spans(said(("citizen", 3000, 7000, ""))) == (), "a person wrote that nothing was said"


def test_more_words_than_time_take_the_whole_utterance() -> None:
    text = "水" * 40 + NUMBER + "水" * 40
    assert private_spans(said(("citizen", 1000, 3000, text))) == (Span(800, 3200),)


def test_both_sides_at_once_are_one_stretch() -> None:
    spans = private_spans(said(("citizen", 1000, 4000, NUMBER), ("agent", 3000, 6000, NUMBER)))
    assert spans == (Span(800, 6200),)
