"""Distances and canonical forms of what people say and platforms store: phone numbers, names, addresses.

Names and addresses are compared by character and by toneless pinyin, because a transcript writes 佰步亭 for 百步亭.
An address is read as parts (district, road or street, place, numbers with their units); Chinese numerals and digits are
the same number. What this does not do: look an address up on a map, or know that two names are one place.
"""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import lru_cache

_NUMBER_NOISE = re.compile(r"[\s()\-–—.]+")
ABROAD = "00"  # what a number of another country begins with, 港澳台 among them
_ABROAD_FEWEST_DIGITS = 7  # with the country's code; a shorter one behind a + is a service number of ours


@lru_cache(256)
def canonical_number(raw: str) -> str:
    """One form of a phone number: digits only, without +86 / 0086 / 86 before a mobile or area code.

    `+86 138-7120-6358`, `tel:+8613871206358`, `sip:013871206358@x` (trunk prefix 0 before a mobile) -> `13871206358`;
    `027-84770000` -> `02784770000`; of another country, and of no other, `00…`: `+1 876 555 1234` -> `0018765551234`,
    which is nobody's mobile here. A withheld or non-numeric caller gives "".
    """
    text = unicodedata.normalize("NFKC", raw).strip()
    text = re.sub(r"^(sips?|tel):", "", text, flags=re.IGNORECASE)
    text = re.split(r"[@;>?]", text, maxsplit=1)[0]
    text = _NUMBER_NOISE.sub("", text)
    if not re.fullmatch(r"\+?\d+", text):
        return ""
    digits = text.lstrip("+")
    if digits.startswith("0086"):
        digits = digits[4:]
    elif text.startswith("+86") or (digits.startswith("86") and len(digits) >= 12):
        digits = digits[2:]
    elif re.match(r"\+[1-9]", text) and len(digits) >= _ABROAD_FEWEST_DIGITS:  # no country's code begins with 0
        return ABROAD + digits
    if re.fullmatch(r"0?1[3-9]\d{9}", digits):
        return digits[-11:]
    if text.startswith("+86") and re.fullmatch(r"[1-9]\d{9,10}", digits):
        return "0" + digits  # area code without its trunk 0: +86 27 8477 0000
    return digits


def edit_distance(a: str | tuple[str, ...], b: str | tuple[str, ...]) -> int:
    """Levenshtein distance of two sequences, O(len a * len b)."""
    if len(a) < len(b):
        a, b = b, a
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        previous, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            previous, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, previous + (x != y))
    return row[-1]


MAX_NUMBER_DIGITS = 32  # E.164 has 15; a longer caller is a SIP user name or an attack


def number_distance(a: str, b: str) -> int | None:
    """Edit distance of two phone numbers in canonical form; None when either is unknown (withheld, empty).

    A landline with and without its area code is the same number: `84770000`, `02784770000` -> 0.
    """
    x, y = canonical_number(a[:64]), canonical_number(b[:64])
    if not x or not y:
        return None
    x, y = x[:MAX_NUMBER_DIGITS], y[:MAX_NUMBER_DIGITS]
    short, long = sorted((x, y), key=len)
    with_area = long.startswith("0") and not long.startswith(ABROAD)
    if len(short) in (7, 8) and with_area and len(long) - len(short) in (3, 4) and long.endswith(short):
        return 0
    return edit_distance(x, y)


# ---------- numerals ----------

_DIGITS = {c: i for i, c in enumerate("零一二三四五六七八九")} | {"〇": 0, "○": 0, "幺": 1, "两": 2}
_UNITS = {"十": 10, "百": 100, "千": 1000, "万": 10000}
_NUMERAL = re.compile("[零〇○一二三四五六七八九幺两十百千万]+")


def digits_for_numerals(text: str) -> str:
    """Write every run of Chinese numerals as digits: `十二栋` -> `12栋`, `六零二` -> `602`, `幺八九` -> `189`.

    A run without 十百千 is read digit by digit. 万 or 百 that open a run belong to a name (万松园, 百步亭) and stay.
    """
    return _NUMERAL.sub(lambda m: _read_run(m[0]), text)


def _read_run(run: str) -> str:
    head = ""
    while run and run[0] in "百千万两":  # 百步亭, 千家街, 万松园, 两江: no number begins so when a unit leads
        if run[0] == "两" and len(run) > 1:
            break
        head, run = head + run[0], run[1:]
    if not run:
        return head
    if not any(c in _UNITS for c in run):
        return head + "".join(str(_DIGITS[c]) for c in run)
    total, section, digit = 0, 0, -1
    for c in run:
        if c in _DIGITS:
            if digit > 0:  # 一二十: not a number, leave the text
                return head + run
            digit = _DIGITS[c]
        elif c == "万":
            total, section, digit = (total + section + max(digit, 0)) * _UNITS[c], 0, -1
        else:
            section += (digit if digit > 0 else 1) * _UNITS[c]
            digit = -1
    return head + str(total + section + max(digit, 0))


# ---------- similarity of short texts ----------

_PUNCTUATION = re.compile(r"[^\w]|_")


@lru_cache(maxsize=4096)
def _syllables(text: str) -> tuple[str, ...]:
    """Toneless pinyin, one entry per character; n/l and -ng/-n are one, as Wuhan speakers and engines mix them."""
    from pypinyin import Style, lazy_pinyin  # 0.4 s to import: the recorder uses this module for numbers only

    return tuple(_blur(s) for s in lazy_pinyin(text, style=Style.NORMAL, errors=_each))


def _each(text: str) -> str:
    return list(text)  # type: ignore[return-value]  # pypinyin takes a list as one entry each; its stub does not say so


def _blur(syllable: str) -> str:
    if re.fullmatch(r"[a-zü]+", syllable):
        syllable = re.sub(r"^([zcs])h", r"\1", syllable)
        syllable = re.sub(r"^n(?=.)", "l", syllable)
        return re.sub(r"(?<=[aei])ng$", "n", syllable)
    return syllable


def _ratio(a: Sequence[str], b: Sequence[str]) -> float:
    """Share of common elements in order, 0..1, symmetric."""
    if not a or not b:
        return 0.0
    first, second = sorted((tuple(a), tuple(b)))  # SequenceMatcher depends on the order of its arguments
    return SequenceMatcher(None, first, second, autojunk=False).ratio()


def _likeness(a: str, b: str) -> float:
    """0..1: equal characters count 1, equal sound 0.95."""
    if a == b:
        return 1.0
    return max(_ratio(tuple(a), tuple(b)), 0.95 * _ratio(_syllables(a), _syllables(b)))


_TITLES = re.compile("(先生|女士|小姐|师傅|老师|大爷|大妈|阿姨|同志)$")


def name_similarity(a: str, b: str) -> int:
    """How likely two texts name the same person, 0..100.

    Equal 100; same sound 95; `王先生` against `王建国`: the surname fits and the rest is unknown, 70.
    """
    x, y = (_PUNCTUATION.sub("", unicodedata.normalize("NFKC", t))[:32] for t in (a, b))
    bare_x, bare_y = _TITLES.sub("", x), _TITLES.sub("", y)
    if not bare_x or not bare_y:
        return 0
    if bare_x == bare_y:
        return 100
    sound_x, sound_y = _syllables(bare_x), _syllables(bare_y)
    if sound_x == sound_y:
        return 95
    shorter, longer = sorted((sound_x, sound_y), key=len)
    if len(shorter) == 1 and (bare_x != x or bare_y != y):
        return 70 if longer[0] == shorter[0] else 0
    return round(100 * _likeness(bare_x, bare_y) * (1.0 if sound_x[0] == sound_y[0] else 0.6))


# ---------- addresses ----------

_CITY = re.compile("(湖北省?|武汉市|武汉(?=.{2,4}区))")
_DISTRICT = re.compile(r"[^\d\W]{2,8}?(?:高新技术开发区|经济开发区|高新区|开发区|新城区|区|县)")
_ESTATE_ZONE = re.compile("(小|社|园|街|片|校|院|厂|景|库|辖|住宅|工业|生活)区$")
_ROAD = re.compile(r"[^\W]{1,6}?(?:大道|大街|横路|马路|公路|环路|立交|路|街道|街(?!坊)|巷|胡同)")
_WITH_UNIT = re.compile(r"(\d+)(街坊|单元|栋|号楼|号|楼|层|室|弄|组|村|期|门)?")
_SAME_UNIT = {"幢": "栋", "座": "栋", "号楼": "栋", "层": "楼", "房": "室", "附": ""}
_MAX_ADDRESS_CHARS = 200  # a field or a sentence; longer text is a whole story and is cut


@dataclass(frozen=True, slots=True)
class Address:
    """The parts of one address. numbers: (digits, unit) in order; unit "" is a bare number such as room 602."""

    district: str
    roads: tuple[str, ...]
    place: str
    numbers: tuple[tuple[str, str], ...]


def parse_address(text: str) -> Address:
    """Read the parts of an address; what is neither district, road nor number is the place."""
    rest = digits_for_numerals(_PUNCTUATION.sub("", unicodedata.normalize("NFKC", text))[:_MAX_ADDRESS_CHARS])
    for old, new in _SAME_UNIT.items():
        rest = re.sub(rf"(?<=\d){old}", new, rest)
    rest = _CITY.sub("", rest)
    district = ""
    found = _DISTRICT.match(rest)
    if found and not _ESTATE_ZONE.search(found[0]):
        district, rest = found[0], rest[found.end() :]
    roads: list[str] = []
    while (road := _ROAD.match(rest)) is not None:
        roads.append(road[0])
        rest = rest[road.end() :]
    numbers = tuple((m[1].lstrip("0") or "0", "" if m[2] == "室" else m[2] or "") for m in _WITH_UNIT.finditer(rest))
    return Address(district, tuple(roads), _WITH_UNIT.sub("", rest), numbers)


def address_similarity(a: str, b: str) -> int:
    """How far two addresses agree, 0..100. A part that one of them lacks is not held against them, only a lack of
    common parts; a road, place or number that differs pulls the result below 70. Symmetric.
    """
    x, y = parse_address(a), parse_address(b)
    scores: list[tuple[float, float]] = []  # (weight, likeness 0..1)
    if x.district and y.district:
        scores.append((10, _likeness(_core(x.district), _core(y.district))))
    named = [("".join(p.roads) + p.place) for p in (x, y)]
    if all(named):
        scores.append((60, _names_agree(x, y)))
    numbers = _numbers_agree(x.numbers, y.numbers)
    if numbers is not None:
        scores.append((30, numbers))
    if not any(weight > 10 for weight, _ in scores):
        return 50 if scores and scores[0][1] > 0.9 else 0  # only the district, or nothing, in common
    value = sum(w * s for w, s in scores) / sum(w for w, _ in scores)
    if (numbers is not None and numbers < 1) or any(s < 0.5 for _, s in scores):
        value = min(value, 0.6)
    return round(100 * value)


def _core(district: str) -> str:
    return re.sub("(高新技术开发区|经济开发区|高新区|开发区|新城区|区|县)$", "", district) or district


_GENERIC = re.compile("(大道|大街|横路|马路|公路|路|街道|街|巷|小区|社区|花园|新村)")


def _bare(name: str) -> str:
    """The name without the words every second name carries, unless nothing else is left."""
    return _GENERIC.sub("", name) or name


def _names_agree(x: Address, y: Address) -> float:
    whole = _likeness(_bare("".join(x.roads) + x.place), _bare("".join(y.roads) + y.place))
    parts = [p for p in (_best(x.roads, y.roads), _part(x.place, y.place)) if p is not None]
    return max(whole, sum(parts) / len(parts)) if parts else whole


def _part(a: str, b: str) -> float | None:
    return _likeness(_bare(a), _bare(b)) if a and b else None


def _best(a: tuple[str, ...], b: tuple[str, ...]) -> float | None:
    if not a or not b:
        return None
    return max(_likeness(_bare(p), _bare(q)) for p in a for q in b)


def _numbers_agree(a: tuple[tuple[str, str], ...], b: tuple[tuple[str, str], ...]) -> float | None:
    """Share of units both name whose numbers are equal; None when they name no common unit."""
    x: dict[str, set[str]] = {}
    y: dict[str, set[str]] = {}
    for target, numbers in ((x, a), (y, b)):
        for value, unit in numbers:
            target.setdefault(unit, set()).add(value)
    common = x.keys() & y.keys()
    if not common:
        return None
    return sum(bool(x[u] & y[u]) for u in common) / len(common)


def address_in_speech(location: str, sentences: Sequence[str]) -> int | None:
    """How far a stored location agrees with what was said, 0..100; None when the talk names no place to compare.

    sentences: the utterances of one speaker. Road and place names of the location are looked for in all of them
    (by sound); a number counts as different only when the same unit was said with another number and never with this.
    """
    stored = parse_address(location)
    said = [
        digits_for_numerals(_PUNCTUATION.sub("", unicodedata.normalize("NFKC", s))[:_MAX_ADDRESS_CHARS])
        for s in sentences
    ]
    for old, new in _SAME_UNIT.items():
        said = [re.sub(rf"(?<=\d){old}", new, s) for s in said]
    names = [n for n in (*stored.roads, stored.place) if len(n) >= 2]
    if not names or not any(said):
        return None
    found = [max(_within(name, s) for s in said) for name in names]
    weights = [len(n) for n in names]
    value = sum(w * f for w, f in zip(weights, found, strict=True)) / sum(weights)
    spoken = tuple(
        (m[1].lstrip("0") or "0", "" if m[2] == "室" else m[2] or "") for s in said for m in _WITH_UNIT.finditer(s)
    )
    if value < 0.3 and not any(_ROAD.search(s) or _DISTRICT.search(s) for s in said):
        return None
    numbers = _numbers_agree(
        tuple(n for n in stored.numbers if n[1]), tuple(n for n in spoken if n[1] and len(n[0]) < 6)
    )
    if numbers is not None:
        value = 0.7 * value + 0.3 * numbers if numbers == 1 else min(0.6, value)
    return round(100 * value)


def _within(name: str, sentence: str) -> float:
    """Best share of `name` found together in `sentence`, by character or by sound."""
    if name in sentence:
        return 1.0
    best = 0.0
    for wanted, heard in ((tuple(name), tuple(sentence)), (_syllables(name), _syllables(sentence))):
        matcher = SequenceMatcher(None, heard, wanted, autojunk=False)
        kept = sum(b.size for b in matcher.get_matching_blocks() if b.size >= 2 or len(wanted) <= 2)
        best = max(best, kept / len(wanted) if wanted else 0.0)
    return best
