"""vocabulary.yaml: what is read and what is refused, with the place of the mistake."""

import json
from pathlib import Path

import pytest
import yaml

from callqa.errors import RubricError
from callqa.text import is_han
from callqa.transcribe.vocabulary import ROLE_PROMPTS, parse_vocabulary
from tests.transcribe.reference_grams import grams_of_call, hashed, lifted, read_hashes

GOOD = "groups:\n  - name: 业务\n    log10: -3.6\n    words: [水务, 热线]\n  - name: 路\n    log10: -4\n    words: [水务, 解放大道]\n"


def test_a_word_in_two_groups_has_the_higher_likelihood() -> None:
    assert dict(parse_vocabulary(GOOD).words) == {"水务": -3.6, "热线": -3.6, "解放大道": -4.0}


def test_another_text_has_another_hash() -> None:
    assert parse_vocabulary(GOOD).vocabulary_hash != parse_vocabulary(GOOD + "\n").vocabulary_hash


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("groups: [", "有效的 YAML"),
        ("", "groups"),
        ("groups: 3", "groups"),
        ("groups:\n  - 水务", "第 1 组"),
        ("groups:\n  - {name: 路, log10: 高, words: []}", "log10 应为数字"),
        ("groups:\n  - {name: 路, log10: true, words: []}", "log10 应为数字"),
        ("groups:\n  - {name: 路, log10: 3, words: []}", "之间"),
        ("groups:\n  - {name: 路, log10: .nan, words: []}", "之间"),
        ("groups:\n  - {name: 路, log10: -3, words: 水务}", "words 应为列表"),
        ("groups:\n  - {name: 路, log10: -3, words: [801]}", "801"),
        ("groups:\n  - {name: 路, log10: -3, words: [工号A]}", "工号A"),
    ],
)
def test_a_mistake_is_named(text: str, says: str) -> None:
    with pytest.raises(RubricError, match=says):
        parse_vocabulary(text)


ROOT = Path(__file__).parents[2]
CALLS = ROOT / "tests" / "data" / "calls"
# The strings of four and more characters that the packaged words share with the 13 reference calls, each with where it
# stands apart from them.
PUBLIC = {
    "工作人员": "general language: every dictionary of Chinese",
    "抢修人员": "general language: every notice of a burst pipe",
    "联系电话": "general language: a field of every form",
    "水务热线": "the trade: what the service is called",
    "恢复供水": "general language: every notice of a water cut",
    "二次供水": "the trade: 城市供水条例, rules for high buildings",
    "东西湖区": "district of Wuhan, of thirteen that are all listed",
    "东湖高新区": "district of Wuhan: the development zone",
    "解放大道": "main road of Wuhan, on any map",
    "雄楚大道": "main road of Wuhan, on any map",
    "后湖大道": "main road of Wuhan, on any map",
    "万松园路": "main road of Wuhan, on any map",
}


def packaged_words() -> list[str]:
    """All that the homophone repair and the prompts know beside the word model."""
    vocabulary = parse_vocabulary((ROOT / "scorecards" / "vocabulary.yaml").read_text(encoding="utf-8"))
    return [*vocabulary.words, *(word for prompt in ROLE_PROMPTS.values() for word in prompt.strip("。").split(","))]


def test_nothing_in_vocabulary_and_prompts_is_lifted_from_the_reference_calls() -> None:
    """No string of four characters that stands nowhere but in the 13 of them: a figure measured on them would be worth nothing."""
    _, hashes = read_hashes()
    assert lifted(packaged_words(), hashes, PUBLIC) == {}


def test_each_public_term_is_needed_and_is_what_its_reason_says() -> None:
    """So that the list above stays short enough to be read."""
    _, hashes = read_hashes()
    words = packaged_words()
    assert not [term for term in PUBLIC if not lifted(words, hashes, set(PUBLIC) - {term})]
    groups = yaml.safe_load((ROOT / "scorecards" / "vocabulary.yaml").read_text(encoding="utf-8"))["groups"]
    trade, districts, roads = (set(group["words"]) for group in groups)
    for term, reason in PUBLIC.items():
        if reason.startswith("district"):
            assert term in districts and term.endswith("区")
        elif reason.startswith("main road"):
            assert term in roads and term.endswith(("大道", "路"))
        else:
            assert reason.startswith(("general language", "the trade"))
            assert term in trade or any(term in prompt for prompt in ROLE_PROMPTS.values())
    assert len(districts) > 50 and len(roads) > 100, "whole lists, not only the places of the calls"


@pytest.mark.parametrize("call", ["D01", "D02", "D03", "D04", "D13"])
def test_the_hashes_are_those_of_the_reference_calls(call: str) -> None:
    calls, hashes = read_hashes()
    strings = grams_of_call(CALLS / f"{call}.json")
    assert {hashed(gram) for gram in strings} <= hashes and len(strings) == calls[call]


def test_the_hashes_are_of_all_thirteen_calls() -> None:
    calls, hashes = read_hashes()
    assert list(calls) == [f"D{number:02}" for number in range(1, 14)]
    assert 0.8 * sum(calls.values()) < len(hashes) <= sum(calls.values())


def test_a_word_lifted_from_a_call_is_found() -> None:
    """What the test above must catch: two pieces of the longest turn of D03."""
    turns = json.loads((CALLS / "D03.json").read_text(encoding="utf-8"))["turns"]
    _, hashes = read_hashes()
    said = "".join(filter(is_han, max((turn["text"] for turn in turns), key=len)))
    assert lifted([*packaged_words(), said[:8], said[10:14]], hashes, PUBLIC).keys() == {said[:8], said[10:14]}
