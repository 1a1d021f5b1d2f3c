"""What is searched: transcripts folded to plain characters, cut into pieces of one and two neighbours. Pure.

Folding keeps Han characters, ASCII letters and digits; case and width go, and every digit becomes an ASCII one (幺三八
and 138 are the same).

SQLite indexes tokens of a whole call: a piece with a tag that says who said it, and whether it belongs to a private
number, so that who may not see the number does not find it either. PostgreSQL indexes each utterance by itself, by
numbers made from its pieces (`key_of`); few thousand different ones a common character make rare pieces share a number,
and each utterance found is looked at. Its functions callqa_fold and callqa_search_keys do what `fold_text` and `keys_of`
do here; a test compares them.
"""

import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from callqa.privacy import PrivatePart, Turn
from callqa.speech import Speaker
from callqa.text import DIGIT_VALUES, simplified

INDEX_VERSION = 2  # raise it when ids, folding, tokens or the finding of private numbers change: the index is made anew
MOST_TERMS, MOST_TERM_CHARS = 8, 32
_PUBLIC = {Speaker.CITIZEN: "c", Speaker.AGENT: "a", Speaker.UNKNOWN: "u"}
_PRIVATE = {Speaker.CITIZEN: "x", Speaker.AGENT: "y", Speaker.UNKNOWN: "z"}
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

    A private stretch takes its neighbours along, so that the tokens across its borders are private as well.
    """
    lines = []
    for turn, parts in zip(turns, private, strict=True):
        speaker = Speaker(turn.speaker)
        folded = fold(turn.text)
        secret = [any(part.start <= at < part.end for part in parts) for at in folded.places]
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
        tokens.update(tag + char for char in run)
        tokens.update(tag + run[i : i + 2] for i in range(len(run) - 1))
    return sorted(tokens)


def token_groups(terms: Sequence[str], speaker: Speaker | None, *, private: bool) -> list[list[str]]:
    """What an indexed call must have: of every group at least one token. private: private numbers are looked in too."""
    speakers = (speaker,) if speaker else tuple(Speaker)
    tags = [tags[each] for tags in ((_PUBLIC, _PRIVATE) if private else (_PUBLIC,)) for each in speakers]
    pieces = dict.fromkeys(piece for term in terms for piece in _pieces(term))
    return [[tag + piece for tag in tags] for piece in pieces]


def _pieces(term: str) -> Iterator[str]:
    if len(term) == 1:
        yield term
    for i in range(len(term) - 1):
        yield term[i : i + 2]


def keys_of(folded: str) -> list[int]:
    """PostgreSQL's number for each character of a folded text with its right neighbour."""
    return [key_of(folded[i : i + 2]) for i in range(len(folded))]


def key_of(piece: str) -> int:
    """The number of one character and its right neighbour; the first is told by it, the second nearly."""
    return ord(piece[0]) * 64 + (ord(piece[1]) % 61 if len(piece) == 2 else 0)


def term_keys(term: str) -> list[int]:
    """What an utterance with a term must have: all of them; of a single character any one."""
    return [ord(term) * 64 + n for n in range(61)] if len(term) == 1 else keys_of(term)[:-1]


def needs_a_look(terms: Sequence[str]) -> bool:
    """Whether tokens alone do not prove the words: a phrase of three or more characters."""
    return any(len(term) > 2 for term in terms)


def hits_in(text: str, terms: Sequence[str], parts: Sequence[PrivatePart] = ()) -> list[tuple[int, int]]:
    """[start, end) of each place in the text where a term stands, in order, without overlap.

    parts: private parts that must not be found; a term that touches one does not count.
    """
    plain = fold_text(text)
    if not any(term in plain for term in terms):
        return []
    folded = fold(text)
    hits: list[tuple[int, int]] = []
    for term in terms:
        at = folded.text.find(term)
        while at >= 0:
            start, end = folded.places[at], folded.places[at + len(term) - 1] + 1
            if not any(start < part.end and part.start < end for part in parts):
                hits.append((start, end))
            at = folded.text.find(term, at + 1)
    joined: list[tuple[int, int]] = []
    for start, end in sorted(hits):
        if joined and start < joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return joined
