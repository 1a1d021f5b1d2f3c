"""What the fields of the desk are called on the page, for messages about them."""

from collections.abc import Sequence

_FIELDS = {
    # routing
    "inbound_mode": "来电处理",
    "ring_timeout_s": "振铃上限（秒）",
    "hotline_number": "热线号码",
    "seat_encryption": "话机媒体加密",
    "ring_strategy": "振铃方式",
    "ring_each_s": "每席振铃（秒）",
    "seat_order": "振铃顺序",
    "queue_most": "排队人数上限",
    "queue_wait_s": "最长排队（秒）",
    "queue_music": "排队音乐",
    "queue_announce": "播报位置",
    "overflow_number": "溢出号码",
    "notice": "录音告知",
    "early_prompts": "接通前播放",
    "pause_allowed": "允许暂停录音",
    "pause_longest_s": "最长暂停（秒）",
    # trunk
    "addresses": "允许打入的地址",
    "host": "外呼主机",
    "port": "端口",
    "transport": "传输",
    "prefix": "出局字冠",
    "refer_allowed": "允许对端转接",
    "keepalive_s": "探测间隔（秒）",
    "register_here": "向对方登记",
    "username": "登记账号",
    "domain": "账号所属域",
    "realm": "认证域",
    "expires_s": "登记有效期（秒）",
    "media_encryption": "媒体加密",
}


def say_field(location: Sequence[str | int]) -> str:
    """The name of the field at pydantic's location; a name without a label as it is."""
    return ".".join(_FIELDS.get(str(part), str(part)) for part in location)
