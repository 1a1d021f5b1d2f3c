"""What a story may have beside calls, weather and blows: other transports, encrypted media, RTCP, prompts, and blows that
strike where they hurt. Drawn apart from the rest, so that `plain` tells a seed's story as it was without them."""

import random
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from tests.simulate.process import seeded

if TYPE_CHECKING:
    from tests.simulate.plan import CallPlan, Plan

By = Literal["udp", "tcp", "tls"]
File = Literal["", "good", "missing", "broken"]


@dataclass(frozen=True, slots=True)
class Wide:
    """must: encrypted media is RTP/SAVP, not offered beside plain. suite: of a=crypto."""

    trunk_by: By = "udp"
    phones_by: By = "udp"
    secure: tuple[Literal["trunk", "phones"], ...] = ()
    must: bool = False
    suite: str = "AES_CM_128_HMAC_SHA1_80"
    rtcp: Literal["", "port", "mux"] = ""
    notice: File = ""
    music: File = ""
    early: bool = True  # prompts before the answer; else the call is answered for them


def widened(plan: "Plan") -> "Plan":
    """A story with what else there is in it."""
    rng = seeded(plan.seed, "wider")
    chance = rng.random
    trunk_by: By = rng.choice(("tcp", "tcp", "tls")) if chance() < 0.2 else "udp"
    phones_by: By = rng.choice(("tcp", "tcp", "tls")) if chance() < 0.2 else "udp"
    secure = rng.choice((("trunk",), ("phones",), ("trunk", "phones"))) if chance() < 0.2 else ()
    wide = Wide(
        trunk_by,
        phones_by,
        secure,
        must=chance() < 0.5,
        suite=rng.choice(("AES_CM_128_HMAC_SHA1_80", "AES_CM_128_HMAC_SHA1_32", "AEAD_AES_128_GCM")),
        rtcp=rng.choice(("port", "mux")) if chance() < 0.25 else "",
        notice=rng.choice(("good", "good", "good", "missing", "broken"))
        if chance() < 0.15 and plan.mode == "bridge"
        else "",
        early=chance() < 0.7,
        music=rng.choice(("good", "good", "missing", "broken")) if plan.queue_most and chance() < 0.5 else "",
    )
    if wide.suite.startswith(
        "AEAD"
    ):  # the recorder takes it and does not offer it: a call to such a phone would be plain
        wide = replace(wide, must=False)
    plan = replace(plan, wide=wide)
    if plan.blow is None and plan.trouble is None:
        plan = _struck(plan, chance(), chance())
    call = plan.calls[0]
    bridged = plan.mode == "bridge" and call.inbound and call.answer_after_s is not None and not call.session
    if bridged and call.transfer is None and not plan.queue_most and chance() < 0.3:
        plan = replace(plan, seats=3, calls=(_consulting(rng, call), *plan.calls[1:]))
    return plan


def _consulting(rng: random.Random, call: "CallPlan") -> "CallPlan":
    from tests.simulate.plan import ConsultPlan

    others = [f"800{1 + i}" for i in range(3) if i != call.seat]
    consult = ConsultPlan(
        after_s=rng.uniform(0.1, 0.8),
        to=rng.choice((*others, *others, *others, "8009")),
        answer_after_s=rng.choice((0.0, 0.2, 0.6)) if rng.random() < 0.85 else None,
        joins_after_s=rng.uniform(0.1, 0.8) if rng.random() < 0.8 else None,
        leaves_at_once=rng.random() < 0.4,
    )
    return replace(
        call, talk_s=max(call.talk_s, 2.5), gives_up_s=None, two_answer=False, holds=(), pauses=None, consult=consult
    )


def _struck(plan: "Plan", kind: float, where: float) -> "Plan":
    """A blow at a moment when there is something to lose: of a fifth of the stories without one."""
    from tests.simulate.plan import BlowPlan

    call = plan.calls[0]
    if kind < 0.08:  # the power goes in a call of some seconds
        call = replace(
            call, answer_after_s=call.answer_after_s or 0.1, gives_up_s=None, talk_s=4.0, vanish_after_s=None
        )
        assert call.answer_after_s is not None
        blow = BlowPlan(call.at_s + call.answer_after_s + 2.0 + 1.9 * where, True, None, 0.5)
    elif kind < 0.14:  # the power goes just when a call began
        blow = BlowPlan(call.at_s + 0.05 + 0.8 * where, True, None, 0.5)
    elif kind < 0.2:  # killed while it rings
        call = replace(call, answer_after_s=None, gives_up_s=None, refuse=0)
        blow = BlowPlan(call.at_s + 0.1 + (plan.ring_timeout_s - 1) * where, False, None, 0.5)
    else:
        return plan
    return replace(plan, calls=(call, *plan.calls[1:]), blow=blow, stops_at_s=None)
