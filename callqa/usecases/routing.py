"""来电路由: how inbound calls are handled, checked against what there is: seats, prompts, the dial plan.

A routing is refused when the recorder could not do what it says; every message names the field as the page does.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sqlmodel import Session, select

from callqa.desk import Desk, DeskRouting, DialRule
from callqa.errors import ConfigError
from callqa.sip.calls.routing import Refusal, outbound_targets
from callqa.store.db import Database
from callqa.store.tables import Seat
from callqa.usecases.desk import checked_model, load_dial_plan, load_trunks, store_routing
from callqa.usecases.prompts import MUSIC_MOST_S, NOTICE_MOST_S, PromptFile, list_prompts


def set_routing(
    db: Database,
    routing: DeskRouting | Mapping[str, Any],
    *,
    actor: str,
    now_ms: int,
    prompts_dir: Path | None = None,
) -> DeskRouting:
    """Replace the routing of inbound calls. prompts_dir: where notice and music must lie. Raise ConfigError in Chinese."""
    checked = checked_model(DeskRouting, routing, "来电路由")
    if not re.fullmatch(r"\+?[0-9*#]{0,24}", checked.hotline_number):
        raise ConfigError(f"热线号码“{checked.hotline_number}”不合法；只能有数字，如 02712345678")
    if checked.ring_strategy != "all" and checked.ring_each_s > checked.ring_timeout_s:
        raise ConfigError(
            f"每席振铃 {checked.ring_each_s} 秒比振铃上限 {checked.ring_timeout_s} 秒还长，轮不到第二席；请改短或把上限放长"
        )
    _check_prompts(checked, list_prompts(prompts_dir) if prompts_dir is not None else None)
    with db.write() as session:
        _check_seats(session, checked)
        _check_overflow(session, checked)
        store_routing(session, checked, actor, now_ms)
    return checked


def _check_prompts(routing: DeskRouting, prompts: tuple[PromptFile, ...] | None) -> None:
    if prompts is None:
        return
    lengths = {prompt.name: prompt.duration_ms for prompt in prompts}
    chosen = (("录音告知", routing.notice, NOTICE_MOST_S), ("排队音乐", routing.queue_music, MUSIC_MOST_S))
    for what, name, most_s in chosen:
        if name and name not in lengths:
            raise ConfigError(f"{what}选的“{name}”不在提示音里；请先上传，或改选别的")
        if name and lengths[name] > most_s * 1000:
            raise ConfigError(f"{what}“{name}”长 {lengths[name] // 1000} 秒，最多 {most_s} 秒；请剪短后重新上传")


def _check_seats(session: Session, routing: DeskRouting) -> None:
    there = set(session.exec(select(Seat.extension)))
    for extension in routing.seat_order:
        if extension not in there:
            raise ConfigError(f"振铃顺序里的“{extension}”不是席位；请只填已登记的分机号，如 8001 8002")
        if routing.seat_order.count(extension) > 1:
            raise ConfigError(f"振铃顺序里“{extension}”写了不止一次")


def _check_overflow(session: Session, routing: DeskRouting) -> None:
    number = routing.overflow_number
    if not number:
        return
    if not re.fullmatch(r"\+?[0-9*#]{1,24}", number):
        raise ConfigError(f"溢出号码“{number}”不合法；只能有数字，如 13900001234")
    if number == routing.hotline_number:
        raise ConfigError("溢出号码就是热线号码自己，来电会绕回来；请填别的号码")
    reason = unreachable(session, number, load_dial_plan(session))
    if reason:
        raise ConfigError(f"溢出号码 {number} 拨不出去：{reason}；请先改拨号方案或中继")


def unreachable(session: Session, number: str, rules: tuple[DialRule, ...]) -> str:
    """Why a number cannot be called by these rules; "" when it can."""
    found = outbound_targets(Desk(number=0, trunks=load_trunks(session), dial_plan=rules), number)
    return found.reason if isinstance(found, Refusal) else ""
