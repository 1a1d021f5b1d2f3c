"""Forms of Mandarin text: simplified, normalised for matching (with a way back to the original), digits, pinyin.

`normalised` does what the rubric's `text_normalize` lists: nfkc, simplified, strip_punct, strip_filler, cn_number.
It does not segment words, correct homophones or understand dates. A single 一 inside a word (一下, 一起) is no number.
"""

import re
import unicodedata
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import zhconv
from pypinyin import lazy_pinyin

DIGIT_VALUES = {"零": 0, "〇": 0, "○": 0, "幺": 1, "一": 1, "二": 2, "两": 2, "三": 3, "四": 4, "五": 5} | {
    "六": 6,
    "七": 7,
    "八": 8,
    "九": 9,
}
_UNITS = {"十": 10, "百": 100, "千": 1000}
_SECTIONS = {"万": 10_000, "亿": 100_000_000}
# Chinese marks that NFKC would turn into ASCII; a transcript keeps them as people write them.
_KEPT_MARKS = frozenset("，。！？：；（）、～")
# 著 is the traditional writing of the particle 着, except in these words.
_PARTICLE_ZHE = re.compile(r"(?<![显名原编土昭卓拙论巨])著(?![名作称者述])")
_ALWAYS_FILLER = frozenset("嗯呃啊唔喔噢哦诶")
# Fillers only where they stand alone between pauses: they also are parts of words (余额, 那个地方).
_LONE_FILLER = re.compile(r"(?:^|(?<=[^\w]))(?:额|唉|哎|呀|那个|这个)(?=[^\w]|$)|那个(?=那个)|这个(?=这个)")
# After these a single Chinese digit is a count or a number, not part of a word.
_MEASURE = (
    "个|小时|分钟|秒|点|号|栋|幢|座|单元|楼|层|室|户|月|日|天|年|周|次|吨|块|元|角|毛|米|厘|毫|公里|公斤|升|"
    "岁|期|辆|根|家|处|条|台|项|级|口|遍|位|名|人|起|门|排|组|街坊|巷|弄|路公交|工作日|星期"
)
_AFTER_SINGLE = re.compile(rf"(?:{_MEASURE})")
# 一 before these is usually "a little", "in one go": not a number.
_NOT_AFTER_ONE = re.compile(r"点(?!钟|半|[零一二三四五六七八九十])|次性|起|家人|人(?!次)|口气|时|天到晚|条龙|项(?!目)")
_NUMBER_RUN = re.compile(r"[零〇○幺一二两三四五六七八九十百千万亿]+")
_DECIMAL = re.compile(r"([零一二三四五六七八九十百]+)点([零一二三四五六七八九]+)(?=吨|元|块|米|厘|毫|公|升|兆|立方|度)")
_PERCENT = re.compile(r"百分之(\d+(?:\.\d+)?)")


@dataclass(frozen=True, slots=True)
class Normalised:
    """A normalised text and, for each of its characters, the [start, end) it came from in the original."""

    text: str
    positions: tuple[tuple[int, int], ...]

    def original_span(self, start: int, end: int) -> tuple[int, int]:
        """The stretch of the original under text[start:end]; an empty stretch gives an empty span."""
        if start >= end:
            at = self.positions[start][0] if start < len(self.positions) else 0
            return at, at
        return self.positions[start][0], self.positions[end - 1][1]


@lru_cache(maxsize=1)
def _converter_ready() -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # zhconv leaves its dictionary file to the collector
        zhconv.convert("後", "zh-hans")
    return True


def _to_simplified(text: str) -> str:
    _converter_ready()
    converted: str = zhconv.convert(text, "zh-hans")
    return _PARTICLE_ZHE.sub("着", converted)


def _nfkc_pieces(text: str, *, keep_marks: bool) -> Iterator[tuple[str, int, int]]:
    """Each character with its combining marks in NFKC, and where it stood."""
    i = 0
    while i < len(text):
        j = i + 1
        while j < len(text) and unicodedata.combining(text[j]):
            j += 1
        piece = text[i:j]
        yield (piece if keep_marks and piece in _KEPT_MARKS else unicodedata.normalize("NFKC", piece)), i, j
        i = j


def simplified(text: str) -> str:
    """Traditional to simplified characters, NFKC; Chinese punctuation stays full-width."""
    return _to_simplified("".join(piece for piece, _, _ in _nfkc_pieces(text, keep_marks=True)))


def _simplified_with_positions(text: str) -> tuple[str, list[tuple[int, int]]]:
    plain: list[str] = []
    positions: list[tuple[int, int]] = []
    for piece, start, end in _nfkc_pieces(text, keep_marks=False):
        plain.append(piece)
        positions.extend([(start, end)] * len(piece))
    joined = "".join(plain)
    converted = _to_simplified(joined)
    if len(converted) != len(joined):  # a phrase of another length: go by character, so that positions hold
        pieces = [_to_simplified(char) for char in joined]
        positions = [at for piece, at in zip(pieces, positions, strict=True) for _ in piece]
        converted = "".join(pieces)
    return converted.lower(), positions if len(converted.lower()) == len(positions) else positions[: len(converted)]


def _parse_cardinal(run: str, start: int) -> tuple[int, int] | None:
    """The longest well-formed number with units at `start` of a run: (value, end), or None without any unit."""
    total = section = 0
    i, last_unit, any_unit = start, 10**9, False
    while i < len(run):
        char = run[i]
        if char in "零〇○" and any_unit and i + 1 < len(run):
            i += 1
            continue
        if char in DIGIT_VALUES and char not in "零〇○":
            digit = DIGIT_VALUES[char]
            unit = _UNITS.get(run[i + 1], 0) if i + 1 < len(run) else 0
            if unit and unit < last_unit:
                section, last_unit, any_unit, i = section + digit * unit, unit, True, i + 2
                continue
            if i + 1 < len(run) and run[i + 1] in _SECTIONS:
                section, i = section + digit, i + 1
                continue
            if any_unit and last_unit > 1 and char not in "两幺":
                short = last_unit // 10 if last_unit >= 100 and run[i - 1] not in "零〇○" else 1
                section, last_unit, i = section + digit * short, 1, i + 1
                continue
            break
        if char == "十" and last_unit > 10 and (i == start or run[i - 1] in "零〇○万亿"):
            section, last_unit, any_unit, i = section + 10, 10, True, i + 1
            continue
        if char in _SECTIONS and section:
            total = (total + section) * _SECTIONS[char] if char == "亿" else total + section * _SECTIONS[char]
            section, last_unit, any_unit, i = 0, _SECTIONS[char], True, i + 1
            continue
        break
    while i > start and run[i - 1] in "零〇○":
        i -= 1
    return (total + section, i) if any_unit and i > start else None


def _is_approximate(digits: str, after: str) -> bool:
    """两三天, 四五个: two neighbouring digits before a measure word are a guess, not a number."""
    if len(digits) != 2 or "幺" in digits or not _AFTER_SINGLE.match(after):
        return False
    low, high = DIGIT_VALUES[digits[0]], DIGIT_VALUES[digits[1]]
    return (high == low + 1 or digits == "三五") and not after.startswith(("号", "栋", "幢", "楼", "室", "单元", "年"))


def _single_counts(char: str, before: str, after: str) -> bool:
    if char in "零〇○":
        return False
    if char == "幺" or before.endswith("第"):
        return True
    if (
        char == "一"
        and _NOT_AFTER_ONE.match(after)
        and not (after.startswith("点") and before.endswith(tuple("午晨夜")))
    ):
        return False
    return _AFTER_SINGLE.match(after) is not None and not before.endswith(("统", "唯", "万"))


def _tokens_of_run(run: str, before: str, after: str) -> Iterator[tuple[str, int, int]]:
    """Cut one run of number characters into (replacement, start, end); what is no number is not yielded."""
    i = 0
    while i < len(run):
        cardinal = _parse_cardinal(run, i)
        if cardinal is not None:
            value, end = cardinal
            lone_ten = run[i:end] == "十" and not (
                _AFTER_SINGLE.match(after) or after.startswith("多") or before.endswith("第")
            )
            if not (lone_ten and end == len(run)):
                yield str(value), i, end
            i = end
            continue
        end = i
        while end < len(run) and run[end] in DIGIT_VALUES and run[end] != "两":
            following = _parse_cardinal(run, end)
            if following is not None and end > i:
                break
            end += 1
        digits = run[i:end]
        rest, ahead = run[end:] + after, before + run[:i]
        if len(digits) >= 2 and not _is_approximate(digits, rest):
            yield "".join(str(DIGIT_VALUES[char]) for char in digits), i, end
        elif len(digits) == 1 and not ahead.endswith("两") and _single_counts(digits, ahead, rest):
            yield str(DIGIT_VALUES[digits]), i, end
        elif not digits and run[i] == "两" and i + 1 == len(run) and _AFTER_SINGLE.match(after):
            yield "2", i, i + 1
        i = max(end, i + 1)


def _number_tokens(text: str) -> Iterator[tuple[str, int, int]]:
    decimals = {match.start(): match for match in _DECIMAL.finditer(text)}
    done = 0
    for match in _NUMBER_RUN.finditer(text):
        if match.start() < done:
            continue
        decimal = decimals.get(match.start())
        whole = _whole_number(decimal[1]) if decimal else None
        if decimal is not None and whole is not None:
            yield f"{whole}.{''.join(str(DIGIT_VALUES[c]) for c in decimal[2])}", decimal.start(), decimal.end()
            done = decimal.end()
            continue
        if match[0] == "百" and text[: match.start()].endswith("百分之"):
            yield "100", match.start(), match.end()
            continue
        for replacement, start, end in _tokens_of_run(match[0], text[: match.start()], text[match.end() :]):
            yield replacement, match.start() + start, match.start() + end


def _whole_number(text: str) -> int | None:
    if len(text) == 1 and text in DIGIT_VALUES:
        return DIGIT_VALUES[text]
    cardinal = _parse_cardinal(text, 0)
    return cardinal[0] if cardinal and cardinal[1] == len(text) else None


def _convert_numbers(text: str, positions: list[tuple[int, int]]) -> tuple[str, list[tuple[int, int]]]:
    out: list[str] = []
    places: list[tuple[int, int]] = []
    done = 0
    for replacement, start, end in _number_tokens(text):
        out.append(text[done:start])
        places.extend(positions[done:start])
        out.append(replacement)
        places.extend([(positions[start][0], positions[end - 1][1])] * len(replacement))
        done = end
    out.append(text[done:])
    places.extend(positions[done:])
    return _percent_sign("".join(out), places)


def _percent_sign(text: str, positions: list[tuple[int, int]]) -> tuple[str, list[tuple[int, int]]]:
    """百分之95 -> 95%."""
    for match in reversed(list(_PERCENT.finditer(text))):
        start, end = match.span()
        whole = (positions[start][0], positions[end - 1][1])
        text = f"{text[:start]}{match[1]}%{text[end:]}"
        positions = [*positions[:start], *([whole] * (len(match[1]) + 1)), *positions[end:]]
    return text, positions


def _keep(text: str, i: int) -> bool:
    """Whether a character survives strip_punct: letters, digits, and the marks inside a number (3.5, 95%)."""
    char = text[i]
    if char.isalnum():
        return True
    before_digit = i > 0 and text[i - 1].isdigit()
    if char == "%":
        return before_digit
    return char == "." and before_digit and i + 1 < len(text) and text[i + 1].isdigit()


def _stripped(text: str, positions: list[tuple[int, int]]) -> tuple[str, list[tuple[int, int]]]:
    lone = {i for match in _LONE_FILLER.finditer(text) for i in range(*match.span())}
    kept = [i for i in range(len(text)) if _keep(text, i) and text[i] not in _ALWAYS_FILLER and i not in lone]
    return "".join(text[i] for i in kept), [positions[i] for i in kept]


@lru_cache(maxsize=4096)
def normalised_with_positions(text: str) -> Normalised:
    """`normalised`, with the place of every character in the original."""
    plain, positions = _simplified_with_positions(text)
    # Numbers are read before punctuation goes: 三栋，六零二 is two numbers.
    plain, positions = _convert_numbers(plain, positions)
    plain, positions = _stripped(plain, positions)
    return Normalised(plain, tuple(positions))


@lru_cache(maxsize=4096)
def spoken_with_positions(text: str) -> Normalised:
    """As `normalised_with_positions`, but numbers stay as they were said (幺三八, 第二次)."""
    plain, positions = _stripped(*_simplified_with_positions(text))
    return Normalised(plain, tuple(positions))


def normalised(text: str) -> str:
    """Simplified, NFKC, lower case, without punctuation and fillers, numbers as digits (八零幺 -> 801, 两小时 -> 2小时)."""
    return normalised_with_positions(text).text


def digits_of(text: str) -> str:
    """All digits said or written, in order: `幺三八七，一二零 6358` -> `13871206358`; 十二栋 -> 12. 两 stays out.

    A single 一 counts only where it stands alone between pauses (so 一下 gives nothing).
    """
    plain, _ = _simplified_with_positions(text)
    out: list[str] = []
    done = 0
    for match in re.finditer(r"[0-9]+|[零〇○幺一二三四五六七八九十百千万]+", plain):
        if match.start() < done:
            continue
        run = match[0]
        alone = not (plain[match.end() : match.end() + 1].isalnum() or plain[: match.start()][-1:].isalnum())
        if run[0].isascii():
            out.append(run)
        elif run == "一":
            out.append("1" if alone else "")
        else:
            out.append(_digits_of_run(run))
        done = match.end()
    return "".join(out)


def _digits_of_run(run: str) -> str:
    out: list[str] = []
    i = 0
    while i < len(run):
        cardinal = _parse_cardinal(run, i)
        if cardinal is not None:
            out.append(str(cardinal[0]))
            i = cardinal[1]
            continue
        if run[i] in DIGIT_VALUES:
            out.append(str(DIGIT_VALUES[run[i]]))
        i += 1
    return "".join(out)


def is_han(char: str) -> bool:
    """Whether a character is a Han ideograph."""
    return "\u4e00" <= char <= "\u9fff" or "\u3400" <= char <= "\u4dbf" or char == "〇"


@lru_cache(maxsize=8192)
def syllables(text: str) -> tuple[str, ...]:
    """One token per character: the toneless syllable of a Han character (read in its word), else the character."""
    out: list[str] = []
    for match in re.finditer(r"[\u3400-\u4dbf\u4e00-\u9fff]+|.", text, flags=re.DOTALL):
        run = match[0]
        read = lazy_pinyin(run) if is_han(run[0]) else list(run)
        out.extend(read if len(read) == len(run) else list(run))
    return tuple(out)


def speech_chars(text: str) -> int:
    """Characters that count for speech rate: Han characters, digits (each is said), and latin words."""
    plain = unicodedata.normalize("NFKC", text)
    han = sum(1 for char in plain if is_han(char))
    return han + sum(1 for char in plain if char.isdigit()) + len(re.findall(r"[A-Za-z]+", plain))
