"""Which words sound like what was written: an index of words by toneless pinyin, with the confusions of telephone speech.

Pure. Knows sounds, not likelihood: repair.py weighs.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from typing import Final

from pypinyin import Style, pinyin

from callqa.text import syllables

MAX_WORD_CHARS: Final = 5  # of the language model's longer words hardly any is said on a hotline
_MAX_READINGS: Final = 3  # of one character; rarer ones only make false homophones
_INITIALS: Final = ("zh", "ch", "sh", *"bpmfdtnlgkhjqxrzcsyw")


def _table(text: str) -> Mapping[str, tuple[str, ...]]:
    """`b:p j:q,zh` as a mapping."""
    rows = (row.split(":") for row in text.split())
    return {sound: tuple(others.split(",")) for sound, others in rows}


# Pairs a telephone band (nothing above 3400 Hz) and southern Mandarin do not keep apart.
_NEAR_INITIALS: Final = _table("z:zh zh:z c:ch ch:c s:sh sh:s n:l l:n f:h h:f")
_NEAR_FINALS: Final = _table("an:ang ang:an en:eng eng:en in:ing ing:in uan:uang uang:uan ian:iang iang:ian")
# Looser pairs, as a small model mishears them: same place or manner of an initial, one step between finals.
_LOOSE_INITIALS: Final = _table(
    "b:p p:b d:t t:d g:k k:g m:n j:q,zh,x q:j,ch,x x:sh,q,s zh:ch,j ch:zh,q sh:ch,x z:c c:z s:x n:l l:r r:l h:k"
)
_LOOSE_FINALS: Final = _table(
    "an:ai,uan ang:ong,uang en:in,un eng:in,ong in:en,i ing:eng,i uan:an uang:ang ian:in iang:ang ong:eng,u,iong "
    "i:ing,in,v,ie,e u:v,ou,uo,ong e:uo,er,i uo:e,u,o o:uo,e ei:ui,ai ui:ei,i ai:ei,uai,an ao:ou,iao ou:ao,u "
    "iao:ao,iu,ia iu:iao,ou ie:i,ue,ian un:en,ong,ui a:ia,ua,ang,e ia:a,ian ua:a,uo ue:ie,uo"
)

Syllables = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Homophones:
    """Words by their toneless syllables."""

    by_sound: Mapping[Syllables, tuple[str, ...]]

    def words(self, sounds: Syllables) -> tuple[str, ...]:
        """Words said exactly so."""
        return self.by_sound.get(sounds, ())


def index_words(words: Iterable[str]) -> Homophones:
    """Index words of 1 to MAX_WORD_CHARS Han characters under every usual reading."""
    found: dict[Syllables, list[str]] = {}
    for word in words:
        if 0 < len(word) <= MAX_WORD_CHARS:
            for sounds in product(*(readings(char) for char in word)):
                found.setdefault(sounds, []).append(word)
    return Homophones({sounds: tuple(dict.fromkeys(same)) for sounds, same in found.items()})


@lru_cache(maxsize=30_000)
def readings(char: str) -> tuple[str, ...]:
    """The usual toneless readings of one character, the commonest first; () for anything but a Han character."""
    if not "\u4e00" <= char <= "\u9fff":
        return ()
    found = pinyin(char, style=Style.NORMAL, heteronym=True)[0]
    return tuple(dict.fromkeys(found))[:_MAX_READINGS]


def sound_twins(words: Iterable[str]) -> tuple[tuple[str, ...], ...]:
    """Groups of words that a telephone cannot keep apart: the same syllables but for those confusions."""
    groups: dict[Syllables, list[str]] = {}
    for word in dict.fromkeys(words):
        groups.setdefault(tuple(_blurred(sound) for sound in syllables(word)), []).append(word)
    return tuple(tuple(group) for group in groups.values() if len(group) > 1)


@lru_cache(maxsize=2_000)
def _blurred(sound: str) -> str:
    """One of the syllables that are near each other, for all of them."""
    initial = next((i for i in _INITIALS if sound.startswith(i)), "")
    final = sound[len(initial) :]
    return min((initial, *_NEAR_INITIALS.get(initial, ()))) + min((final, *_NEAR_FINALS.get(final, ())))


@lru_cache(maxsize=2_000)
def near(sound: str) -> tuple[str, ...]:
    """Syllables that are easily taken for this one, without itself: one confusion of initial or final."""
    initial = next((i for i in _INITIALS if sound.startswith(i)), "")
    final = sound[len(initial) :]
    other = [near_initial + final for near_initial in _NEAR_INITIALS.get(initial, ())]
    other += [initial + near_final for near_final in _NEAR_FINALS.get(final, ())]
    return tuple(other)


@lru_cache(maxsize=2_000)
def loosely_near(sound: str) -> tuple[str, ...]:
    """Syllables further off than `near`, without those: a small model mishears them now and then."""
    initial = next((i for i in _INITIALS if sound.startswith(i)), "")
    final = sound[len(initial) :]
    other = [loose + final for loose in _LOOSE_INITIALS.get(initial, ())]
    other += [initial + loose for loose in _LOOSE_FINALS.get(final, ())]
    return tuple(each for each in dict.fromkeys(other) if each not in near(sound))
