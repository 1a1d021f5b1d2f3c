"""What happens to an inbound call with the present routing, step by step, in words. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

from callqa.desk import DeskRouting
from callqa.periods import say_duration


@dataclass(frozen=True, slots=True)
class Step:
    """One box of the drawing. used: False for what the settings leave out; otherwise: where a call goes that does not go on."""

    title: str
    text: str
    used: bool = True
    otherwise: str = ""


def call_path(routing: DeskRouting, prompt_ms: Mapping[str, int]) -> tuple[Step, ...]:
    """The steps in order. prompt_ms: length of each prompt that there is."""
    number = routing.hotline_number or "热线"
    if routing.inbound_mode == "answer":
        return (
            Step("来电", f"从中继打进 {number}"),
            Step("应答", "本系统直接应答，只录来电一侧；不振席位、不排队、不溢出"),
        )
    return (
        Step("来电", f"从中继打进 {number}"),
        _notice(routing, prompt_ms),
        _ringing(routing),
        _queue(routing, prompt_ms),
        _overflow(routing),
    )


def _notice(routing: DeskRouting, prompt_ms: Mapping[str, int]) -> Step:
    if not routing.notice:
        return Step("告知", "不播放录音告知，直接振铃", used=False)
    how = "接通前播放（183）" if routing.early_prompts else "先应答再播放，从这时起计费"
    return Step("告知", f"{_prompt(routing.notice, prompt_ms)}，{how}；放完才振铃")


def _ringing(routing: DeskRouting) -> Step:
    limit = f"最多 {routing.ring_timeout_s} 秒"
    match routing.ring_strategy:
        case "all":
            text = f"所有签入的空闲席位一起振铃，先接先得，{limit}"
        case "longest_idle":
            text = f"先振空闲最久的一席，{routing.ring_each_s} 秒没接换下一席，{limit}"
        case "fixed":
            order = "、".join(routing.seat_order)
            first = f"按 {order} 的顺序，其余随后" if order else "按席位号顺序"
            text = f"{first}，一次一席，{routing.ring_each_s} 秒没接换下一席，{limit}"
    return Step("振铃", text, otherwise="有人接起：双方接通，开始录音")


def _queue(routing: DeskRouting, prompt_ms: Mapping[str, int]) -> Step:
    if not routing.queue_most:
        return Step("排队", "不排队：席位全忙时来电听忙音", used=False)
    music = _prompt(routing.queue_music, prompt_ms) if routing.queue_music else "内置音乐"
    place = "，告诉来电排第几" if routing.queue_announce else ""
    return Step(
        "排队",
        f"席位全忙时最多 {routing.queue_most} 人排队，每人最长 {say_duration(routing.queue_wait_s * 1000)}，听{music}{place}",
        otherwise="队列已满：来电听忙音",
    )


def _overflow(routing: DeskRouting) -> Step:
    when = "无人签入、无人接听" + ("或排队超时" if routing.queue_most else "")
    if not routing.overflow_number:
        return Step("溢出", f"{when}时挂断，记为未接来电", used=False)
    return Step("溢出", f"{when}时转到 {routing.overflow_number}，照样录音", otherwise="那边也没接：挂断，记为未接来电")


def _prompt(name: str, prompt_ms: Mapping[str, int]) -> str:
    length = f"（{say_duration(prompt_ms[name])}）" if name in prompt_ms else "（文件不见了）"
    return f"“{name.removesuffix('.wav')}”{length}"
