"""Personal numbers in what was said: how many of a generated set are found whole, and how much else is taken for one."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callqa.privacy import (
    PrivateKind,
    PrivatePart,
    Turn,
    find_private,
    id_card_fits,
    is_masked,
    luhn_fits,
    mask_quote,
    mask_text,
    masked,
    number_pieces,
    private_in,
    surely_public,
)

EACH = 200
SEED = 20261122
SPOKEN = "零幺二三四五六七八九"
HOMOPHONES = (("幺", "要"), ("一", "妖"), ("零", "洞"), ("七", "拐"), ("九", "酒"))
DIGITS = frozenset("妖洞拐酒0123456789一要xXＸ叉" + SPOKEN)
FILLERS = ("，", "，", "，", "，嗯，", "，然后", "，那个", " ", "、")
ECHOES = ("嗯。", "好的。", "您说。", "是的。", "对。")


@dataclass(frozen=True, slots=True)
class Case:
    """A conversation; hidden[i]: where the number's characters stand in turn i."""

    turns: tuple[Turn, ...]
    hidden: tuple[frozenset[int], ...]


def mobile(random: Random) -> str:
    return "1" + random.choice("356789") + "".join(random.choices("0123456789", k=9))


def landline(random: Random) -> str:
    """With area code, or the eight digits of a city."""
    local = random.choice("2345678") + "".join(random.choices("0123456789", k=7))
    form = random.random()
    if form < 0.4:
        return "027" + local
    return local if form < 0.7 else random.choice(("0712", "0713", "0728")) + local[:7]


def id_card(random: Random) -> str:
    born = f"{random.randint(1940, 2015)}{random.randint(1, 12):02d}{random.randint(1, 28):02d}"
    value = random.choice(("420102", "420106", "422201", "110108")) + born + f"{random.randint(0, 999):03d}"
    return next(value + last for last in "0123456789X" if id_card_fits(value + last))


def bank_card(random: Random) -> str:
    size = random.choice((16, 19, 19))
    value = random.choice(("622", "621", "625", "436")) + "".join(random.choices("0123456789", k=size - 4))
    return next(value + last for last in "0123456789" if luhn_fits(value + last))


KINDS: dict[PrivateKind, tuple[Callable[[Random], str], tuple[str, ...]]] = {
    PrivateKind.MOBILE: (mobile, ("我的电话是", "手机号", "你记一下，", "联系我就打", "", "您留的号码是")),
    PrivateKind.LANDLINE: (landline, ("座机是", "家里电话", "你记一下电话，", "号码是", "您的联系电话是")),
    PrivateKind.ID_CARD: (id_card, ("身份证号是", "我的身份证，", "", "您的证件号码是")),
    PrivateKind.BANK_CARD: (bank_card, ("银行卡号是", "卡号，", "退到这张卡，", "", "账号是")),
}
BEHIND = ("。", "，对吗？", "，麻烦您了。", "，就是这个。", "")


def pieces_of(value: str, random: Random) -> list[str]:
    """A number in the groups it is said in."""
    if random.random() < 0.3:
        return [value]
    pieces = []
    while value:
        size = random.choice((3, 4, 4, 5))
        pieces.append(value[:size])
        value = value[size:]
    return pieces


def as_said(piece: str, random: Random, *, written: bool, one: str) -> str:
    """Digits as recognition writes them; now and then one as a homophone."""
    if written:
        return piece
    spoken = "".join("Ｘ叉xX"[random.randrange(4)] if char == "X" else SPOKEN[int(char)] for char in piece)
    spoken = spoken.replace("幺", one)
    if len(piece) > 2 and random.random() < 0.08:
        digit, homophone = random.choice(HOMOPHONES)
        spoken = spoken.replace(digit, homophone, 1)
    return spoken


def make(value: str, cue: str, random: Random) -> Case:
    """The number said by a citizen, in one turn or over several with the agent saying a word between."""
    written, one = random.random() < 0.3, random.choice("幺幺一")
    texts, marks = [cue], [set[int]()]
    for n, piece in enumerate(pieces_of(value, random)):
        if n and random.random() < 0.35:
            texts.append("")
            marks.append(set())
        elif n:
            texts[-1] += random.choice(FILLERS)
        said = as_said(piece, random, written=written, one=one)
        marks[-1] |= set(range(len(texts[-1]), len(texts[-1]) + len(said)))
        texts[-1] += said
    texts[-1] += random.choice(BEHIND)
    turns, hidden, at = [Turn("agent", 0, 2000, "请问您怎么称呼？")], [frozenset[int]()], 2500
    for text, mark in zip(texts, marks, strict=True):
        if len(turns) > 1 and random.random() < 0.6:
            turns.append(Turn("agent", at, at + 500, random.choice(ECHOES)))
            hidden.append(frozenset())
            at += 700
        turns.append(Turn("citizen", at, at + 250 * max(1, len(text)), text))
        hidden.append(frozenset(mark))
        at += 250 * len(text) + 600
    return Case(tuple(turns), tuple(hidden))


def covered(parts: tuple[PrivatePart, ...]) -> set[int]:
    return {at for part in parts for at in range(part.start, part.end)}


@cache
def figures(kind: PrivateKind) -> tuple[float, float, float]:
    """(numbers found whole, and as what they are; of the characters taken for private the share that is)."""
    random = Random(f"{SEED}{kind}")
    number, cues = KINDS[kind]
    whole = named = right = taken = 0
    for _ in range(EACH):
        case = make(number(random), random.choice(cues), random)
        found = find_private(case.turns)
        got = [covered(parts) for parts in found]
        whole += all(mark <= here for mark, here in zip(case.hidden, got, strict=True))
        named += {part.kind for parts in found for part in parts} == {kind}
        for turn, mark, here in zip(case.turns, case.hidden, got, strict=True):
            told = {at for at in here if turn.text[at] in DIGITS}
            taken += len(told)
            right += len(told & mark)
    return whole / EACH, named / EACH, right / taken


@pytest.mark.parametrize(
    ("kind", "recall", "precision"),
    [
        (PrivateKind.MOBILE, 0.985, 0.99),
        (PrivateKind.LANDLINE, 0.975, 0.99),
        (PrivateKind.ID_CARD, 0.98, 0.99),
        (PrivateKind.BANK_CARD, 0.98, 0.99),
    ],
)
def test_numbers_of_a_generated_set_are_found(kind: PrivateKind, recall: float, precision: float) -> None:
    whole, _, right = figures(kind)
    assert whole >= recall and right >= precision, figures(kind)


def harmless(random: Random) -> str:
    """A sentence with digits that belong to nobody."""
    digits = "".join(random.choices("0123456789", k=random.randint(8, 12)))
    said = digits if random.random() < 0.5 else "".join(SPOKEN[int(char)] for char in digits)
    day = f"{random.randint(1, 12)}月{random.randint(1, 28)}号"
    return random.choice(
        (
            f"您的户号是{said}，请核对。",
            f"户号{said}。",
            f"用户编号：{said}",
            f"水表号是{said}，在楼道里。",
            f"工单编号SW20261122{random.randint(0, 9999):04d}，请您记好。",
            f"工单号是{said}。",
            f"工单尾号{said[:4]}。",
            f"合同号{said}对吧。",
            f"发票号码是{said}。",
            f"二零二六年{day}停的水。",
            f"从2026-11-{random.randint(10, 28)}到现在。",
            f"在十二栋{random.randint(1, 6)}单元{random.randint(101, 2804)}。",
            f"这个月用了{random.randint(10, 99)}吨，水费{random.randint(100, 999)}.{random.randint(10, 99)}元。",
            "一百三十八万七千一百二十人都停水了。",
            "您可以打027-96510，或者12345。",
            f"您拨4008{random.randint(100000, 999999)}也可以。",
            f"邮编{random.randint(430000, 430999)}。",
            f"受理号{said}，两小时内联系您。",
        )
    )


def test_few_numbers_that_belong_to_nobody_are_taken_for_private() -> None:
    random = Random(f"{SEED}harmless")
    taken = Counter(text for text in (harmless(random) for _ in range(3 * EACH)) if private_in(text))
    assert taken.total() <= 0.05 * 3 * EACH, taken.most_common(10)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("电话是13871206358。", "电话是138****6358。"),
        ("我要一三八七一二零六三五八", "我要一三八****六三五八"),
        ("座机027-84770001", "座机027-****0001"),
        ("记的是138.7120.6358", "记的是138.****.6358"),  # as people write them down
        ("记的是138/7120/6358，水价1.52元，3.5吨", "记的是138/****/6358，水价1.52元，3.5吨"),
        ("138_7120_6358，138·7120·6358", "138_****_6358，138·****·6358"),
        ("身份证42010619900101123X不对", "身份证42**************3X不对"),  # its check character does not fit
        ("工号八零五，十二栋三单元", "工号八零五，十二栋三单元"),
        ("您拨12345或者027-96510", "您拨12345或者027-96510"),
        ("您的户号是1234567890", "您的户号是1234567890"),
        # recognition made a word of a digit, or lost some
        ("您的联系电话是要5927三次0866对吗？", "您的联系电话是要5****次**66对吗？"),
        ("正牺牲，您的来电号买137-038-56，方便吗", "正牺牲，您的来电号买13*-***-56，方便吗"),
        ("麻烦您记137-038-56", "麻烦您记13*-***-56"),
        ("从2026-11-5停到现在，住12-3-1502", "从2026-11-5停到现在，住12-3-1502"),
        ("来电是3月12号下午2点30，住5楼", "来电是3月12号下午2点30，住5楼"),
        ("联系电话是座机，3楼5户都停了，12个小时了", "联系电话是座机，3楼5户都停了，12个小时了"),
    ],
)
def test_what_stays_readable(text: str, shown: str) -> None:
    assert mask_text(text) == shown


@given(st.text(alphabet="0123456789幺一二三零要xX，。嗯 电话是户号手机", max_size=60))
def test_masking_changes_private_parts_alone_and_no_length(text: str) -> None:
    parts = private_in(text)
    shown = masked(text, parts)
    assert len(shown) == len(text)
    assert all(0 <= part.start < part.end <= len(text) for part in parts)
    assert [char for at, char in enumerate(shown) if at not in covered(parts)] == [
        char for at, char in enumerate(text) if at not in covered(parts)
    ]


def test_a_quote_hides_pieces_of_a_number_that_stand_alone() -> None:
    turns = [Turn("citizen", 0, 900, "我的手机号是幺三八"), Turn("citizen", 1000, 1900, "七幺二零"), Turn("citizen", 2000, 2900, "六三五八。")]  # fmt: skip
    pieces = number_pieces(turns)
    assert [mask_quote(turn.text, pieces) for turn in turns] == ["我的手机号是幺三八", "****", "六三五八。"]
    assert mask_quote("七幺二零") == "****" and mask_quote("我的手机号是幺三八 七幺…") == "我的手机号是******…"
    assert mask_quote("打幺三八七幺二零六三五八") == "打幺三八****六三五八", "two people can tell which number is meant"


def test_a_quote_keeps_what_is_known_to_be_no_persons_number() -> None:
    for text in ("工单尾号零零三一，工号八零五", "我住三楼，四单元，五零二", "2026年停过一次", "您的户号是1234567"):
        assert mask_quote(text) == text


_BITS = st.sampled_from(
    [
        "一",
        "三八",
        "1387120",
        "次",
        "137-038-56",
        "63581",
        "，",
        "嗯",
        "是",
        "电话是",
        "我们小区",
        "水",
        "要",
        "x",
        "那个",
        "好的",
    ]
)
_SAID = st.lists(
    st.builds(lambda who, bits: (who, "".join(bits)), st.sampled_from("ac"), st.lists(_BITS, min_size=1, max_size=6)),
    min_size=1,
    max_size=6,
)


@given(_SAID)
def test_what_is_surely_public_is_private_in_no_conversation(said: list[tuple[str, str]]) -> None:
    turns = [Turn(who, n * 1000, n * 1000 + 900, words) for n, (who, words) in enumerate(said)]
    for turn, parts in zip(turns, find_private(turns), strict=True):
        for part in parts:
            assert not any(surely_public(turn.text, at, at + 1) for at in range(part.start, part.end))


def test_a_digit_amid_words_is_surely_public() -> None:
    assert surely_public("我们这一个小区", 3, 5)
    assert not surely_public("一个小区", 0, 2)  # the end of a number, perhaps
    assert not surely_public("我们的电话是一三八", 6, 7)
    assert surely_public("我们的电话是一三八", 3, 5)


def test_a_text_with_stars_for_some_of_another_is_known_and_no_other_is():
    whole = "电话13871206358，或027-83330000，管径100*3"
    for text in (
        mask_text(whole),
        "电话138****6358，或***，管径100*3",
        "电话****************，管径100*3",
        "***",
        "电话***",
    ):
        assert is_masked(text, whole), text
    for text in (
        whole,
        "",
        "电话138****6359，或027-83330000，管径100*3",
        "电话13871206358****，或027",
        whole + "***",
        "管***",
    ):
        assert not is_masked(text, whole), text
    assert not is_masked("管径100*3", "管径100x3") and not is_masked("***", "") and not is_masked("a***a", "aa")


@given(st.text("电话13", max_size=20), st.text("电话13", min_size=3, max_size=20), st.text("电话13", max_size=20))
def test_any_stretch_of_three_or_more_may_be_the_masked_one(before, hidden, after):
    assert is_masked(before + "*" * len(hidden) + after, before + hidden + after)
