"""Whisper's text as people write it: simplified characters, Chinese punctuation, a mark at the end of each turn. Pure.

Changes no word. Whisper writes ASCII marks or plain spaces for pauses; in figures (3.5, 12:30) they stay.
"""

import re
from typing import Final

from callqa.text import simplified

_MARKS: Final = str.maketrans({",": "，", ";": "；", ":": "：", "?": "？", "!": "！", ".": "。"})
_IN_FIGURES = re.compile(r"(?<=\d)[.,:](?=\d)")
_PAUSE = re.compile(r"(?<=[一-鿿])\s+(?=[一-鿿])")
_AROUND_HAN = re.compile(r"\s+(?=[一-鿿，。？！；：、])|(?<=[一-鿿，。？！；：、])\s+")
_REPEATED_MARK = re.compile(r"[，、；：]*([。？！])[，。、；：]*|([，、；：])[，、；：]+")
_LEADING_MARK = re.compile(r"^[，。、；：？！\s]+")
_QUESTION = re.compile(r"(?:吗|呢|么|什么|怎么样|是不是|对不对|好不好|有没有|可不可以|行不行|是吧|多少|几点|哪里)$")


def written(raw: str) -> str:
    """The engine's text of one turn in simplified characters with Chinese punctuation; "" when it holds no word."""
    text = _PAUSE.sub("，", simplified(raw.replace("\ufffd", "")).strip())
    held = _IN_FIGURES.sub(lambda m: _HOLD[m.group()], text)
    text = _AROUND_HAN.sub("", held.translate(_MARKS).translate(_RELEASE))
    text = _REPEATED_MARK.sub(lambda m: m.group(1) or m.group(2), text)
    text = _LEADING_MARK.sub("", text)
    if not any(c.isalnum() for c in text):
        return ""
    return _ended(text)


# private-use characters stand for marks inside figures while the others are changed
_HOLD: Final = {".": "\ue000", ",": "\ue001", ":": "\ue002"}
_RELEASE: Final = {0xE000: ".", 0xE001: ",", 0xE002: ":"}


def _ended(text: str) -> str:
    """End a turn with 。or ？: a trailing comma is only where the window went on."""
    body = text.rstrip("，、；：。")
    if body.endswith(("？", "！")):
        return body
    return body + ("？" if _QUESTION.search(body) else "。")
