"""An argument parser that speaks Chinese: usage, help and what is wrong with a command line."""

import argparse
import difflib
import re
import unicodedata
from collections.abc import Callable, Mapping
from datetime import date
from typing import Any, NoReturn, Protocol

from callqa.errors import CallqaError
from callqa.periods import Month, parse_day

# what argparse says -> what we say; groups by number
_SAYINGS = (
    (r"the following arguments are required: (.+)", "缺少“{0}”"),
    (r"unrecognized arguments: (.+)", "不认识“{0}”"),
    (r"argument (.+?): expected (?:one|1) argument", "{0} 后面要写一个值"),
    (r"argument (.+?): invalid \w+ value: '(.*)'", "{0} 的值“{1}”不合用"),
    (r"argument (.+?): not allowed with argument (.+)", "{0} 不能与 {1} 一起用"),
    (r"one of the arguments (.+) is required", "请写明其中一个：{0}"),
    (r"argument (.+?): (.+)", "{0}：{1}"),  # what our own readers of values say
)
_NO_CHOICE = r"argument (.+?): invalid choice: '(.*)' \(choose from (.+)\)"


class Parser(argparse.ArgumentParser):
    """argparse with Chinese headings and refusals. Sub-parsers are of the same kind."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options, add_help=False)
        self._positionals.title, self._optionals.title = "参数", "选项"
        self.add_argument("-h", "--help", action="help", help="显示这段说明")

    def format_usage(self) -> str:
        """The usage line."""
        return super().format_usage().replace("usage: ", "用法：", 1)

    def format_help(self) -> str:
        """The whole help."""
        return aligned(super().format_help().replace("usage: ", "用法：", 1))

    def error(self, message: str) -> NoReturn:
        """Say what is wrong and how to go on, and end with status 2."""
        self.exit(2, f"{say_refusal(message)}\n{self.format_usage()}")


Verb = Callable[[Any, argparse.Namespace], int]  # the settings and the arguments -> the exit status


class AddVerb(Protocol):
    """Makes the parser of one verb."""

    def __call__(self, name: str, run: Verb, text: str) -> Parser: ...


def width_of(text: str) -> int:
    """Columns of a terminal: a Chinese character takes two."""
    return sum(2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text)


def aligned(help_text: str) -> str:
    """The help with its right column straight: argparse counts a Chinese character as one column."""
    usage, gap, rest = help_text.partition("\n\n")
    lines = rest.split("\n")
    rows = [re.fullmatch(r"( {2,4}\S.*?) {2,}(\S.*)", line) for line in lines]
    column = max((width_of(row[1]) for row in rows if row), default=0) + 2
    return usage + gap + "\n".join(_aligned(line, row, column) for line, row in zip(lines, rows, strict=True))


def _aligned(line: str, row: re.Match[str] | None, column: int) -> str:
    if row:
        return row[1] + " " * (column - width_of(row[1])) + row[2]
    if re.match(r" {10,}\S", line):  # what did not fit beside its option
        return " " * column + line.lstrip()
    return line


def say_refusal(message: str) -> str:
    """One of argparse's sentences in Chinese; with the nearest real choice where there is one."""
    if found := re.fullmatch(_NO_CHOICE, message):
        what, given, choices = found[1], found[2], re.findall(r"'([^']+)'", found[3])
        near = difflib.get_close_matches(given, choices, n=1)
        hint = f"您是不是想写“{near[0]}”？" if near else f"可用的有 {'、'.join(choices)}"
        return f"没有“{given}”这个{what}；{hint}"
    for pattern, sentence in _SAYINGS:
        if found := re.fullmatch(pattern, message):
            return sentence.format(*found.groups())
    return message


def day(text: str) -> date:
    """The value of an option that is a day."""
    try:
        return parse_day(text)
    except CallqaError as e:
        raise argparse.ArgumentTypeError(str(e)) from e


def month(text: str) -> Month:
    """The value of an option that is a month."""
    try:
        return Month.parse(text)
    except CallqaError as e:
        raise argparse.ArgumentTypeError(str(e)) from e


def seconds(text: str) -> int:
    """The value of an option that is a number of whole seconds, one at least."""
    if not (text.isascii() and text.isdigit() and int(text)):
        raise argparse.ArgumentTypeError(f"“{text}”不合用；请写整秒数，至少 1")
    return int(text)


def one_of(words: Mapping[str, str]) -> Callable[[str], str]:
    """The reader of an option that is one of `words` {Chinese: what we call it}; both may be typed."""

    def read(text: str) -> str:
        if text in words.values():
            return text
        if text not in words:
            raise argparse.ArgumentTypeError(f"没有“{text}”这个选择；请写 {' 或 '.join(words)}")
        return words[text]

    return read
