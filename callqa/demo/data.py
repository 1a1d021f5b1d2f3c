"""What the demo hotline consists of: people, seats, four calls, the ticket file and the roster. Pure.

The ticket file is made before any call is placed and names no call. All names and numbers are invented.
"""

import csv
import io
from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True, slots=True)
class DemoCall:
    """One call: whose citizen, which seat, and what the ticket platform knows of it."""

    code: str  # D01: the payload files
    agent_no: str
    extension: str
    number: str  # the citizen's
    outbound: bool
    ticket_no: str
    ticket_header: bool  # the inbound INVITE carries X-Ticket-Id


AGENTS = (("801", "周敏"), ("802", "何俊"), ("803", "陈慧"), ("805", "罗佳"))
SEATS = (("8001", "1号席", "801"), ("8002", "2号席", "802"), ("8003", "3号席", "803"), ("8004", "4号席", "805"))
ACCOUNTS = (  # username, shown name, role, agent
    ("banzhang", "刘班长", "shift_leader", None),
    ("zuoxi803", "陈慧", "agent", "803"),
    ("jiandu", "采购人监督员", "client_supervisor", None),
    ("admin", "管理员", "admin", None),
)
HOTLINE_NUMBER = "02785550096"

_COLUMNS = [
    "工单编号",
    "标题",
    "诉求性质",
    "事项类别",
    "来电号码",
    "联系电话",
    "诉求人",
    "行政区",
    "地点",
    "诉求内容",
    "发生时间",
    "受理时间",
    "受理工号",
    "承办单位",
    "交办时间",
    "办理时限",
    "办结时间",
    "办理结果",
    "回访时间",
    "回访次数",
    "满意度",
    "险情加急",
    "原工单编号",
]


def demo_calls(now: datetime) -> tuple[DemoCall, ...]:
    """The four calls, with ticket numbers of today (and one of 3 November, which D13 calls back about)."""
    day = f"{now:%Y%m%d}"
    return (
        DemoCall("D01", "801", "8001", "13871206358", False, f"SW{day}0112", True),
        DemoCall("D03", "802", "8002", "13607112459", False, f"SW{day}0203", False),
        DemoCall("D04", "805", "8004", "18971563027", False, f"SW{day}0031", True),
        DemoCall("D13", "803", "8003", "15327180426", True, f"SW{_callback_day(now):%Y%m%d}0096", False),
    )


def _callback_day(now: datetime) -> datetime:
    """The latest 3 November that is over: the recorded agent names that date."""
    third = now.replace(month=11, day=3, hour=8, minute=12, second=0, microsecond=0)
    return third if third + timedelta(days=1) <= now else third.replace(year=now.year - 1)


def ticket_csv(now: datetime) -> bytes:
    """What a ticket platform would export: one row a ticket, UTF-8 with BOM, Chinese columns; the last belongs to nobody."""
    calls = {c.code: c for c in demo_calls(now)}
    old = _callback_day(now)

    def row(code: str, minutes: float, **cells: str) -> dict[str, str]:
        accepted = now + timedelta(minutes=minutes)
        call = calls[code]
        return {
            "工单编号": call.ticket_no,
            "来电号码": call.number,
            "联系电话": call.number,
            "发生时间": _stamp(accepted - timedelta(minutes=4)),
            "受理时间": _stamp(accepted),
            "受理工号": call.agent_no,
            "交办时间": _stamp(accepted + timedelta(minutes=9)),
            "办理时限": _stamp(accepted + timedelta(days=3)),
            "回访次数": "0",
            "险情加急": "否",
            **cells,
        }

    rows = [
        row("D01", 3.5, 标题="江岸区百步亭花园停水", 诉求性质="求助", 事项类别="供水", 诉求人="王建国", 行政区="江岸区",
            地点="后湖大道百步亭花园怡康苑十二栋二单元", 承办单位="供水管网抢修中心",
            诉求内容="市民反映家中自早上六点起停水，整栋楼均无水，要求核实原因并尽快恢复供水。"),
        row("D03", 3.5, 标题="洪山区珞狮南路马湖新村水压低", 诉求性质="求助", 事项类别="供水", 诉求人="陈志强", 行政区="洪山区",
            地点="珞狮南路马湖新村七十八号五楼", 承办单位="二次供水管理中心",
            诉求内容="市民反映五楼水压低，晚高峰热水器打不着火，已持续一周，要求检查加压设备。"),
        row("D04", 3.5, 标题="硚口区宝丰路人行道冒水", 诉求性质="求助", 事项类别="供水", 诉求人="张敏", 行政区="硚口区",
            地点="宝丰路同济医院对面公交站旁", 承办单位="供水管网抢修中心",
            诉求内容="市民反映宝丰路公交站旁人行道地面冒水，水流较大，影响行人通行。"),
        row("D13", 0, 标题="江岸区怡康苑停水", 诉求性质="求助", 事项类别="供水", 诉求人="王建国", 行政区="江岸区",
            地点="百步亭花园怡康苑", 承办单位="供水管网抢修中心", 诉求内容="市民反映整栋楼停水，要求恢复供水。",
            受理工号="801", 发生时间=_stamp(old), 受理时间=_stamp(old + timedelta(minutes=2)),
            交办时间=_stamp(old + timedelta(minutes=11)), 办理时限=_stamp(old + timedelta(days=3)),
            办结时间=_stamp(old + timedelta(hours=5)), 办理结果="已恢复供水"),
    ]  # fmt: skip
    nobody = dict(rows[0], 工单编号=f"SW{now:%Y%m%d}0301", 标题="汉阳区四新南路路灯不亮", 诉求性质="咨询", 事项类别="其他",
                  来电号码="02784770000", 联系电话="02784770000", 诉求人="周先生", 行政区="汉阳区",
                  地点="四新南路与连通港路口", 承办单位="", 诉求内容="市民反映路灯不亮，告知非水务职责并提供电话。",
                  受理时间=_stamp(now - timedelta(hours=6)), 发生时间=_stamp(now - timedelta(hours=6)))  # fmt: skip
    return _csv(_COLUMNS, [*rows, nobody])


def roster_csv(now: datetime) -> bytes:
    """Today's and tomorrow's shifts of every agent (the demo may run across midnight)."""
    rows = [
        {"日期": f"{now + timedelta(days=d):%Y-%m-%d}", "班次": shift, "工号": no, "姓名": name, "席位": seat,
         "开始": start, "结束": end}
        for d in (-1, 0, 1)
        for (no, name), (seat, _, _) in zip(AGENTS, SEATS, strict=True)
        for shift, start, end in (("白班", "08:00", "20:00"), ("夜班", "20:00", "08:00"))
    ]  # fmt: skip
    return _csv(("日期", "班次", "工号", "姓名", "席位", "开始", "结束"), rows)


def _stamp(instant: datetime) -> str:
    return f"{instant:%Y-%m-%d %H:%M:%S}"


def _csv(columns: tuple[str, ...] | list[str], rows: list[dict[str, str]]) -> bytes:
    out = io.StringIO()
    writer = csv.DictWriter(out, columns, restval="")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue().encode("utf-8-sig")
