"""要素: places, times, phone numbers, names and matters in what was said; the operator entity.

Found by patterns, not by a language model: they say that an element was mentioned, not that it is complete.
"""

import re
from functools import lru_cache

from callqa.scoring.condition_tree import OperatorCall
from callqa.scoring.operators.finding import Finding, Hit, State, not_checked
from callqa.scoring.operators.operator import Operator, ParamKind, ParamSpec
from callqa.scoring.operators.places import place_of
from callqa.scoring.operators.scene import Scene
from callqa.scoring.operators.unheard import find_unheard
from callqa.text import normalised, normalised_with_positions

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
PHONE = re.compile(r"(?<!\d)(?:1[3-9]\d{9}|0\d{2,3}[2-9]\d{6,7})(?!\d)")
_SURNAMES = (
    "王李张刘陈杨黄赵吴周徐孙马朱胡郭何林罗高郑梁谢宋唐许邓韩冯曹彭曾肖田董潘袁蔡蒋余于杜叶程魏苏吕丁任卢姚沈钟姜崔谭陆范汪廖石金"
    "贾韦夏付方邹熊白孟秦邱侯江尹薛闫段雷龙黎史陶贺毛郝顾龚邵万覃武钱戴严莫孔向常汤"
)
_NAME = re.compile(
    rf"(?:免贵姓|我姓|姓|我叫|名字叫|叫)[{_SURNAMES}][\u4e00-\u9fff]{{0,2}}|[{_SURNAMES}][\u4e00-\u9fff]{{0,2}}(?:先生|女士)"
)
MATTERS = {
    "water_supply": "停水|没有?水|水压|水质|发黄|铁锈|异味|漏水|冒水|爆管|爆裂|水管|供水|来水|水费|水表|抄表|户号|自来水|二次加压",
    "drainage": "下水道|污水(?!处理厂)|堵塞|堵了|化粪池|倒灌|雨水井|排水|井盖|窨井",
    "waterlogging": "积水|内涝|淹水|涝|下穿通道",
    "river_lake": "河道|湖面|湖泊|河水|岸边|黑臭|侵占湖",
    "flood": "防汛|堤防|溃口|管涌|汛期|洪水",
    "saving": "节水|浪费水",
    "enforcement": "举报|偷水|盗水|违法|排污|直接排|偷排|私接",
}


@lru_cache(maxsize=8192)
def find_entities(kind: str, text: str) -> tuple[tuple[int, int], ...]:
    """Where elements of a kind stand in a text, as [start, end) of the original."""
    form = normalised_with_positions(text)
    if kind == "matter":
        pattern = re.compile("|".join(MATTERS.values()))
    else:
        pattern = {"location": _LOCATION, "time": _TIME, "phone": PHONE, "name": _NAME}[kind]
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
)
