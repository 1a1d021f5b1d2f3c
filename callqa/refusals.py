"""Chinese sentences for what the operating system and the validation library say in English. Pure.

It knows the reasons that a person setting up the hotline can meet; any other keeps its original words.
"""

import errno
from collections.abc import Mapping
from typing import Any

_OS_REASONS = {
    errno.EACCES: "没有权限",
    errno.EADDRINUSE: "已被别的程序占用",
    errno.EADDRNOTAVAIL: "本机没有这个地址",
    errno.EBUSY: "正在被占用",
    errno.EDQUOT: "磁盘配额已用完",
    errno.EEXIST: "已经存在",
    errno.EIO: "磁盘读写出错",
    errno.EISDIR: "它是文件夹",
    errno.EMFILE: "打开的文件太多",
    errno.ENAMETOOLONG: "名字太长",
    errno.ENOENT: "不存在",
    errno.ENOSPC: "磁盘已满",
    errno.ENOTDIR: "路径里有一段不是文件夹",
    errno.EPERM: "没有权限",
    errno.EROFS: "所在磁盘是只读的",
}

# pydantic error type -> sentence; {…} are the error's own numbers
_INVALID = {
    "missing": "没有填写",
    "extra_forbidden": "没有这一项",
    "int_parsing": "应为整数",
    "int_type": "应为整数",
    "int_from_float": "应为整数",
    "float_parsing": "应为数字",
    "float_type": "应为数字",
    "bool_parsing": "应为 true 或 false",
    "bool_type": "应为 true 或 false",
    "string_type": "应为文字，两边加引号",
    "path_type": "应为文件路径，两边加引号",
    "greater_than": "应大于 {gt}",
    "greater_than_equal": "应不小于 {ge}",
    "less_than": "应小于 {lt}",
    "less_than_equal": "应不大于 {le}",
    "string_too_short": "至少 {min_length} 个字",
    "string_too_long": "最多 {max_length} 个字",
    "literal_error": "只能是 {expected}",
    "model_type": "是一节，应写成 [名称] 再逐行写设置",
    "model_attributes_type": "是一节，应写成 [名称] 再逐行写设置",
    "dict_type": "是一节，应写成 [名称] 再逐行写设置",
    "tuple_type": "应为列表",
    "list_type": "应为列表",
}


def os_reason(error: OSError) -> str:
    """Say why the system refused, e.g. 磁盘已满; its own words where we have none."""
    return _OS_REASONS.get(error.errno or 0) or error.strerror or str(error)


def invalid_reason(details: Mapping[str, Any]) -> str:
    """Say why a value was refused, from one of pydantic's `errors()`."""
    kind, context = str(details["type"]), details.get("ctx") or {}
    if kind == "string_pattern_mismatch":
        return _say_pattern(str(context.get("pattern", "")))
    if kind == "value_error":
        return str(context.get("error", details["msg"]))
    sentence = _INVALID.get(kind)
    return sentence.format(**context) if sentence else str(details["msg"])


def _say_pattern(pattern: str) -> str:
    """A pattern that is a choice is read out; any other means wrong characters."""
    if pattern.startswith("^(") and pattern.endswith(")$"):
        return f"只能是 {'、'.join(pattern[2:-2].split('|'))}"
    return "含有不合用的字符"
