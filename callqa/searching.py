"""What is searched: transcripts folded to plain characters, cut into pieces of one and two neighbours. Pure.

Folding keeps Han characters, ASCII letters and digits; case and width go, and every digit becomes an ASCII one (幺三八
and 138 are the same).

SQLite indexes tokens of a whole call: a pair of neighbours with a tag that says who said it, and whether it belongs to a
private number, so that who may not see the number does not find it either. A single character is found as the beginning
of pairs; only common ones are tokens of their own, since too many pairs begin with them.

PostgreSQL indexes each utterance by itself, by one number for each pair (`keys_of`). A number belongs to one group of
32,768 transcripts, so that the newest calls can be looked through first; within a group pairs share numbers, others in
each group, and every utterance found is looked at. A single character has as many numbers as `_classes` says: many for
a common one, lest rare words that begin with it share theirs with frequent ones. Its functions callqa_fold and
callqa_search_keys do what `fold_text` and `keys_of` do here; a test compares them.
"""

import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain

from callqa.privacy import MAY_BE_PRIVATE, PrivatePart, Turn
from callqa.speech import Speaker
from callqa.text import DIGIT_VALUES, is_han, simplified

INDEX_VERSION = 5  # raise it when ids, folding, tokens or the finding of private numbers change: the index is made anew
MOST_TERMS, MOST_TERM_CHARS = 8, 32
_PUBLIC = {Speaker.CITIZEN: "c", Speaker.AGENT: "a", Speaker.UNKNOWN: "u"}
_PRIVATE = {Speaker.CITIZEN: "x", Speaker.AGENT: "y", Speaker.UNKNOWN: "z"}
# The commonest characters of a talk on a water hotline, in three steps. Both indexes are made with them.
COMMON = (
    "的一是了不在有我你这个那水们来",
    "到说时要就出会可也好对还没人什么都去里以样话今天下上打电给为请问能多",
    "表停号压管修楼家知道现已经后前边面然如果因所但些几点费麻烦谢大小次情况查看单区路门",
)
_COMMON = frozenset("".join(COMMON))
GROUP_BITS, KEY_BITS = 15, 20  # transcripts of one group, numbers within it: 67 million transcripts in all
_FIRST_FACTOR, _SECOND_FACTOR, _GROUP_FACTOR, _FEWEST_CLASSES = 9973, 12289, 9176, 127
_MORE_CLASSES = bytearray(1024)  # by a character's last ten bits, in fours
for _chars, _more in zip(reversed(COMMON), (24, 119, 247), strict=True):
    for _char in _chars:
        _MORE_CLASSES[ord(_char) & 1023] = _more
# Where Unicode has what folds to Han characters: radicals, enclosed and squared ones, compatibility ideographs.
_ODD_HAN = (
    range(0x2E80, 0x3100),
    range(0x3190, 0x3400),
    range(0xF900, 0xFB00),
    range(0x1F200, 0x1F300),
    range(0x2F800, 0x2FA20),
)
_DIGITS = str.maketrans({char: str(value) for char, value in DIGIT_VALUES.items()})


@dataclass(frozen=True, slots=True)
class Folded:
    """A folded text and the place of each of its characters in the original."""

    text: str
    places: tuple[int, ...]


def _is_kept(char: str) -> bool:
    return (char.isascii() and char.isalnum()) or "\u3400" <= char <= "\u4dbf" or "\u4e00" <= char <= "\u9fff"


class _Table(dict[int, str]):
    """What each character becomes; worked out when it is first met."""

    def __missing__(self, code: int) -> str:
        plain = unicodedata.normalize("NFKC", chr(code)).translate(_DIGITS)
        self[code] = "".join(filter(_is_kept, plain)).lower()
        return self[code]


_FOLDED = _Table()


def fold_text(text: str) -> str:
    """ASCII letters, digits and Han characters only; lower case, ASCII width, all digits as 0 to 9."""
    return text.translate(_FOLDED)


def spellings(char: str) -> list[str]:
    """Every character that folds to a Han character or to words with it: itself, its compatibility forms, ㈰ and ㏠."""
    return [char, *_spellings().get(char, ())]


@cache
def _spellings() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for odd in map(chr, chain.from_iterable(_ODD_HAN)):
        for char in fold_text(odd):
            found.setdefault(char, []).append(odd)
    return found


def fold(text: str) -> Folded:
    """The same with the place of each character."""
    folded = [_FOLDED[ord(char)] for char in text]
    return Folded("".join(folded), tuple(at for at, plain in enumerate(folded) for _ in plain))


def terms_of(query: str) -> tuple[str, ...]:
    """The folded words of a query: parted by spaces, each searched as a phrase; all must occur in a call."""
    folded = (fold_text(simplified(word[:MOST_TERM_CHARS])) for word in query.split())
    return tuple(dict.fromkeys(term for term in folded if term))[:MOST_TERMS]


def index_words(turns: Sequence[Turn], private: Sequence[Sequence[PrivatePart]]) -> str:
    """The text that is indexed: one line a stretch of an utterance, its tag first.

    A private stretch takes its neighbours along, so that the tokens across its borders are private as well. What is said
    between the pieces of a number (幺三八那个七幺二零) tells nothing of it.
    """
    lines = []
    for turn, parts in zip(turns, private, strict=True):
        speaker = Speaker(turn.speaker)
        if not parts:
            plain = fold_text(turn.text)
            lines += [_PUBLIC[speaker] + plain] if plain else []
            continue
        folded = fold(turn.text)
        secret = [
            char in MAY_BE_PRIVATE and any(part.start <= at < part.end for part in parts)
            for char, at in zip(folded.text, folded.places, strict=True)
        ]
        start, n = 0, len(secret)
        while start < n:
            end = start + 1
            while end < n and secret[end] == secret[start]:
                end += 1
            if secret[start]:
                lines.append(_PRIVATE[speaker] + folded.text[max(0, start - 1) : end + 1])
            else:
                lines.append(_PUBLIC[speaker] + folded.text[start:end])
            start = end
    return "\n".join(lines)


def tokens_of_words(words: str) -> list[str]:
    """All different tokens of an indexed text, sorted."""
    tokens: set[str] = set()
    for line in words.split("\n"):
        tag, run = line[:1], line[1:]
        tokens.update([tag + run[i : i + 2] for i in range(len(run))])  # the last one alone
        tokens.update([tag + char for char in _COMMON.intersection(run)])
    return sorted(tokens)


@dataclass(frozen=True, slots=True)
class Token:
    """One token to look for. begins: any token that begins so."""

    text: str
    begins: bool = False


def token_groups(terms: Sequence[str], speaker: Speaker | None, *, private: bool) -> list[list[Token]]:
    """What an indexed call must have: of every group at least one token. private: private numbers are looked in too."""
    speakers = (speaker,) if speaker else tuple(Speaker)
    tags = [tags[each] for tags in ((_PUBLIC, _PRIVATE) if private else (_PUBLIC,)) for each in speakers]
    pieces = dict.fromkeys(piece for term in terms for piece in _pieces(term))
    return [[Token(tag + piece, len(piece) == 1 and piece not in _COMMON) for tag in tags] for piece in pieces]


def _pieces(term: str) -> Iterator[str]:
    if len(term) == 1:
        yield term
    for i in range(len(term) - 1):
        yield term[i : i + 2]


def keys_of(folded: str, transcript_id: int) -> list[int]:
    """PostgreSQL's number for each character of a folded text with its right neighbour."""
    group = transcript_id >> GROUP_BITS
    return [_key_of(folded[i : i + 2], group) for i in range(len(folded))]


def _key_of(piece: str, group: int) -> int:
    """The number of one character and its right neighbour; characters that share a class in one group part in another."""
    if len(piece) == 1:
        return _key(piece, 0, group)
    mixed = ord(piece[1]) * ((group * _GROUP_FACTOR + 12345) & 32767 | 1) >> 7
    return _key(piece[0], mixed % _classes(piece[0]), group)


def _key(first: str, second_class: int, group: int) -> int:
    within = (ord(first) * _FIRST_FACTOR + second_class * _SECOND_FACTOR) & ((1 << KEY_BITS) - 1)
    return (group << KEY_BITS) + within


def _classes(first: str) -> int:
    """How many classes the neighbours of a character are put in."""
    return _MORE_CLASSES[ord(first) & 1023] * 4 + _FEWEST_CLASSES


def term_keys(term: str, groups: Iterable[int]) -> list[list[int]]:
    """What an utterance with a term must have, by its group: one of a single character's numbers, all of a word's."""
    if len(term) == 1:
        return [[_key(term, each, group) for each in range(_classes(term))] for group in groups]
    pairs = list(dict.fromkeys(_pieces(term)))
    return [[_key_of(pair, group) for pair in pairs] for group in groups]


def needs_a_look(terms: Sequence[str]) -> bool:
    """Whether tokens alone do not prove the words: a phrase of three or more characters."""
    return any(len(term) > 2 for term in terms)


def seeds(terms: Sequence[str]) -> list[str]:
    """Characters of which every text with a hit has one: all spellings of the first Han character of each term.

    Empty where a term has no Han character.
    """
    firsts = [next(filter(is_han, term), "") for term in terms]
    return list(dict.fromkeys(chain.from_iterable(map(spellings, firsts)))) if all(firsts) else []


def hits_in(text: str, terms: Sequence[str], parts: Sequence[PrivatePart] = ()) -> list[tuple[int, int]]:
    """[start, end) of each place in the text where a term stands, in order, without overlap.

    parts: private parts that must not be found; a term with what numbers are made of does not count where it touches one.
    """
    plain = fold_text(text)
    if not any(term in plain for term in terms):
        return []
    folded = fold(text)
    hits: list[tuple[int, int]] = []
    for term in terms:
        barred = () if MAY_BE_PRIVATE.isdisjoint(term) else parts
        at = folded.text.find(term)
        while at >= 0:
            start, end = folded.places[at], folded.places[at + len(term) - 1] + 1
            if not any(start < part.end and part.start < end for part in barred):
                hits.append((start, end))
            at = folded.text.find(term, at + 1)
    joined: list[tuple[int, int]] = []
    for start, end in sorted(hits):
        if joined and start < joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return joined
