"""满意度 as people say it: 不太满意 is 不满意, 挺满意的 is 满意 or better, 不是不满意 is neither praise nor blame.

What is said seldom is one of the five levels of a ticket, so that a sentence gives the levels it may stand for. One that
praises and blames, or names none, gives none. What this does not do: irony, or an answer without the word (还行吧, 可以).
"""

import re

from callqa.text import normalised

BEST, GOOD, FAIR, BAD, WORST = SATISFACTION_ORDER = ("非常满意", "满意", "基本满意", "不满意", "非常不满意")
_BLAME = frozenset((BAD, WORST))

# In this order: the first that ends in this 满意 says what it means.
_MEANINGS = tuple(
    (re.compile(f"(?:{said})满意"), frozenset(levels))
    for said, levels in (
        ("(?:不是|不能说|没有|没什么|没啥|并非|谈不上|说不上)(?:很|太|什么)?不", (GOOD, FAIR)),
        ("(?:非常|极其|极度|极)(?:的|地)?不", (WORST,)),
        ("(?:很|特别|十分|太|相当|真的?|实在)(?:的|地)?不", (BAD, WORST)),
        ("不(?:太|怎么|是很|是太|是特别|是非常|是那么|是|大|够|算|能说|能算|那么|很|非常|十分|特别|会)?", (BAD,)),
        ("(?:谈不上|说不上|算不上|没法|无法|难以|怎么会|怎么能|怎么可能|哪里|哪能)(?:很|太|让我|叫我)?", (BAD,)),
        ("没有?(?:办法|觉得|感到|让我|叫我)?", (BAD,)),
        ("(?:非常|特别|十分|极其|相当|超级|百分之百|100%|100分)(?:的|地)?(?:之)?", (BEST,)),
        ("(?:很|挺|蛮|好|真|太)(?:的|地|是)?", (BEST, GOOD)),
        ("(?:基本上?|大体上?|大致上?|勉强|凑合)(?:还|是|算|可以|也)*", (FAIR,)),
        ("(?:比较|还算|还是|还|算是|也算|总体上?|总的来说)(?:还|是|算|比较|挺)*", (GOOD, FAIR)),
        ("", (GOOD,)),
    )
)


def levels_said(text: str) -> frozenset[str]:
    """The levels that a sentence may stand for; empty when it names none, or praise and blame."""
    form = normalised(text)
    found: set[str] = set()
    for place in re.finditer("满意", form):
        begin = max((m.end() for m in re.finditer("满意", form[: place.start()])), default=0)
        found |= _meaning(form[begin : place.end()])
    return frozenset() if found & _BLAME and found - _BLAME else frozenset(found)


def _meaning(piece: str) -> frozenset[str]:
    """What the 满意 at the end of a piece means."""
    for pattern, levels in _MEANINGS:
        if any(match.end() == len(piece) for match in pattern.finditer(piece)):
            return levels
    return frozenset()


def steps_apart(said: frozenset[str], written: str) -> int | None:
    """How many levels lie between what was said and what is written; None where nothing was said or written."""
    if not said or written not in SATISFACTION_ORDER:
        return None
    noted = SATISFACTION_ORDER.index(written)
    return min(abs(SATISFACTION_ORDER.index(level) - noted) for level in said)
