"""要素: places, times, phone numbers, names and matters in what was said; the operators entity and ticket_match.

Found by patterns, not by a language model: they say that an element was mentioned, not that it is complete. ticket_match
compares what the citizen said (what the agent said, only where the citizen said nothing) with the linked ticket.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from itertools import islice

from callqa.matching import Address, address_similarity, number_distance, parse_address
from callqa.periods import from_ms
from callqa.scoring.criteria import OperatorCall, Role
from callqa.scoring.facts import TICKET_FIELD_LABELS, TicketFacts, ticket_value
from callqa.scoring.hearing import hidden_in, likeness, sought
from callqa.scoring.operators.finding import Finding, Hit, State, not_checked
from callqa.scoring.operators.operator import Operator, ParamKind, ParamSpec
from callqa.scoring.operators.places import place_of
from callqa.scoring.operators.scene import Place, Scene
from callqa.scoring.operators.unheard import find_unheard
from callqa.scoring.satisfaction import SATISFACTION_ORDER, levels_said, steps_apart
from callqa.scoring.spellings import spellings
from callqa.text import normalised, normalised_with_positions
from callqa.units import MATTER_LABELS

ENTITY_LABELS = {"location": "地点", "time": "时间", "phone": "电话", "name": "姓名", "matter": "事项"}

_ASKED = "哪什么几这那个该某本贵多两每同"
_PLACE_WORDS = (
    "大道|高架|立交|路口|路|街道|街坊|街|巷|胡同|小区|社区|花园|新村|村|苑|园|广场|大厦|公寓|里弄|医院|学校|小学|中学|大学|公园|"
    "车站|地铁站|桥|码头|市场|超市|湖|营业所|门口|通道|隧道|区|县|镇"
)
_LOCATION = re.compile(
    rf"(?:[\u4e00-\u9fff](?<![{_ASKED}的在到了是有])){{2,8}}?(?:{_PLACE_WORDS})+(?:\d+(?:号|栋|单元|室|楼|街坊|巷|弄)?)*"
    r"|(?<![月工单0-9])\d+(?:号楼|栋|单元|街坊|巷|弄|室)|(?<!月)(?<!工)(?<!单)(?<=[\u4e00-\u9fff])(?<!月)\d+号(?!话务员|为您)"
)
_NOT_PLACES = re.compile(r"水务|地区|哪|什么|具体|位置|小区门口|方便|工号|尾号|客户|部门")
# A span of time that lies ahead is a promise (两小时内), not when it happened.
_TIME = re.compile(
    r"(?:\d+(?:点|月|号(?!楼|话务员|为您)|年|天|个?星期|周|个?月|个?小时|分钟)|[今昨前明]天|[今昨前明]晚|前几天|这几天|这\d+天|两三天|[三四五六七八]五?[四五六七八九]天|"
    r"刚才|刚刚|早上|上午|中午|下午|晚上|夜里|凌晨|上个?(?:星期|月|周)|一直|好几天|\d+多(?:天|小时))(?!之?[内前]|以内|之后)"
)
_PHONE = re.compile(r"(?<!\d)(?:1[3-9]\d{9}|0\d{2,3}[2-9]\d{6,7})(?!\d)")
_SURNAMES = (
    "王李张刘陈杨黄赵吴周徐孙马朱胡郭何林罗高郑梁谢宋唐许邓韩冯曹彭曾肖田董潘袁蔡蒋余于杜叶程魏苏吕丁任卢姚沈钟姜崔谭陆范汪廖石金"
    "贾韦夏付方邹熊白孟秦邱侯江尹薛闫段雷龙黎史陶贺毛郝顾龚邵万覃武钱戴严莫孔向常汤"
)
_NAME = re.compile(
    rf"(?:免贵姓|我姓|姓|我叫|名字叫|叫)[{_SURNAMES}][\u4e00-\u9fff]{{0,2}}|[{_SURNAMES}][\u4e00-\u9fff]{{0,2}}(?:先生|女士)"
)
_MATTERS = {
    "water_supply": "停水|没有?水|水压|水质|发黄|铁锈|异味|漏水|冒水|爆管|爆裂|水管|供水|来水|水费|水表|抄表|户号|自来水|二次加压",
    "drainage": "下水道|污水(?!处理厂)|堵塞|堵了|化粪池|倒灌|雨水井|排水|井盖|窨井",
    "waterlogging": "积水|内涝|淹水|涝|下穿通道",
    "river_lake": "河道|湖面|湖泊|河水|岸边|黑臭|侵占湖",
    "flood": "防汛|堤防|溃口|管涌|汛期|洪水",
    "saving": "节水|浪费水",
    "enforcement": "举报|偷水|盗水|违法|排污|直接排|偷排|私接",
}
_MATTER_CODES = {label: code for code, label in MATTER_LABELS.items()}
_SATISFACTION_QUESTION = re.compile(r"满意.{0,4}(吗|还是)|是否满意|评价")
# Of 13 calls every utterance with a wrongly written place name has a lower confidence.
SURE_OF_NAMES = 0.9
# Garbled names of the right place reach 0.55 to 1 of likeness.
NAMES_ALIKE = 0.55
MATCH_FIELDS = ("location", "contact_phone", "occurred_at", "matter_category", "satisfaction", "citizen_name")


@lru_cache(maxsize=8192)
def find_entities(kind: str, text: str) -> tuple[tuple[int, int], ...]:
    """Where elements of a kind stand in a text, as [start, end) of the original."""
    form = normalised_with_positions(text)
    if kind == "matter":
        pattern = re.compile("|".join(_MATTERS.values()))
    else:
        pattern = {"location": _LOCATION, "time": _TIME, "phone": _PHONE, "name": _NAME}[kind]
    spans = []
    for match in pattern.finditer(form.text):
        if kind == "location" and _NOT_PLACES.search(match[0]):
            continue
        spans.append(form.original_span(*match.span()))
    return tuple(spans)


def entity(call: OperatorCall, scene: Scene) -> Finding:
    """Hit when at least min_found different elements of the wanted kinds were mentioned."""
    blocked = scene.blocked(call)
    if blocked:
        return blocked
    place = place_of(scene, call)
    kinds, wanted = call.params.texts("types"), int(call.params.number("min_found", 1))
    clear: dict[str, Hit] = {}
    doubtful: dict[str, Hit] = {}
    for position in place.positions:
        text = scene.utterances[position].text
        into = clear if scene.reliable(scene.utterances[position]) else doubtful
        for kind in kinds:
            for start, end in find_entities(kind, text):
                note = f"{ENTITY_LABELS[kind]}：{text[start:end]}"
                into.setdefault(normalised(text[start:end]), Hit(scene.evidence_of(position, call, note), position))
    looked = (scene.searched(call, place),)
    names = "、".join(ENTITY_LABELS[kind] for kind in kinds)
    if len(clear) >= wanted:
        return Finding(State.HIT, f"提到{names} {len(clear)} 处", tuple(clear.values()), looked)
    if len(clear | doubtful) >= wanted:
        return Finding(State.UNSURE, f"只在识别不可靠的语句中提到{names}", tuple((clear | doubtful).values()), looked)
    unheard = find_unheard(scene, call.role, place)
    if unheard.why:
        return not_checked(f"没有听到{names}，但{unheard.why}，待人工")
    aside = f"（{unheard.set_aside}）" if unheard.set_aside else ""
    return Finding(State.MISS, f"没有听到{names}{aside}", tuple(clear.values()), looked)


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
        if _PHONE.fullmatch(said):
            yield said, min(used, key=lambda p: (scene.reliable(scene.utterances[p]), scene.utterances[p].confidence))
            return
        if piece[0] != form:
            return


def _matter_mentions(scene: Scene, place: Place, ticket: TicketFacts) -> list[Mention]:
    code = _MATTER_CODES.get(ticket.matter_category, ticket.matter_category)

    def read(position: int) -> Iterable[Mention]:
        text = scene.utterances[position].text
        form = normalised(text)
        for category, pattern in _MATTERS.items():
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


_MENTIONS: dict[str, Callable[[Scene, Place, TicketFacts], list[Mention]]] = {
    "location": _location_mentions,
    "contact_phone": _phone_mentions,
    "matter_category": _matter_mentions,
    "satisfaction": _satisfaction_mentions,
    "occurred_at": _time_mentions,
    "citizen_name": _name_mentions,
}


def _match_field(call: OperatorCall, scene: Scene, place: Place, field: str) -> Finding:
    ticket = scene.facts.ticket
    label = TICKET_FIELD_LABELS[field]
    if ticket is None or not ticket_value(ticket, field):
        return Finding(State.UNSURE, f"工单没有{label}，无从比对")
    mentions = _MENTIONS[field](scene, place, ticket)
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
    code = _MATTER_CODES.get(ticket.matter_category, ticket.matter_category)
    words = [said for part in _MATTERS.get(code, "").split("|") if part for said in spellings(part) or ()]
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
        "entity",
        "提到要素",
        "text",
        (
            ParamSpec("types", ParamKind.CHOICES, required=True, choices=tuple(ENTITY_LABELS)),
            ParamSpec("min_found", ParamKind.WHOLE, minimum=1),
        ),
        "找到的实体数 ≥ min_found（types 取 location/time/phone/name/matter）",
        entity,
        lambda call: (
            "、".join(ENTITY_LABELS[kind] for kind in call.params.texts("types"))
            + f"，不少于 {call.params.number('min_found', 1):g} 处"
        ),
    ),
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
