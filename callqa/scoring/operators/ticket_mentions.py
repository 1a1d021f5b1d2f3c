"""What a call says of a field of its ticket, and how far that agrees with it.

What the citizen said counts; what the agent said, only where the citizen said nothing of it.
"""

import re
from collections.abc import Callable, Iterable
from itertools import islice

from callqa.matching import address_similarity, number_distance
from callqa.periods import from_ms
from callqa.scoring.condition_tree import Role
from callqa.scoring.facts import TicketFacts
from callqa.scoring.operators.entities import MATTERS, PHONE, find_entities
from callqa.scoring.operators.scene import Place, Scene
from callqa.scoring.satisfaction import SATISFACTION_ORDER, levels_said, steps_apart
from callqa.text import normalised
from callqa.units import MATTER_LABELS

_MATTER_CODES = {label: code for code, label in MATTER_LABELS.items()}
_SATISFACTION_QUESTION = re.compile(r"满意.{0,4}(吗|还是)|是否满意|评价")

# A mention: position of the utterance, the words, and the score of these words against the ticket (0..100).
Mention = tuple[int, str, int]


def _by_citizen_first(scene: Scene, place: Place, read: Callable[[int], Iterable[Mention]]) -> list[Mention]:
    """What the citizen said of an element; what the agent said, only where the citizen said nothing of it."""
    for role in (Role.CITIZEN, Role.AGENT):
        mentions = [
            mention
            for position in place.positions
            if scene.utterances[position].speaker is role.speaker
            for mention in read(position)
        ]
        if mentions:
            return mentions
    return []


def _location_mentions(scene: Scene, place: Place, ticket: TicketFacts) -> list[Mention]:
    wanted = ticket.location if ticket.location.startswith(ticket.district) else ticket.district + ticket.location

    def read(position: int) -> Iterable[Mention]:
        text = scene.utterances[position].text
        spans = find_entities("location", text)
        if spans:
            said = text[spans[0][0] : spans[-1][1]]
            yield position, said, address_similarity(normalised(said), normalised(wanted))

    mentions = _by_citizen_first(scene, place, read)
    if len(mentions) > 1:  # an address given in pieces is judged as one as well
        whole = "".join(said for _, said, _ in mentions)
        mentions.append((mentions[0][0], whole, address_similarity(normalised(whole), normalised(wanted))))
    return mentions


_DIGITS = re.compile(r"\d{7,}")
_LAST_DIGITS, _FIRST_DIGITS = re.compile(r"\d{2,}$"), re.compile(r"\d{2,}")
MAX_PIECES = 4  # 138, 7120, 63, 58


def _phone_mentions(scene: Scene, place: Place, ticket: TicketFacts) -> list[Mention]:
    """Numbers that were said, a landline with or without its area code; one said in pieces is put together again."""

    def read(position: int) -> Iterable[Mention]:
        text = scene.utterances[position].text
        whole = [normalised(text[start:end]) for start, end in find_entities("phone", text)]
        # Seven or eight digits may be anything; only one that is the ticket's number is taken for one.
        local = [run for run in _DIGITS.findall(normalised(text)) if number_distance(run, ticket.contact_phone) == 0]
        pieces = () if whole or local else _phone_in_pieces(scene, position)
        for said in (*whole, *local):
            yield position, said, _number_score(said, ticket.contact_phone)
        for said, least in pieces:
            yield least, said, _number_score(said, ticket.contact_phone)

    return _by_citizen_first(scene, place, read)


def _number_score(said: str, written: str) -> int:
    distance = number_distance(said, written)
    return 0 if distance is None else max(0, round(100 * (1 - distance / max(len(said), 1))))


def _phone_in_pieces(scene: Scene, position: int) -> Iterable[tuple[str, int]]:
    """A number that begins at the end of one utterance and goes on in the next ones of the speaker, others' 嗯 between them.

    With it the utterance among these that was read least surely.
    """
    speaker = scene.utterances[position].speaker
    begun = _LAST_DIGITS.search(normalised(scene.utterances[position].text))
    if begun is None:
        return
    said, used = begun[0], [position]
    own = (p for p in range(position + 1, len(scene.utterances)) if scene.utterances[p].speaker is speaker)
    for following in islice(own, MAX_PIECES - 1):
        form = normalised(scene.utterances[following].text)
        piece = _FIRST_DIGITS.match(form)
        if piece is None:
            return
        said += piece[0]
        used.append(following)
        if PHONE.fullmatch(said):
            yield said, min(used, key=lambda p: (scene.reliable(scene.utterances[p]), scene.utterances[p].confidence))
            return
        if piece[0] != form:
            return


def matter_code(ticket: TicketFacts) -> str:
    """The code of the ticket's matter, which may be given as its label."""
    return _MATTER_CODES.get(ticket.matter_category, ticket.matter_category)


def _matter_mentions(scene: Scene, place: Place, ticket: TicketFacts) -> list[Mention]:
    code = matter_code(ticket)

    def read(position: int) -> Iterable[Mention]:
        text = scene.utterances[position].text
        form = normalised(text)
        for category, pattern in MATTERS.items():
            match = re.search(pattern, form)
            if match is not None:
                yield position, match[0], 100 if category == code else 0

    return _by_citizen_first(scene, place, read)


def _satisfaction_mentions(scene: Scene, place: Place, ticket: TicketFacts) -> list[Mention]:
    mentions: list[Mention] = []
    asked = False
    for position in place.positions:
        utterance = scene.utterances[position]
        if utterance.speaker is Role.AGENT.speaker:
            asked = asked or _SATISFACTION_QUESTION.search(normalised(utterance.text)) is not None
            continue
        said = levels_said(utterance.text) if asked else frozenset()
        steps = steps_apart(said, ticket.satisfaction)
        if steps is not None:
            words = "或".join(level for level in SATISFACTION_ORDER if level in said)
            mentions.append((position, words, max(0, 100 - 40 * steps)))
    return mentions[:1]


# A time ahead (明天早上六点之前) and a habit (每天晚上八点) do not say when it happened.
_NOT_THEN_BEFORE = re.compile(r"(?:明[天早晚日]|后天|每[天晚日]).{0,4}$")
_NOT_THEN_AFTER = re.compile(r"钟?[之以]?前")
_HOUR = re.compile(r"(凌晨|早上|早晨|上午|中午|下午|傍晚|晚上|夜里|今晚|昨晚)?(\d{1,2})点(半)?")
_AFTERNOON = frozenset(("下午", "傍晚", "晚上", "夜里", "今晚", "昨晚"))
MINUTES_PER_DAY = 24 * 60
MINUTES_PER_POINT = 6  # platforms often note the time of the call: four hours off still leave 60 points


def _time_mentions(scene: Scene, place: Place, ticket: TicketFacts) -> list[Mention]:
    if ticket.occurred_at_ms is None:
        return []
    local = from_ms(ticket.occurred_at_ms)
    noted = local.hour * 60 + local.minute

    def read(position: int) -> Iterable[Mention]:
        form = normalised(scene.utterances[position].text)
        for match in _HOUR.finditer(form):
            if _NOT_THEN_BEFORE.search(form[: match.start()]) or _NOT_THEN_AFTER.match(form[match.end() :]):
                continue
            hour = int(match[2]) % 24
            options = [hour + 12] if match[1] in _AFTERNOON and hour < 12 else [hour]
            if not match[1] and hour < 12:
                options.append(hour + 12)
            apart = min(_minutes_apart(h * 60 + (30 if match[3] else 0), noted) for h in options)
            yield position, match[0], max(0, 100 - apart // MINUTES_PER_POINT)

    return _by_citizen_first(scene, place, read)


def _minutes_apart(a: int, b: int) -> int:
    apart = abs(a - b) % MINUTES_PER_DAY
    return min(apart, MINUTES_PER_DAY - apart)


def _name_mentions(scene: Scene, place: Place, ticket: TicketFacts) -> list[Mention]:
    wanted = ticket.citizen_name

    def read(position: int) -> Iterable[Mention]:
        text = scene.utterances[position].text
        for start, end in find_entities("name", text):
            said = text[start:end]
            yield position, said, 100 if wanted in said else 70 if wanted[:1] in said else 0

    return _by_citizen_first(scene, place, read)


MENTIONS: dict[str, Callable[[Scene, Place, TicketFacts], list[Mention]]] = {
    "location": _location_mentions,
    "contact_phone": _phone_mentions,
    "matter_category": _matter_mentions,
    "satisfaction": _satisfaction_mentions,
    "occurred_at": _time_mentions,
    "citizen_name": _name_mentions,
}
