"""与工单一致: what was said of a ticket's fields against what the ticket says; the operator ticket_match."""

from collections.abc import Callable, Sequence

from callqa.matching import Address, parse_address
from callqa.periods import from_ms
from callqa.scoring.condition_tree import OperatorCall
from callqa.scoring.facts import TICKET_FIELD_LABELS, TicketFacts, ticket_value
from callqa.scoring.hearing import hidden_in, likeness, sought
from callqa.scoring.operators.entities import MATTERS
from callqa.scoring.operators.finding import Finding, Hit, State, not_checked
from callqa.scoring.operators.operator import Operator, ParamKind, ParamSpec
from callqa.scoring.operators.places import place_of
from callqa.scoring.operators.scene import Place, Scene
from callqa.scoring.operators.ticket_mentions import MENTIONS, matter_code
from callqa.scoring.spellings import spellings
from callqa.text import normalised
from callqa.units import MATTER_LABELS

# Of 13 calls every utterance with a wrongly written place name has a lower confidence.
SURE_OF_NAMES = 0.9
# Garbled names of the right place reach 0.55 to 1 of likeness.
NAMES_ALIKE = 0.55
MATCH_FIELDS = ("location", "contact_phone", "occurred_at", "matter_category", "satisfaction", "citizen_name")


def _match_field(call: OperatorCall, scene: Scene, place: Place, field: str) -> Finding:
    ticket = scene.facts.ticket
    label = TICKET_FIELD_LABELS[field]
    if ticket is None or not ticket_value(ticket, field):
        return Finding(State.UNSURE, f"工单没有{label}，无从比对")
    mentions = MENTIONS[field](scene, place, ticket)
    if not mentions:
        return Finding(State.UNSURE, f"通话中没有提到{label}，无从比对")
    position, said, score = max(mentions, key=lambda mention: mention[2])
    written = _written(ticket, field)
    note = f"工单{label}：{written}；一致度 {score}"
    hit = Hit(scene.evidence_of(position, call, note), position)
    if not scene.reliable(scene.utterances[position]):
        return Finding(State.UNSURE, f"{label}所在语句识别不可靠", (hit,))
    text = f"{label}：通话“{said}”，工单“{written}”，一致度 {score}"
    if score >= call.params.number("min_score"):
        return Finding(State.HIT, text, (hit,), (hit.evidence,))
    if _SOUNDS_ALIKE.get(field, _never)(scene, place, ticket, position):
        return Finding(State.UNSURE, f"{text}，但读音相近，请核听", (hit,), (hit.evidence,))
    return Finding(State.MISS, f"{text}，请核听", (hit,), (hit.evidence,))


def _never(_scene: Scene, _place: Place, _ticket: TicketFacts, _position: int) -> bool:
    return False


def _location_sounds_alike(scene: Scene, place: Place, ticket: TicketFacts, position: int) -> bool:
    """Whether the ticket's roads and places were named by sound, with no other house number.

    A speech engine writes place names as other words (百步亭, 摆不停); only where it was sure are they taken literally.
    """
    if scene.utterances[position].confidence >= SURE_OF_NAMES:
        return False
    speaker = scene.utterances[position].speaker
    said = [scene.utterances[p].text for p in place.positions if scene.utterances[p].speaker is speaker]
    address = parse_address(normalised(ticket.location))
    if _other_numbers(address, [parse_address(normalised(text)) for text in said]):
        return False
    names = [sought(name) for name in (*address.roads, address.place) if len(name) >= 2]
    weight = sum(name.n_known for name in names)
    alike = sum(name.n_known * max(likeness(name, text).score for text in said) for name in names)
    return weight > 0 and alike / weight >= NAMES_ALIKE


def _other_numbers(address: Address, said: Sequence[Address]) -> bool:
    """Whether a unit (号, 栋, 室) that the address has was only named with other numbers."""
    spoken = [number for one in said for number in one.numbers]
    for value, unit in address.numbers:
        values = {other for other, same in spoken if same == unit}
        if unit and values and value not in values:
            return True
    return False


def _matter_sounds_alike(scene: Scene, place: Place, ticket: TicketFacts, _position: int) -> bool:
    """Whether a word of the ticket's matter may stand behind what was written (紧盖 for 井盖)."""
    words = [said for part in MATTERS.get(matter_code(ticket), "").split("|") if part for said in spellings(part) or ()]
    return any(
        hidden_in(words, utterance.text, utterance.span.duration_ms, scene.trust(utterance)) is not None
        for utterance in (scene.utterances[position] for position in place.positions)
    )


# What may agree by sound where the words differ.
_SOUNDS_ALIKE: dict[str, Callable[[Scene, Place, TicketFacts, int], bool]] = {
    "location": _location_sounds_alike,
    "matter_category": _matter_sounds_alike,
}


def _written(ticket: TicketFacts, field: str) -> str:
    value = ticket_value(ticket, field)
    if field == "occurred_at" and isinstance(value, int):
        return f"{from_ms(value):%m月%d日 %H:%M}"
    if field == "matter_category":
        return MATTER_LABELS.get(str(value), str(value))
    return str(value)


def ticket_match(call: OperatorCall, scene: Scene) -> Finding:
    """Hit when every field agrees with what was said; unsure where the call does not mention it."""
    if scene.facts.ticket is None:
        return not_checked("通话未关联工单")
    blocked = scene.blocked(call)
    if blocked:
        return blocked
    place = place_of(scene, call)
    parts = [_match_field(call, scene, place, field) for field in call.params.texts("fields")]
    return _worst(parts)


def _worst(parts: Sequence[Finding]) -> Finding:
    """A miss decides, then doubt; a hit needs all of them."""
    for state in (State.MISS, State.NOT_CHECKED, State.UNSURE, State.HIT):
        chosen = [part for part in parts if part.state is state]
        if chosen:
            return Finding(
                state,
                "；".join(part.explanation for part in chosen),
                tuple(hit for part in chosen for hit in part.hits),
                tuple(evidence for part in chosen for evidence in part.searched),
            )
    return not_checked("没有要比对的字段")


ROWS = (
    Operator(
        "ticket_match",
        "与工单一致",
        "ticket",
        (
            ParamSpec("fields", ParamKind.CHOICES, required=True, choices=MATCH_FIELDS),
            ParamSpec("min_score", ParamKind.NUMBER, required=True, minimum=0, maximum=100),
        ),
        "各字段与转写中的对应内容一致度 ≥ min_score；转写中未提及该要素时为 unsure",
        ticket_match,
        lambda call: (
            "、".join(TICKET_FIELD_LABELS[field] for field in call.params.texts("fields"))
            + f"，一致度不低于 {call.params.number('min_score'):g}"
        ),
    ),
)
