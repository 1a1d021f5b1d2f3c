"""The E-model against the points that the recommendations publish: R and MOS of G.107 table B.1 (the edges of G.109's classes of
quality), the G.729A column of G.113 appendix I for random loss. The codecs' Ie and Bpl are of G.113 appendix I (2007): G.711 with
concealment 0 and 25.1, G.729A 11 and 19, GSM-EFR (as AMR at 12.2 kbit/s) 5 and 10; GSM-FR has Ie 20 and no Bpl there."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callqa.sip.media.mos import (
    DEFAULT_R,
    IMPAIRMENTS,
    delay_impairment,
    loss_impairment,
    mos_of_rating,
    mos_of_stream,
    rating,
)


@pytest.mark.parametrize(
    ("r", "mos"), [(93.2, 4.41), (90, 4.34), (80, 4.03), (70, 3.60), (60, 3.10), (50, 2.58), (0, 1.0), (100, 4.5)]
)
def test_mos_of_r_as_g107_annex_b_and_g109_publish_it(r, mos) -> None:
    assert mos_of_rating(r) == pytest.approx(mos, abs=0.01)


@pytest.mark.parametrize(("loss", "ie"), [(0, 11), (0.5, 13), (1, 15), (1.5, 17), (2, 19), (4, 26), (8, 36), (16, 49)])
def test_loss_with_g729a_as_g113_publishes_it(loss, ie) -> None:
    assert round(loss_impairment(IMPAIRMENTS["G729"], loss)) == ie


@pytest.mark.parametrize(
    ("one_way_ms", "idd"), [(0, 0), (100, 0), (150, 0.2), (200, 3.0), (300, 14.8), (400, 24.1), (500, 30.3)]
)
def test_delay_costs_nothing_up_to_100_ms_and_then_much(one_way_ms, idd) -> None:
    """The curve of G.107 for Idd alone, at powers of two of 100 ms worked out by hand (X = 1: 3.04, X = 2: 24.1)."""
    assert delay_impairment(one_way_ms) == pytest.approx(idd, abs=0.35)


def test_a_clean_g711_call_is_as_good_as_it_gets() -> None:
    assert rating(IMPAIRMENTS["PCMA"], loss_percent=0, one_way_ms=40) == DEFAULT_R
    assert mos_of_stream("PCMA", packets=3000, lost=0, jitter_ms=0.1) == 4.41
    assert mos_of_stream("G729", packets=3000, lost=0, jitter_ms=0.1) == 4.10


def test_loss_and_jitter_take_from_it() -> None:
    two_percent = mos_of_stream("PCMA", packets=980, lost=20, jitter_ms=1)
    shaky = mos_of_stream("PCMA", packets=1000, lost=0, jitter_ms=150)
    assert two_percent == pytest.approx(4.23, abs=0.01)
    assert shaky is not None and shaky < 3.9


def test_without_audio_there_is_no_figure() -> None:
    assert mos_of_stream("PCMA", packets=0, lost=0, jitter_ms=0) is None
    assert mos_of_stream("", packets=5, lost=0, jitter_ms=0) is None


@given(
    st.sampled_from([*IMPAIRMENTS, "speex"]),
    st.integers(1, 10**6),
    st.integers(0, 10**6),
    st.floats(0, 10**5),
    st.integers(1, 1000),
)
def test_it_stays_on_the_scale_and_more_loss_is_never_better(codec, packets, lost, jitter_ms, more) -> None:
    before = mos_of_stream(codec, packets=packets, lost=lost, jitter_ms=jitter_ms)
    after = mos_of_stream(codec, packets=packets, lost=lost + more, jitter_ms=jitter_ms)
    assert before is not None and after is not None
    assert 1.0 <= after <= before <= 4.5
