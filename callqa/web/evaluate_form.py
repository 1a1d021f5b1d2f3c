"""The scoring form as it comes over HTTP, read into an EvaluationInput, and the way back. Pure.

Field names: `na:ITEM`, `d:ITEM:CODE` (ticked), `t:…` (times), `at:…` (m:ss), `note:…`; `f:FATAL`, `fat:FATAL`, `fwords:FATAL`;
`s:SUGGESTION` = accepted | rejected; `c_at`, `c_text` repeated; `summary`; `elapsed_ms`; `version`.
An accepted suggestion ticks its option even where scripts are off, with the evidence's time and the machine's reason; several
of one option count as `times_of` says.
`read_form(write_form(x), ()) == x`, times to the second: what is stored is shown as typed, and so is what could not be stored.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from callqa.errors import CallqaError
from callqa.periods import say_offset
from callqa.privacy import mask_text
from callqa.usecases.evaluate_input import (
    CommentInput,
    DeductionInput,
    EvaluationInput,
    FatalInput,
    SuggestionRef,
    times_of,
)

_CLOCK = re.compile(r"(?:(\d{1,2})[:：])?(\d{1,3})[:：](\d{1,2})(?:\.(\d))?")
MAX_TEXT_CHARS = 2000

Pairs = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class ShownForm:
    """What the form shows: values by field name, and its comment lines as (time, text)."""

    fields: Mapping[str, str]
    comments: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, pairs: Pairs) -> "ShownForm":
        """As typed or as stored."""
        times, texts = ([v for k, v in pairs if k == name] for name in ("c_at", "c_text"))
        comments = tuple((at, text) for at, text in zip(times, texts, strict=False) if at.strip() or text.strip())
        return cls(dict(pairs), comments)

    def has(self, name: str) -> bool:
        """Whether a box is ticked."""
        return name in self.fields

    def value(self, name: str, default: str = "") -> str:
        """A field's text."""
        return self.fields.get(name, default)


def read_form(pairs: Pairs, suggested: Iterable[SuggestionRef]) -> EvaluationInput:
    """Read the fields of one submission. Raise CallqaError naming the field that cannot be read."""
    fields: dict[str, str] = dict(pairs)
    deductions = _read_deductions(fields)
    decisions = {int(k[2:]): v for k, v in fields.items() if k.startswith("s:") and _is_number(k[2:]) and v}
    not_applicable = frozenset(k[3:] for k in fields if k.startswith("na:"))
    accepted: dict[tuple[str, str], list[SuggestionRef]] = {}
    for s in suggested:
        if decisions.get(s.suggestion_id) == "accepted" and s.option_code and s.item_id not in not_applicable:
            accepted.setdefault((s.item_id, s.option_code), []).append(s)
    for (item_id, code), found in accepted.items():
        chosen = DeductionInput(times_of(found), found[0].at_ms, found[0].reason[:MAX_TEXT_CHARS])
        deductions.setdefault(item_id, {}).setdefault(code, chosen)
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


def write_form(given: EvaluationInput) -> list[tuple[str, str]]:
    """The fields that `read_form` would read as this."""
    pairs = [(f"na:{item_id}", "1") for item_id in sorted(given.not_applicable)]
    for item_id, options in given.deductions.items():
        for code, chosen in options.items():
            key = f"{item_id}:{code}"
            pairs += [(f"d:{key}", "1"), (f"t:{key}", str(chosen.times))]
            pairs += [(f"at:{key}", _clock(chosen.at_ms)), (f"note:{key}", chosen.note)]
    for fatal in given.fatals:
        pairs += [(f"f:{fatal.fatal_id}", "1"), (f"fat:{fatal.fatal_id}", _clock(fatal.at_ms))]
        pairs.append((f"fwords:{fatal.fatal_id}", fatal.words))
    for comment in given.comments:
        pairs += [("c_at", _clock(comment.at_ms)), ("c_text", comment.text)]
    pairs += [(f"s:{suggestion_id}", decision) for suggestion_id, decision in given.decisions.items()]
    return [*pairs, ("summary", given.summary), ("elapsed_ms", str(given.elapsed_ms))]


def _clock(at_ms: int | None) -> str:
    return "" if at_ms is None else say_offset(at_ms)


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


def _read_comments(pairs: Pairs) -> tuple[CommentInput, ...]:
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


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 12


def _whole(text: str) -> int:
    return int(text) if _is_number(text) else 0


def _text(text: str) -> str:
    """What a person wrote. Agents, the supervisor and the monthly report read it: a citizen's number in it is masked."""
    text = text.replace("\r\n", "\n").strip()
    if len(text) > MAX_TEXT_CHARS:
        raise CallqaError(f"文字太长（{len(text)} 字），请缩短到 {MAX_TEXT_CHARS} 字以内")
    return mask_text(text)
