"""vocabulary.yaml: what is read and what is refused, with the place of the mistake."""

import json
from pathlib import Path

import pytest

from callqa.errors import RubricError
from callqa.transcribe.vocabulary import ROLE_PROMPTS, parse_vocabulary

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
# Words of four and more characters that the packaged vocabulary shares with reference calls, and where else they stand.
PUBLIC = {
    "工作人员": "general language",
    "恢复供水": "every notice of a water cut",
    "二次供水": "the national regulation on urban water supply",
    **dict.fromkeys(("东西湖区", "东湖高新区"), "districts of Wuhan"),
    **dict.fromkeys(("解放大道", "雄楚大道", "万松园路", "后湖大道"), "main roads on any map of Wuhan"),
}


def test_nothing_in_vocabulary_and_prompts_is_lifted_from_the_reference_calls() -> None:
    """No string of four characters or more that stands nowhere but in them: a figure measured on them would be worth nothing."""
    references = "\n".join(
        turn["text"]
        for path in (ROOT / "tests" / "data" / "calls").glob("D*.json")
        for turn in json.loads(path.read_text(encoding="utf-8"))["turns"]
    )
    assert len(references) > 1000
    public = "\n".join(
        path.read_text(encoding="utf-8")
        for path in (ROOT / "scorecards" / "rubric.yaml", *(ROOT / "docs" / "domain").glob("*.md"))
    )
    packaged = parse_vocabulary((ROOT / "scorecards" / "vocabulary.yaml").read_text(encoding="utf-8"))
    told = [*packaged.words, *(word for prompt in ROLE_PROMPTS.values() for word in prompt.strip("。").split(","))]
    shared = {word for word in told if len(word) >= 4 and word in references}
    assert shared, "some words of the trade must be common to both"
    assert not {word for word in shared if word not in public and word not in PUBLIC}
