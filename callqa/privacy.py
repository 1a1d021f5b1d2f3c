"""脱敏: numbers in what was said that belong to a person, as digits or as spoken digits, and their masking. Pure.

Found are mobile and landline numbers, ID cards (GB 11643: date and check character), bank cards (Luhn), and any other
string of seven digits or more that nothing marks as something else (工单编号, 户号, a date, 十二栋). Digits may be said
(幺三八), written (138), mixed, grouped by pauses, with fillers between, and spread over several utterances of one
speaker. Digits that speech recognition wrote as a homophone (要三八, 洞, 拐) count inside a string of digits, and where a number is
announced (您的电话是…) a character or two that it made of a digit do not end it.

Not found: names, addresses, and numbers said with units (一百三十八万). Public numbers are no secret: the hotline's own,
12345, 400 and 800 services; everything shorter than seven digits stays anyway.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from types import MappingProxyType

from callqa.text import DIGIT_VALUES

FEWEST_DIGITS = 7  # a local number without area code; what is shorter names nobody
FEWEST_IN_QUOTE = 4  # of words that stand without the rest of the call: the other half may stand in the next quote
FEWEST_BLOTTED = 5  # part of a telephone, house, ticket or account number; a 工号 has three
MOST_PAUSE_MS = 20_000  # between two pieces of one number: the other side repeats a piece, or pen and paper are fetched
MASK = "*"


class PrivateKind(StrEnum):
    """What a number is, as far as it shows."""

    MOBILE = "mobile"
    LANDLINE = "landline"
    ID_CARD = "id_card"
    BANK_CARD = "bank_card"
    NUMBER = "number"


# How many digits stay readable in front and behind, so that two people can tell which number is meant.
_SHOWN = {
    PrivateKind.MOBILE: (3, 4),
    PrivateKind.LANDLINE: (3, 4),
    PrivateKind.ID_CARD: (3, 2),
    PrivateKind.BANK_CARD: (0, 4),
    PrivateKind.NUMBER: (2, 2),
}

# What recognition writes for spoken digits; counted only beside a digit.
_SOFT = {"要": "1", "腰": "1", "妖": "1", "吆": "1", "夭": "1", "洞": "0", "灵": "0", "拐": "7", "勾": "9", "酒": "9"}
_DIGITS = {**{char: str(value) for char, value in DIGIT_VALUES.items()}, **{str(n): str(n) for n in range(10)}} | {
    chr(0xFF10 + n): str(n) for n in range(10)
}
_D, _S = "".join(_DIGITS), "".join(_SOFT)
# Characters, folded as searches fold them, without which no text touches a private number.
MAY_BE_PRIVATE = frozenset("0123456789x叉" + "".join(_SOFT))
_ATOM = re.compile(f"[{_D}{_S}]*[{_D}][{_D}{_S}]*(?:[xXｘＸ叉](?![a-zA-Z]))?")
_SIDE_BY_SIDE = re.compile(rf"[{_D}](?:[\s，。、,.-]*[{_D}])+")
# What may stand between two pieces of one number.
_BETWEEN = re.compile(
    r"(?:[\s，。、,.·/_\-—–~～…！!；;：:()（）+]|[嗯呃啊额哦唔诶欸呀哎]|那个|这个|然后|接着|再来?是?|后面是?|后边是?|接下来是?|就是|"
    r"是的?|对的?|好的?|没错|还有|区号|转|杠|横|减|空格){0,12}"
)
_SEEN_BEFORE_CHARS, _BEFORE_CHARS = 24, 12
_CUE = re.compile(
    r"来电|电话|手机|座机|固话|号码|联系(?:方式|人)|打给|拨打?|回拨|致电|微信|卡号|账号|帐号|身份证|银行卡"
)
# 您的电话是: what follows is that number, whatever recognition made of one of its digits.
_ANNOUNCED = re.compile(r"(?:电话|手机|座机|号码|联系方式|卡号|账号|身份证)号?(?:就?是不是|就?是|为|[：:])[\s，,]*$")
_MISHEARD = re.compile(r"[\s，,、-]*[\u4e00-\u9fff]{1,2}[\s，,、-]*")
_COUNTED = frozenset("年月日号点天楼层栋幢座元块吨度米")  # what stands before these is whole
_LONGEST_PHONE = 11
_GROUPED = re.compile(
    r"(?:1[3-9]\d|0\d{2,3})(?:-\d{2,5}){1,3}(?!-?\d)"
)  # as recognition writes telephone numbers and nothing else
_ASKED = re.compile(r"电话|手机|座机|号码|联系方式|卡号|账号|身份证")
_OTHER_NUMBER = re.compile(
    r"(?:工单|单号|编号|户号|用户号|客户号|表号|水表|尾号|流水|文号|合同号?|发票号?|订单号?|邮编|条码|序列号|受理号|SW)"
    r"(?:号码|编号|号|编码)?(?:就?是|为|[：:])?[\s，,]*$",
    re.IGNORECASE,
)
_MEASURED = re.compile(r"\s*(?:楼|层|栋|幢|座|户|号楼|单元|天|年|月|点|度|吨|块|元|立方|方|公里|米|毫米|人|家|次)")
_GLUED_BEFORE = frozenset("万唯统第之进")  # 万一, 唯一 … before a number
_AREA_3 = re.compile(r"(?:86)?0(?:10|2[0-9])[2-8]\d{7}")
_AREA_4 = re.compile(r"(?:86)?0[3-9]\d{2}[2-8]\d{6,7}")
_MOBILE = re.compile(r"(?:00)?(?:86)?0?1[3-9]\d{9}")
# 400 and 800 services, and short public numbers with an area code (027 96510).
_SERVICE = re.compile(r"[48]00\d{7}|0(?:10|2\d|[3-9]\d{2})(?:9\d{4}|12\d{3}|1[0-2]\d)")
_DATED = re.compile(r"20[0-4]\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])\d{0,6}")
_ID_CARD = re.compile(r"[1-8]\d{5}(?:19|20)\d{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])\d{3}[\dX]")
_ID_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
_LONGEST, _SHORTEST = 19, 6  # of the numbers that are told by their form


@dataclass(frozen=True, slots=True)
class Turn:
    """What one speaker said without a stop."""

    speaker: str
    start_ms: int
    end_ms: int
    text: str


@dataclass(frozen=True, slots=True)
class PrivatePart:
    """[start, end) of one turn's text belongs to a private number; hidden: the characters that a mask replaces."""

    start: int
    end: int
    kind: PrivateKind
    hidden: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class _Digit:
    turn: int
    at: int
    value: str
    starts: bool  # a number may begin here
    ends: bool  # a number may end here


@dataclass(frozen=True, slots=True)
class _Atom:
    """Digits that stand together in one turn."""

    turn: int
    start: int
    end: int


def find_private(turns: Sequence[Turn]) -> tuple[tuple[PrivatePart, ...], ...]:
    """The private parts of each turn, in order. turns: one conversation in order of start."""
    found: list[list[PrivatePart]] = [[] for _ in turns]
    for run in _runs(turns):
        digits = [digit for atom in run for digit in _digits(turns, atom)]
        for first, last, kind in _numbers(turns, digits):
            for turn, part in _parts(digits[first:last], kind):
                found[turn].append(part)
    return tuple(tuple(sorted(parts, key=lambda part: part.start)) for parts in found)


def surely_public(text: str, start: int, end: int) -> bool:
    """Whether [start, end) of one turn touches no private part, whatever is said before and after the turn."""
    runs: list[tuple[int, int, int]] = []  # first, end, digits: of digits that may be one number
    for match in _ATOM.finditer(text):
        first, stop = match.span()
        if runs and (_BETWEEN.fullmatch(text, runs[-1][1], first) or _MISHEARD.fullmatch(text, runs[-1][1], first)):
            runs[-1] = (runs[-1][0], stop, runs[-1][2] + stop - first)
        else:
            runs.append((first, stop, stop - first))
    return not any(
        first < end
        and start < stop
        and (n_digits >= _SHORTEST or _BETWEEN.fullmatch(text, 0, first) or _BETWEEN.fullmatch(text, stop))
        for first, stop, n_digits in runs
    )


def find_suspect(turns: Sequence[Turn], fewest: int = FEWEST_DIGITS) -> tuple[tuple[PrivatePart, ...], ...]:
    """Every string of digits as long as somebody's number that nothing marks as something else, though pauses stand in it
    and no word tells what it is: recognition may have misheard the word. Too much for masking; right for taking out sound.
    """
    found: list[list[PrivatePart]] = [[] for _ in turns]
    for run in _runs(turns):
        digits = [digit for atom in run for digit in _digits(turns, atom)]
        if len(digits) >= fewest and not _is_something_else(turns, digits):
            for turn, part in _parts(digits, PrivateKind.NUMBER):
                found[turn].append(part)
    return tuple(map(tuple, found))


def private_in(text: str) -> tuple[PrivatePart, ...]:
    """The private parts of a text that stands alone."""
    return find_private([Turn("", 0, 0, text)])[0]


def masked(text: str, parts: Sequence[PrivatePart]) -> str:
    """The text with its private parts masked; as long as it was, so that places in it stay right."""
    chars = list(text)
    for part in parts:
        for at in part.hidden:
            chars[at] = MASK
    return "".join(chars)


def is_masked(text: str, whole: str) -> bool:
    """Whether text is `whole` with parts of it replaced by runs of stars (three stars or more in all: 5*3 is no mask)."""
    first, *rest = re.split(r"\*+", text)
    if text == whole or text.count(MASK) < 3 or not whole.startswith(first):
        return False
    at = len(first)
    for part in rest[:-1]:
        found = whole.find(part, at + 1)  # a run of stars hides one character at least
        if found < 0:
            return False
        at = found + len(part)
    return whole.endswith(rest[-1]) and len(whole) - len(rest[-1]) > at


def mask_text(text: str) -> str:
    """A text that stands alone, masked."""
    return masked(text, private_in(text))


def number_pieces(turns: Sequence[Turn]) -> dict[str, tuple[int, ...]]:
    """What was said of private numbers, turn by turn, as written -> which of its characters are hidden."""
    found: dict[str, tuple[int, ...]] = {}
    for turn, parts in zip(turns, find_private(turns), strict=True):
        for part in parts:
            if part.end - part.start > 1:
                found[turn.text[part.start : part.end]] = tuple(at - part.start for at in part.hidden)
    return found


def mask_quote(text: str, pieces: Mapping[str, tuple[int, ...]] = MappingProxyType({})) -> str:
    """A stretch of a conversation that is shown without the rest, masked, as long as it was. pieces: of that conversation.

    Half a number tells nothing of itself; so any digits that may be one are hidden, unless something else is known of them.
    """
    chars, known = list(text), set[int]()
    for part in private_in(text):
        _hide(chars, known, part.start, part.end, part.hidden)
    for piece, hidden in pieces.items():
        for match in re.finditer(re.escape(piece), text):
            _hide(chars, known, *match.span(), [match.start() + at for at in hidden])
    for part in find_suspect([Turn("", 0, 0, text)], FEWEST_IN_QUOTE)[0]:
        if known.isdisjoint(range(part.start, part.end)):
            _hide(chars, known, part.start, part.end, range(part.start, part.end))
    return "".join(chars)


def without_digits(text: str) -> str:
    """The text with MASK for all digits that stand side by side, as long as it was; one alone (一起) tells nothing."""
    return _SIDE_BY_SIDE.sub(lambda found: re.sub(rf"[{_D}]", MASK, found[0]), text)


def _hide(chars: list[str], known: set[int], start: int, end: int, hidden: Iterable[int]) -> None:
    for at in hidden:
        chars[at] = MASK
    known.update(range(start, end))


def blot_numbers(text: str, mark: str) -> str:
    """A text that stands alone, with one mark in place of each number of FEWEST_BLOTTED digits or more, whatever it is.

    For what is read by many: a ticket's or a house's number leads to a person too.
    """
    turns = [Turn("", 0, 0, text)]
    kept, at = [], 0
    for run in _runs(turns):
        digits = [digit for atom in run for digit in _digits(turns, atom)]
        if len(digits) >= FEWEST_BLOTTED:
            sure = [digit.at for digit in digits if text[digit.at] not in _SOFT]
            kept += [text[at : sure[0]], mark]
            at = sure[-1] + 1
    return "".join([*kept, text[at:]])


def _runs(turns: Sequence[Turn]) -> Iterator[list[_Atom]]:
    """Atoms of one speaker that may be pieces of one number."""
    by_speaker: dict[str, list[_Atom]] = {}
    for index, turn in enumerate(turns):
        found = (_Atom(index, *match.span()) for match in _ATOM.finditer(turn.text))
        by_speaker.setdefault(turn.speaker, []).extend(found)
    own = {speaker: [i for i, turn in enumerate(turns) if turn.speaker == speaker] for speaker in by_speaker}
    for speaker, atoms in by_speaker.items():
        following = dict(pairwise(own[speaker]))
        run: list[_Atom] = []
        for atom in atoms:
            if run and not (_joined(turns, run[-1], atom, following) or _goes_on(turns, run, atom)):
                yield run
                run = []
            run.append(atom)
        if run:
            yield run


def _joined(turns: Sequence[Turn], one: _Atom, other: _Atom, following: dict[int, int]) -> bool:
    if one.turn == other.turn:
        return _BETWEEN.fullmatch(turns[one.turn].text, one.end, other.start) is not None
    here, there = turns[one.turn], turns[other.turn]
    if _BETWEEN.fullmatch(here.text, one.end) is None or _BETWEEN.fullmatch(there.text, 0, other.start) is None:
        return False
    between = following.get(one.turn)
    while between is not None and between != other.turn:  # own turns of fillers alone
        if _BETWEEN.fullmatch(turns[between].text) is None:
            return False
        between = following.get(between)
    return there.start_ms - here.end_ms <= MOST_PAUSE_MS


def _goes_on(turns: Sequence[Turn], run: Sequence[_Atom], atom: _Atom) -> bool:
    """Whether a number was announced just before the run, is not whole yet, and only misheard characters stand between."""
    text, first, last = turns[atom.turn].text, run[0], run[-1]
    if first.turn != atom.turn or sum(each.end - each.start for each in run) >= _LONGEST_PHONE:
        return False
    between = text[last.end : atom.start]
    return (
        _MISHEARD.fullmatch(between) is not None
        and between[:1] not in _COUNTED
        and _ANNOUNCED.search(text, 0, first.start) is not None
    )


def _digits(turns: Sequence[Turn], atom: _Atom) -> Iterator[_Digit]:
    text = turns[atom.turn].text
    first, last = atom.start, atom.end - 1
    starts, ends = {first}, {last}
    while text[first] in _SOFT and first < last:  # 我要一三八…: the verb is no digit
        first += 1
        starts.add(first)
    if text[atom.start] == "一" and text[: atom.start][-1:] in _GLUED_BEFORE:
        starts.add(atom.start + 1)
    while text[last] in _SOFT and last > first:
        last -= 1
        ends.add(last)
    if (
        text[last] in "一两xXｘＸ叉"
        and last > first
        and (text[last] not in "一两" or text[atom.end : atom.end + 1].isalpha())
    ):
        ends.add(last - 1)  # …六三五八一定打
    for at in range(atom.start, atom.end):
        value = _DIGITS.get(text[at]) or _SOFT.get(text[at]) or "X"
        yield _Digit(atom.turn, at, value, at in starts, at in ends)


def _numbers(turns: Sequence[Turn], digits: Sequence[_Digit]) -> Iterator[tuple[int, int, PrivateKind]]:
    """(first, last, kind) of the private numbers in a run; what is told by its form before what is only long."""
    at = free = 0
    while at < len(digits):
        match = _by_form(turns, digits, at) if digits[at].starts else None
        if match is None:
            at += 1
            continue
        yield from _by_length(turns, digits, free, at)
        end, kind = match
        if kind is not None:
            yield at, end, kind
        at = free = end
    yield from _by_length(turns, digits, free, len(digits))


def _by_form(turns: Sequence[Turn], digits: Sequence[_Digit], at: int) -> tuple[int, PrivateKind | None] | None:
    """Where the number that begins here ends, and its kind (None: public); the longest form first."""
    for end in range(min(len(digits), at + _LONGEST), at + _SHORTEST - 1, -1):
        if not digits[end - 1].ends:
            continue
        value = "".join(digit.value for digit in digits[at:end])
        if _SERVICE.fullmatch(value):
            return end, None
        kind = _kind(value)
        if kind is PrivateKind.ID_CARD or (kind and not _named_otherwise(turns, digits[at])):
            return end, kind
    return None


def _kind(value: str) -> PrivateKind | None:
    if _ID_CARD.fullmatch(value) and id_card_fits(value):
        return PrivateKind.ID_CARD
    if "X" in value:
        return None
    if _MOBILE.fullmatch(value):
        return PrivateKind.MOBILE
    if _AREA_3.fullmatch(value) or _AREA_4.fullmatch(value):
        return PrivateKind.LANDLINE
    if 16 <= len(value) <= 19 and value[0] in "34569" and luhn_fits(value):
        return PrivateKind.BANK_CARD
    return None


def id_card_fits(value: str) -> bool:
    """Whether the last character of an 18-character ID number is the right one (GB 11643-1999)."""
    total = sum(weight * int(char) for weight, char in zip(_ID_WEIGHTS, value, strict=False))
    return "10X98765432"[total % 11] == value[17]


def luhn_fits(value: str) -> bool:
    """Whether a card number's last digit is the right one (ISO/IEC 7812-1)."""
    total = 0
    for place, char in enumerate(reversed(value)):
        digit = int(char) * (1 + place % 2)
        total += digit - 9 if digit > 9 else digit
    return total % 10 == 0


def _by_length(
    turns: Sequence[Turn], digits: Sequence[_Digit], first: int, end: int
) -> Iterator[tuple[int, int, PrivateKind]]:
    """Strings of digits that are long enough to be somebody's number and are not marked as something else."""
    if end - first >= FEWEST_DIGITS and _cued(turns, digits[first]):
        if not _is_something_else(turns, digits[first:end]):
            yield first, end, _of_length(digits[first:end])
        return
    at = first
    while at < end:
        stop = at + 1
        while stop < end and _adjacent(digits[stop - 1], digits[stop]):
            stop += 1
        if stop - at >= FEWEST_DIGITS and not _is_something_else(turns, digits[at:stop]):
            yield at, stop, _of_length(digits[at:stop])
        at = stop


def _adjacent(one: _Digit, other: _Digit) -> bool:
    return one.turn == other.turn and other.at == one.at + 1


def _of_length(digits: Sequence[_Digit]) -> PrivateKind:
    return PrivateKind.LANDLINE if len(digits) == 8 and digits[0].value in "2345678" else PrivateKind.NUMBER


def _before(turns: Sequence[Turn], digit: _Digit, n_chars: int) -> str:
    return turns[digit.turn].text[max(0, digit.at - n_chars) : digit.at]


def _cued(turns: Sequence[Turn], digit: _Digit) -> bool:
    """Whether the words before speak of a number of that kind, or somebody has just asked for one, or its writing tells."""
    if _GROUPED.match(turns[digit.turn].text, digit.at):
        return True
    asked = digit.turn > 0 and _ASKED.search(turns[digit.turn - 1].text) is not None
    return asked or _CUE.search(_before(turns, digit, _SEEN_BEFORE_CHARS)) is not None


def _named_otherwise(turns: Sequence[Turn], digit: _Digit) -> bool:
    return _OTHER_NUMBER.search(_before(turns, digit, _BEFORE_CHARS)) is not None


def _is_something_else(turns: Sequence[Turn], digits: Sequence[_Digit]) -> bool:
    if _named_otherwise(turns, digits[0]):
        return True
    last = digits[-1]
    if len(digits) < 10 and _MEASURED.match(turns[last.turn].text, last.at + 1):
        return True
    value = "".join(digit.value for digit in digits)
    return _DATED.fullmatch(value) is not None and _CUE.search(_before(turns, digits[0], _BEFORE_CHARS)) is None


def _parts(digits: Sequence[_Digit], kind: PrivateKind) -> Iterator[tuple[int, PrivatePart]]:
    """The number as one part a turn."""
    front, behind = _SHOWN[kind]
    if len(digits) < 10:
        front, behind = min(front, 2), min(behind, 2)
    covered = digits[front : len(digits) - behind]
    for turn in dict.fromkeys(digit.turn for digit in digits):
        here = [digit.at for digit in digits if digit.turn == turn]
        hidden = tuple(digit.at for digit in covered if digit.turn == turn)
        yield turn, PrivatePart(here[0], here[-1] + 1, kind, hidden)
