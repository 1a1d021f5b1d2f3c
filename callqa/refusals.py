"""Chinese sentences for what the operating system, a database, the reader of TOML and the validation library say in
English. Pure.

It knows the reasons that a person setting up the hotline can meet; any other keeps its original words.
"""

import errno
import re
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

# how a sentence of Python's tomllib begins -> what to do
_TOML = (
    ("Expected '=' after", "应写成 名称 = 值，等号用半角"),
    ("Expected newline", "值后面多出了东西：一行只写一项，文字两边加半角引号"),
    ("Expected ']'", "方括号没有配对"),
    ("Expected", "引号没有配对"),
    ("Unterminated string", "引号没有配对"),
    ("Unescaped '\\'", "引号里的反斜杠要写两个，或改用单引号"),
    ("Invalid statement", "应写成 名称 = 值，或 [节名]"),
    ("Invalid value", "等号右边的值看不懂：文字两边加半角引号，是否写 true 或 false"),
    ("Cannot", "同一项或同一节写了两次"),
    ("Illegal character", "含有看不见的字符，请删掉重打这一行"),
)
# what SQLite, libpq or PostgreSQL say -> what is the matter; groups by number
_DATABASE = (
    (r"file is not a database", "文件不是 SQLite 数据库，或已损坏"),
    (r"database disk image is malformed", "数据库文件已损坏；请恢复最近的备份"),
    (r"unable to open database file", "数据库文件打不开：路径不对，或没有权限"),
    (r"attempt to write a readonly database", "数据库文件或它的文件夹是只读的"),
    (r"database or disk is full|No space left on device", "磁盘已满"),
    (r"disk I/O error", "磁盘读写出错"),
    (r"database is locked", "数据库正被别的程序占用"),
    (r"failed to resolve host '([^']*)'", "找不到数据库主机“{0}”"),
    (r'server at "([^"]*)", port (\d+) failed: Connection refused', "数据库服务器 {0}:{1} 没有启动，或不接受连接"),
    (r"(?i)connection timeout|timeout expired|timed out", "连接数据库服务器超时"),
    (r'password authentication failed for user "([^"]*)"', "数据库用户“{0}”的密码不对"),
    (r'role "([^"]*)" does not exist', "数据库里没有用户“{0}”"),
    (r'database "([^"]*)" does not exist', "没有数据库“{0}”，请先建好"),
    (r"permission denied", "数据库用户的权限不够"),
    (r"no password supplied", "数据库要求密码，地址里没有写"),
)
_FULL_WIDTH = "“”‘’＝［］，＂＃"


def say_toml(message: str, text: str) -> str:
    """Say where and why `text` is no TOML. message: tomllib's own, ending in `(at line 2, column 20)` or the like."""
    place = re.search(r"\(at line (\d+), column \d+\)$", message)
    lines = text.splitlines()
    number = int(place[1]) if place else max((n for n, line in enumerate(lines, 1) if line.strip()), default=1)
    line = lines[number - 1].strip() if number <= len(lines) else ""
    key = re.match(r"url\s*[=＝]", line)
    shown = f"{key[0]} …" if key else line  # a database's address may hold a password
    reason = next((said for begins, said in _TOML if message.startswith(begins)), message)
    wide = "".join(dict.fromkeys(char for char in line if char in _FULL_WIDTH))
    hint = f"；这一行有全角符号 {wide}，请改成半角" if wide else ""
    return f"第 {number} 行“{shown}”看不懂：{reason}{hint}"


def database_reason(message: str) -> str:
    """Say why a database refused; its own first line where we have no words for it."""
    for pattern, sentence in _DATABASE:
        if found := re.search(pattern, message):
            return sentence.format(*found.groups())
    return (message.strip() or "原因不明").splitlines()[0]


def no_such_call(call_id: str) -> str:
    """Say that there is no such call, and where its number is found."""
    return f"没有通话 {call_id}；通话编号见通话页，如 20261103T001430123Z-K7QD-8F3K2M"


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
