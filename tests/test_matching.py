"""Numbers, names and addresses: what counts as the same, what as different."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callqa.matching import (
    address_in_speech,
    address_similarity,
    canonical_number,
    digits_for_numerals,
    edit_distance,
    name_similarity,
    number_distance,
    parse_address,
)


@pytest.mark.parametrize(
    ("raw", "digits"),
    [
        ("+86 138-7120-6358", "13871206358"),
        ("tel:+8613871206358", "13871206358"),
        ("sip:013871206358@10.0.0.1:5060;user=phone", "13871206358"),
        ("008613871206358", "13871206358"),
        ("027-84770000", "02784770000"),
        ("+86 27 8477 0000", "02784770000"),
        ("１３８７１２０６３５８", "13871206358"),
        ("110", "110"),
        ("+86 110", "110"),
        ("+95598", "95598"),  # some networks put a + before everything
        ("+013871206358", "13871206358"),
        ("+1 (876) 555-1234", "0018765551234"),
        ("tel:+67612345", "0067612345"),
        ("00853 2812 3456", "0085328123456"),
        ("+18765551234;phone-context=x", "0018765551234"),
        ("anonymous", ""),
        ("sip:anonymous@anonymous.invalid", ""),
        ("", ""),
    ],
)
def test_one_form_of_a_number(raw, digits):
    assert canonical_number(raw) == digits


@pytest.mark.parametrize(
    ("a", "b", "distance"),
    [
        ("13871206358", "+8613871206358", 0),
        ("13871206358", "13871206359", 1),
        ("13871206358", "1387120635", 1),
        ("02784770000", "84770000", 0),
        ("071384770000"[1:], "84770000", 3),  # no leading 0: not an area code
        ("+67684770000", "84770000", 5),  # nor is 00676
        ("+18765551234", "18765551234", 2),  # a caller from Jamaica is not who has that mobile
        ("13871206358", "", None),
        ("匿名", "13871206358", None),
    ],
)
def test_number_distance(a, b, distance):
    assert number_distance(a, b) == distance
    assert number_distance(b, a) == distance


@pytest.mark.parametrize(
    ("text", "digits"),
    [
        ("十二栋二单元", "12栋2单元"),
        ("三栋一单元六零二", "3栋1单元602"),
        ("一百一十二街坊", "112街坊"),
        ("幺八九七幺五六三零二七", "18971563027"),
        ("一万零二十号", "10020号"),
        ("三千零五", "3005"),
        ("百步亭花园", "百步亭花园"),
        ("万松园", "万松园"),
        ("没有数字", "没有数字"),
    ],
)
def test_numerals_become_digits(text, digits):
    assert digits_for_numerals(text) == digits


def test_parts_of_an_address():
    found = parse_address("武汉市武昌区中南路丁字桥南方帝园三栋一单元六零二")
    assert (found.district, found.roads, found.place) == ("武昌区", ("中南路",), "丁字桥南方帝园")
    assert found.numbers == (("3", "栋"), ("1", "单元"), ("602", ""))


@pytest.mark.parametrize(
    ("a", "b", "low", "high"),
    [
        ("后湖大道百步亭花园怡康苑十二栋二单元", "江岸区后湖大道百步亭花园，怡康苑，12栋2单元", 100, 100),
        ("中南路街丁字桥南方帝园三栋一单元六零二", "武昌区中南路丁字桥南方帝园3栋1单元602室", 90, 100),
        ("宝丰路同济医院对面公交站旁", "硚口区宝丰路同济医院对面", 70, 100),
        ("百步亭花园怡康苑", "佰步亭花园怡康院", 90, 100),  # as an engine writes it
        ("马池路十八号", "马池路八十八号", 0, 60),
        ("怡康苑十二栋二单元", "怡康苑十二栋三单元", 0, 60),
        ("雄楚大道楚平路", "解放大道万松园路口", 0, 40),
        ("江岸区", "江岸区", 50, 50),
        ("", "中山大道", 0, 0),
    ],
)
def test_address_similarity(a, b, low, high):
    assert low <= address_similarity(a, b) <= high
    assert address_similarity(a, b) == address_similarity(b, a)


@pytest.mark.parametrize(
    ("location", "said", "low", "high"),
    [
        ("翠微横路二十二号四零一", ["汉阳区钟家村，翠微横路22号，401。"], 70, 100),
        (
            "宝丰路同济医院对面公交站旁",
            ["我在宝丰路这边等公交车", "就在同济医院对面，公交车站的旁边，硚口区这边"],
            70,
            100,
        ),
        ("金银湖街马池路十八号", ["东西湖区金银湖，马池路八十八号，店名叫顺达洗车"], 0, 60),
        ("后湖大道百步亭", ["洪山区珞狮南路，马湖新村七十八号，五楼"], 0, 40),
    ],
)
def test_a_location_against_what_was_said(location, said, low, high):
    score = address_in_speech(location, said)
    assert score is not None and low <= score <= high


def test_talk_without_a_place_cannot_be_compared():
    assert address_in_speech("后湖大道百步亭", ["你好", "我们家没有水了"]) is None
    assert address_in_speech("后湖大道百步亭", []) is None
    assert address_in_speech("", ["后湖大道"]) is None


@pytest.mark.parametrize(
    ("a", "b", "low", "high"),
    [
        ("王建国", "王建国", 100, 100),
        ("王建国", "王见国", 95, 95),
        ("王先生", "王建国", 70, 70),
        ("刘女士", "王建国", 0, 0),
        ("王建国", "赵勇", 0, 30),
        ("", "王建国", 0, 0),
    ],
)
def test_name_similarity(a, b, low, high):
    assert low <= name_similarity(a, b) <= high
    assert name_similarity(a, b) == name_similarity(b, a)


_PLACES = st.text(st.sampled_from("一二十百零幺号栋路街区大道花园江岸后湖1 2,，楼a"), max_size=30)


@given(_PLACES, _PLACES)
def test_similarities_are_bounded_and_symmetric(a, b):
    for similar in (address_similarity, name_similarity):
        assert 0 <= similar(a, b) <= 100
        assert similar(a, b) == similar(b, a)
    score = address_in_speech(a, [b])
    assert score is None or 0 <= score <= 100


@given(st.text(max_size=60), st.text(max_size=60))
def test_any_text_is_taken(a, b):
    parse_address(a)
    assert 0 <= address_similarity(a, b) <= 100
    assert number_distance(a, b) is None or number_distance(a, b) >= 0


@given(st.from_regex(r"1[3-9][0-9]{9}", fullmatch=True))
def test_distance_to_itself_is_zero_and_a_changed_digit_is_one(number):
    assert number_distance(number, number) == 0
    assert edit_distance(number, number[:-1] + ("1" if number[-1] != "1" else "2")) == 1


@given(
    st.from_regex(r"\A(1[3-9][0-9]{9}|0(10|2[0-9]|[3-9][0-9]{2})[2-8][0-9]{6,7})\Z"),
    st.sampled_from(("", "0086", "+86", "+86 ", "tel:+86")),
)
def test_a_number_here_is_never_one_abroad(number: str, before: str):
    assert canonical_number(before + number) == number


@given(st.from_regex(r"\A(?!86)[1-9][0-9]{6,14}\Z"))
def test_a_number_abroad_is_never_one_here(number: str):
    assert canonical_number("+" + number) == canonical_number("00" + number) == "00" + number


@given(st.integers(1, 99_999))
def test_a_written_number_reads_back(n):
    assert digits_for_numerals(_written(n)) == str(n)


def _written(n: int) -> str:
    """Formal Chinese numeral of 1..99999, the test's own writing."""
    digits, out, zero = "零一二三四五六七八九", "", False
    for power, unit in ((4, "万"), (3, "千"), (2, "百"), (1, "十"), (0, "")):
        d = n // 10**power % 10
        if d:
            out += ("零" if zero and out else "") + digits[d] + unit
            zero = False
        else:
            zero = True
    return out
