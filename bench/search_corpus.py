"""Made-up transcripts for bench/search.py: words by their commonness, the same for the same seed.

A vocabulary with a Zipf–Mandelbrot law: spoken function words first, then the commoner words of
scorecards/vocabulary.yaml, then the rest of them among 25,000 words of pypinyin's dictionary. Each call has twelve words
of its own, each word forty companions that often follow it. The hotline's greetings, and a mobile number said in digits,
are in every call. A call has CHARS characters, punctuation included.
"""

import hashlib
from bisect import bisect_left
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path

import numpy as np
import yaml
from pypinyin.phrases_dict import phrases_dict

from callqa.text import is_han, simplified

ROOT = Path(__file__).parents[1]
CHARS, UTTERANCES, AT_ONCE = 600, 30, 2000
SPOKEN = (  # noqa: SIM905  # words with spaces between are read more easily
    "的 我 是 了 你 那 就 有 不 在 这 这个 那个 我们 你们 他们 一个 没有 什么 怎么 可以 现在 知道 因为 所以 但是 就是 还是 已经 "
    "然后 如果 时候 今天 昨天 明天 早上 晚上 下午 这边 那边 这里 那里 我家 家里 说 来 去 要 会 能 都 也 还 又 再 好 好的 对 "
    "不是 是不是 有没有 能不能 怎么办 为什么 多少 几个 大概 可能 应该 需要 希望 觉得 看到 听到 打电话 一直 一下 一点 很多 非常 "
    "比较 马上 问题 情况 时间 地方 东西 事情 老人 孩子 邻居 楼上 楼下 门口 路边 师傅 麻烦 谢谢 不好意思 没关系 那么 这样 那样"
).split()
GREETING = ("您好，武汉水务热线，工号八零五，请问有什么可以帮您？", "请您稍等，我帮您查一下。")
CLOSING = ("请问您还有其他需要吗？", "感谢您的来电，祝您生活愉快，再见。")
_OWN, _COMPANIONS, _MOST_WORDS = 12, 40, 460
_FREE_LINES = UTTERANCES - len(GREETING) - len(CLOSING) - 1
_NUMBER_LINE = "您的电话是{}，对吗？"
_FREE_CHARS = CHARS - sum(map(len, (*GREETING, *CLOSING))) - len(_NUMBER_LINE) + 2 - 11


def vocabulary(seed: int) -> list[str]:
    """All words, the commonest first."""
    groups = yaml.safe_load((ROOT / "scorecards" / "vocabulary.yaml").read_text(encoding="utf-8"))["groups"]
    service = [word for group in groups for word in group["words"]]
    tail = [w for w in phrases_dict if len(w) in (2, 3) and all(map(is_han, w)) and simplified(w) == w]
    tail.sort(key=lambda word: hashlib.sha256(f"{seed}{word}".encode()).digest())
    rare = [*service[120:], *tail[:25_000]]
    rare.sort(key=lambda word: hashlib.sha256(f"{word}{seed}".encode()).digest())
    return list(dict.fromkeys([*SPOKEN, *service[:120], *rare]))


def say_calls(n_calls: int, seed: int) -> Iterator[list[tuple[str, str]]]:
    """(speaker, text) of each utterance, call by call."""
    words, random = vocabulary(seed), np.random.default_rng(seed)
    sums = np.cumsum(1 / (np.arange(1, len(words) + 1) + 2.7) ** 1.05)

    def draw(shape: tuple[int, ...]) -> np.ndarray:
        return np.searchsorted(sums, random.random(shape) * sums[-1])

    companions = draw((len(words), _COMPANIONS))
    for first in range(0, n_calls, AT_ONCE):
        n = min(AT_ONCE, n_calls - first)
        own, any_word, kind = draw((n, _OWN)), draw((_MOST_WORDS, n)), random.random((_MOST_WORDS, n))
        which_own = random.integers(0, _OWN, (_MOST_WORDS, n))
        # the first companion is the commonest
        which = np.minimum(random.exponential(1 / 0.12, (_MOST_WORDS, n)).astype(int), _COMPANIONS - 1)
        calls, said = np.arange(n), np.empty((_MOST_WORDS, n), int)
        word = any_word[0]
        for at in range(_MOST_WORDS):
            follows = np.where(kind[at] < 0.65, companions[word, which[at]], any_word[at])
            word = said[at] = np.where(kind[at] < 0.15, own[calls, which_own[at]], follows)
        stops = random.random((n, _MOST_WORDS)) < 0.12
        digits = random.integers(0, 10, (n, 10))
        for row, stop, number in zip(said.T.tolist(), stops.tolist(), digits.tolist(), strict=True):
            spoken = "一" + "三五七八九"[number[0] % 5] + "".join("零幺二三四五六七八九"[d] for d in number[1:])
            yield _call([words[i] + "，" * s for i, s in zip(row, stop, strict=True)], spoken)


def _call(words: list[str], number: str) -> list[tuple[str, str]]:
    said = [("agent", line) for line in GREETING]
    ends = [0, *accumulate(map(len, words))]
    at, left = 0, _FREE_CHARS
    for n in range(_FREE_LINES):
        want = left // (_FREE_LINES - n)
        end = bisect_left(ends, ends[at] + want - 1, at + 1)
        line = "".join(words[at:end])[: left - 1].rstrip("，") + "。"
        at, left = end, left - len(line)
        said.append(("agent" if n % 2 else "citizen", line))
    said.insert(UTTERANCES // 2, ("agent", _NUMBER_LINE.format(number)))
    return [*said, *(("agent", line) for line in CLOSING)]
