"""Words of the trade: the prompts per role with the test that none came back as speech, and the words for homophone repair.

A prompt holds only words of the trade: no number, no name, no greeting or closing, since a 工号 or an area code in the prompt
wrote itself into transcripts. Commas are ASCII: full-width ones break the byte tokens of Whisper.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import yaml

from callqa.errors import RubricError
from callqa.speech import Speaker
from callqa.text import is_han

_COMMON: Final = "停水,漏水,爆管,水压,水质,水表,水费,井盖,积水"
# With Whisper base these cost more than they bring (docs/transcription.md), so the measured plan leaves them out.
ROLE_PROMPTS: Final[Mapping[Speaker, str]] = {
    Speaker.AGENT: f"水务热线,坐席接听市民来电,核对地址和电话,登记工单,抢修,维修,派单,回访,满意度,{_COMMON}。",
    Speaker.CITIZEN: f"市民拨打水务热线,反映情况,说明小区,路名,楼栋,单元,{_COMMON}。",
    Speaker.UNKNOWN: f"市民与水务热线坐席通话,核对地址和电话,登记工单,{_COMMON}。",
}
_LEAK_CHARS: Final = 9  # nobody says this many characters of a word list in its order by chance


def leaks_prompt(text: str, prompt: str) -> bool:
    """Whether `text` holds a long piece of `prompt`, punctuation aside: then the engine read its prompt aloud."""
    said, told = _bare(text), _bare(prompt)
    return any(told[i : i + _LEAK_CHARS] in said for i in range(len(told) - _LEAK_CHARS + 1))


def _bare(text: str) -> str:
    return "".join(c for c in text if c.isalnum())


MAX_WORD_CHARS: Final = 12
SITE_LOG10: Final = -4.2  # as districts in the file: a word that a person wrote here will be said here again
_LIKELIEST, _UNLIKELIEST = -1.0, -8.0  # outside of it a group would rewrite everything, or nothing


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Words of the service with their least log10 probability, and the hash of the text they came from."""

    words: Mapping[str, float]
    vocabulary_hash: str


NO_VOCABULARY: Final = Vocabulary({}, "")


def parse_vocabulary(text: str) -> Vocabulary:
    """Read vocabulary.yaml. Raise RubricError naming the group and the word that is wrong."""
    try:
        data = yaml.safe_load(text)
    except yaml.YAMLError as e:
        mark = getattr(e, "problem_mark", None)
        line = mark.line + 1 if mark else 0
        raise RubricError(line, f"词表 vocabulary.yaml 不是有效的 YAML：{e}。请检查缩进与标点。") from e
    groups = data.get("groups") if isinstance(data, dict) else None
    if not isinstance(groups, list):
        raise RubricError(0, "词表 vocabulary.yaml 缺少 groups 列表。请按自带词表的格式填写。")
    words: dict[str, float] = {}
    for number, group in enumerate(groups, 1):
        for word, likelihood in _group_words(group, number):
            words[word] = max(likelihood, words.get(word, _UNLIKELIEST))
    return Vocabulary(words, hashlib.sha256(text.encode()).hexdigest())


def may_be_word(word: str) -> bool:
    """Whether a text may stand in a vocabulary: Han characters only, not too many."""
    return 0 < len(word) <= MAX_WORD_CHARS and all(map(is_han, word))


def with_words(vocabulary: Vocabulary, words: Sequence[str]) -> Vocabulary:
    """The vocabulary and the site's own words; another hash, unless there are none."""
    if not words:
        return vocabulary
    told = "\n".join((vocabulary.vocabulary_hash, *words))
    known = {word: max(SITE_LOG10, vocabulary.words.get(word, _UNLIKELIEST)) for word in words}
    return Vocabulary({**vocabulary.words, **known}, hashlib.sha256(told.encode()).hexdigest())


def _group_words(group: object, number: int) -> Iterator[tuple[str, float]]:
    if not isinstance(group, dict):
        raise RubricError(0, f"词表 vocabulary.yaml 第 {number} 组不是“name、log10、words”的形式。")
    name, likelihood, words = (group.get(key) for key in ("name", "log10", "words"))
    where = f"词表 vocabulary.yaml 第 {number} 组“{name}”"
    if isinstance(likelihood, bool) or not isinstance(likelihood, int | float):
        raise RubricError(0, f"{where}的 log10 应为数字，现在是 {likelihood!r}。")
    if not _UNLIKELIEST <= likelihood <= _LIKELIEST:
        raise RubricError(0, f"{where}的 log10 是 {likelihood}，应在 {_UNLIKELIEST} 与 {_LIKELIEST} 之间。")
    if not isinstance(words, list):
        raise RubricError(0, f"{where}的 words 应为列表。")
    for word in words:
        if not isinstance(word, str) or not may_be_word(word):
            raise RubricError(
                0, f"{where}里的“{word}”不是 1 到 {MAX_WORD_CHARS} 个汉字的词；数字、字母与标点不能入词表。"
            )
        yield word, float(likelihood)
