"""盲评卡: nobody can foresee which, anybody can repeat it, and it is a tenth."""

import hashlib
import hmac
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from callqa.scoring.blind import blind_cards, blind_commitment, double_cards, rescore_cards

SEED = "819f009b5c6f2796685ceb7f62a53f974946f7703337ecd65c6f0fe808de8aba"
CALLS = [f"C202611-{n:04d}" for n in range(80)]


def test_a_tenth_half_up() -> None:
    for n, blind in ((0, 0), (4, 0), (5, 1), (14, 1), (15, 2), (80, 8)):
        assert len(blind_cards(SEED, "s" * 32, CALLS[:n])) == blind
    assert len(rescore_cards(SEED, "s" * 32, CALLS)) == 4
    assert len(rescore_cards(SEED, "s" * 32, CALLS[:3])) == 3
    assert len(rescore_cards(SEED, "s" * 32, [f"C{n}" for n in range(200)])) == 10


def test_the_rule_repeated_by_hand() -> None:
    """As the module's docstring tells it, with nothing of the module's own."""
    key = hashlib.sha256(b"callqa-blind-key/1\n" + SEED.encode() + b"\nnobody-knows-this").digest()
    ranked = sorted(CALLS, key=lambda c: hmac.new(key, b"callqa-blind/1\x1f" + c.encode(), "sha256").hexdigest())
    assert blind_cards(SEED, "nobody-knows-this", CALLS) == frozenset(ranked[:8])
    assert blind_commitment("abc") == hashlib.sha256(b"callqa-blind/1:abc").hexdigest()


@given(st.permutations(CALLS[:20]), st.text(min_size=1, max_size=8))
def test_the_order_of_the_cards_changes_nothing(shuffled: list[str], secret: str) -> None:
    assert blind_cards(SEED, secret, shuffled) == blind_cards(SEED, secret, CALLS[:20])
    assert set(rescore_cards(SEED, secret, shuffled)) <= set(shuffled)


def test_without_the_string_every_card_is_as_likely() -> None:
    """Over many strings each card is blind in about a tenth of them: seed and call_id alone tell nothing."""
    times = Counter(c for n in range(2000) for c in blind_cards(SEED, f"string {n}", CALLS))
    assert set(times) == set(CALLS)
    assert all(140 <= times[c] <= 262 for c in CALLS)  # 200 ± 4.6 standard deviations
    both = sum(len(blind_cards(SEED, f"s{n}", CALLS) & set(rescore_cards(SEED, f"s{n}", CALLS))) for n in range(500))
    assert 120 <= both <= 280  # 0.4 a month by chance: the two choices are independent


def test_a_second_person_scores_a_tenth_and_eight_at_least() -> None:
    assert len(double_cards(SEED, "s" * 32, CALLS)) == 8
    assert len(double_cards(SEED, "s" * 32, CALLS[:5])) == 5
    assert len(double_cards(SEED, "s" * 32, [f"C{n}" for n in range(125)])) == 13
    key = hashlib.sha256(b"callqa-blind-key/1\n" + SEED.encode() + b"\nnobody-knows-this").digest()
    ranked = sorted(CALLS, key=lambda c: hmac.new(key, b"callqa-double/1\x1f" + c.encode(), "sha256").hexdigest())
    assert double_cards(SEED, "nobody-knows-this", CALLS) == tuple(ranked[:8])
