"""One use of an operator in Chinese words: whose words, where, and with which parameters."""

from callqa.scoring.condition_tree import OperatorCall, Origin, ParamValue, Reach, Role, Unit, Where
from callqa.scoring.lexicon import Lexicon

ROLE_LABELS = {Role.AGENT: "坐席", Role.CITIZEN: "诉求人", Role.ANY: "双方"}


def describe_place(call: OperatorCall) -> str:
    """Where a use looks, in Chinese: 开头 15 秒内, “gap” 之前 10 秒内, 全程."""
    if call.anchor is not None and call.where is not None:
        side = {Where.BEFORE: "之前", Where.AFTER: "之后", Where.AROUND: "前后", Where.SAME: "同一处"}[call.where]
        return f"“{call.anchor}”{side}{_describe_reach(call.reach)}"
    if call.scope is None:
        return "全程"
    origin = {Origin.START: "开头", Origin.END: "结尾", Origin.ANSWER: "接通后"}[call.scope.origin]
    if call.scope.unit is Unit.RATIO:
        return f"{origin} {_plain(call.scope.within * 100)}% 时段"
    return f"{origin} {_plain(call.scope.within)} {'秒' if call.scope.unit is Unit.SECONDS else '句'}内"


def _describe_reach(reach: Reach | None) -> str:
    if reach is None:
        return ""
    return f" {_plain(reach.amount)} {'秒' if reach.unit is Unit.SECONDS else '句'}内"


def params_text(call: OperatorCall) -> str:
    """The parameters of one use as short text for the evidence: `min_hits=1; lexicon=agent_id`."""
    return "; ".join(f"{name}={_param_text(value)}" for name, value in call.params.entries)


def _param_text(value: ParamValue) -> str:
    if isinstance(value, Lexicon):
        return value.name or "、".join(value.words)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return _plain(value)
    if isinstance(value, str):
        return value
    if isinstance(value, tuple):
        return "、".join(part if isinstance(part, str) else "/".join(part) for part in value)
    return f"max_s={_plain(value.max_s)}, words={'、'.join(value.words)}"


def _plain(number: float) -> str:
    return f"{number:g}"
