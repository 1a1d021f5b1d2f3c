"""vocabulary.yaml: what is read and what is refused, with the place of the mistake."""

import pytest

from callqa.errors import RubricError
from callqa.transcribe.vocabulary import parse_vocabulary

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
