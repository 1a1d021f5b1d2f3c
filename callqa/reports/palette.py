"""Colours and fonts shared by every renderer, so that a figure looks alike on the page, in DOCX and in XLSX.

Red is kept for fatal findings and missed targets. Fonts are asked for by name; each reader has its own stand-ins.
"""

from callqa.reports.document import Tone

INK = "1F2A37"
MUTED = "6B7684"
GRID = "D5DBE3"
HEAD = "E8EEF5"
TOTAL = "F3F6FA"
ACCENT = "1F5A96"
SERIES = ("2F6FB0", "D9822B", "3A9A8C", "8A94A6", "7A5BA6", "5B8C3E", "B0587A", "A08A2F")
GRADES = ("2F6FB0", "7FB0DC", "D9D9D9", "D9822B")  # best to worst
REFERENCE = "B42318"
TONES = {Tone.GOOD: "1E7B4A", Tone.WARN: "A35B00", Tone.BAD: "B42318", Tone.MUTED: MUTED, Tone.NONE: INK}

SONG, HEI = "宋体", "黑体"
SVG_FONTS = "'Noto Sans CJK SC','Noto Sans SC','Microsoft YaHei','PingFang SC',sans-serif"


def heat_colour(heat: float) -> str:
    """Background of a heat-map cell: 1 is white, 0 the deepest orange."""
    full, empty = (255, 255, 255), (240, 170, 110)
    return "".join(f"{round(e + (f - e) * heat):02X}" for f, e in zip(full, empty, strict=True))
