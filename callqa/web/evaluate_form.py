"""The scoring form as it comes over HTTP, read into an EvaluationInput. Pure.

Field names: `na:ITEM`, `d:ITEM:CODE` (ticked), `t:…` (times), `at:…` (m:ss), `note:…`; `f:FATAL`, `fat:FATAL`, `fwords:FATAL`;
`s:SUGGESTION` = accepted | rejected; `c_at`, `c_text` repeated; `summary`; `elapsed_ms`; `version`.
An accepted suggestion ticks its option even where scripts are off, with the evidence's time and the machine's reason.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from callqa.errors import CallqaError
from callqa.usecases.evaluate import CommentInput, DeductionInput, EvaluationInput, FatalInput

_CLOCK = re.compile(r"(?:(\d{1,2})[:：])?(\d{1,3})[:：](\d{1,2})(?:\.(\d))?")
MAX_TEXT_CHARS = 2000


@dataclass(frozen=True, slots=True)
class SuggestedOption:
    """What accepting one suggestion means."""

    suggestion_id: int
    item_id: str
    option_code: str | None
    at_ms: int | None
    reason: str


def read_form(pairs: Sequence[tuple[str, str]], suggested: Iterable[SuggestedOption]) -> EvaluationInput:
    """Read the fields of one submission. Raise CallqaError naming the field that cannot be read."""
    fields: dict[str, str] = dict(pairs)
    deductions = _read_deductions(fields)
    decisions = {int(k[2:]): v for k, v in fields.items() if k.startswith("s:") and k[2:].isdigit() and v}
    not_applicable = frozenset(k[3:] for k in fields if k.startswith("na:"))
    for s in suggested:
        if decisions.get(s.suggestion_id) == "accepted" and s.option_code and s.item_id not in not_applicable:
            deductions.setdefault(s.item_id, {}).setdefault(
                s.option_code, DeductionInput(at_ms=s.at_ms, note=s.reason[:MAX_TEXT_CHARS])
            )
    return EvaluationInput(
        not_applicable=not_applicable,
        deductions=deductions,
        fatals=tuple(
            FatalInput(
                k[2:], read_clock(fields.get(f"fat:{k[2:]}", ""), k[2:]), _text(fields.get(f"fwords:{k[2:]}", ""))
            )
            for k in fields
            if k.startswith("f:")
        ),
        comments=_read_comments(pairs),
        decisions=decisions,
        summary=_text(fields.get("summary", "")),
        elapsed_ms=_whole(fields.get("elapsed_ms", "0")),
    )


def _read_deductions(fields: Mapping[str, str]) -> dict[str, dict[str, DeductionInput]]:
    deductions: dict[str, dict[str, DeductionInput]] = {}
    for name in fields:
        if not name.startswith("d:") or name.count(":") != 2:
            continue
        _, item_id, code = name.split(":")
        where = f"{item_id}:{code}"
        deductions.setdefault(item_id, {})[code] = DeductionInput(
            times=max(1, _whole(fields.get(f"t:{where}", "1"))),
            at_ms=read_clock(fields.get(f"at:{where}", ""), f"{item_id} {code}"),
            note=_text(fields.get(f"note:{where}", "")),
        )
    return deductions


def _read_comments(pairs: Sequence[tuple[str, str]]) -> tuple[CommentInput, ...]:
    times = [v for k, v in pairs if k == "c_at"]
    texts = [v for k, v in pairs if k == "c_text"]
    if len(times) != len(texts):
        raise CallqaError("评语的时间点与文字数目不一致；请刷新页面再填")
    return tuple(
        CommentInput(read_clock(at, "评语"), _text(text)) for at, text in zip(times, texts, strict=True) if text.strip()
    )


def read_clock(text: str, where: str) -> int | None:
    """`1:05`, `01:05.5` or `1:02:05` as milliseconds; empty is None. Raise CallqaError naming `where`."""
    text = text.strip()
    if not text:
        return None
    match = _CLOCK.fullmatch(text)
    if match is None or int(match[3]) > 59:
        raise CallqaError(f"{where} 的时间点“{text}”看不懂；请写成 分:秒，例如 1:05")
    hours, minutes, seconds, tenth = (int(g or 0) for g in match.groups())
    return ((hours * 60 + minutes) * 60 + seconds) * 1000 + tenth * 100


def _whole(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 12 else 0


def _text(text: str) -> str:
    text = text.replace("\r\n", "\n").strip()
    if len(text) > MAX_TEXT_CHARS:
        raise CallqaError(f"文字太长（{len(text)} 字），请缩短到 {MAX_TEXT_CHARS} 字以内")
    return text
