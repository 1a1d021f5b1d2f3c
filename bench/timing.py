"""Who spoke when: what a reference says, what was heard in a recording without decoding a word, and how the two differ.

What is heard goes the product's whole way: echo gate, resampling, detector, edges by level. Dead air and interruptions follow by
the rules of the rubric: silence of both of 10 seconds and more; an agent's turn of more than a second that covers a second and
more of the citizen's.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from callqa.audiofile import Audio
from callqa.scoring.acoustics import agent_entries_over_citizen, mutual_silences
from callqa.speech import Span, Speaker
from callqa.transcribe.assemble import transcribe_call
from callqa.transcribe.engine import DecodeRequest, Float, Segment
from callqa.transcribe.whisper import load_detector

DEAD_AIR_MS: Final = 10_000
INTERRUPTION_MS: Final = 1_000
BACKCHANNEL_MS: Final = 1_000  # an agent's turn no longer than this is a word of assent
SIDES: Final = (Speaker.CITIZEN, Speaker.AGENT)


@dataclass(frozen=True, slots=True)
class Turns:
    """Who spoke when in one call, as the reference or the recording says: (citizen's spans, agent's spans)."""

    speech: tuple[tuple[Span, ...], tuple[Span, ...]]
    dead_air: tuple[Span, ...]
    interruptions: tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class Events:
    """Of the planted events of one kind: how many there are, how many nothing was found for, what was found beside."""

    planted: int
    missed: int
    extra: int


def reference_turns(turns: Iterable[Mapping[str, Any]]) -> Turns:
    """From the `turns` of a reference: what it marks as interruption and as silence, not what its times would give."""
    speech: tuple[list[Span], list[Span]] = ([], [])
    dead_air, interruptions = [], []
    for turn in turns:
        span = Span(_ms(turn["start"]), _ms(turn["end"]))
        speech[SIDES.index(Speaker(turn["speaker"]))].append(span)
        silence_ms = _ms(turn.get("silence_before_s", 0))
        if silence_ms >= DEAD_AIR_MS:
            dead_air.append(Span(span.start_ms - silence_ms, span.start_ms))
        if turn.get("interrupts"):
            interruptions.append(span)
    return Turns((tuple(speech[0]), tuple(speech[1])), tuple(dead_air), tuple(interruptions))


def heard_turns(citizen: Sequence[Span], agent: Sequence[Span]) -> Turns:
    """With what follows from when both spoke."""
    return Turns(
        (tuple(citizen), tuple(agent)),
        tuple(span for span in mutual_silences(citizen, agent) if span.duration_ms >= DEAD_AIR_MS),
        tuple(
            turn
            for turn, common in agent_entries_over_citizen(citizen, agent)
            if common.duration_ms >= INTERRUPTION_MS and turn.duration_ms > BACKCHANNEL_MS
        ),
    )


def compared(planted: Sequence[Span], found: Sequence[Span]) -> Events:
    """Events that touch are the same one."""
    return Events(
        len(planted),
        sum(not any(event.overlap_ms(other) for other in found) for event in planted),
        sum(not any(event.overlap_ms(other) for other in planted) for event in found),
    )


def start_deviations_s(reference: Turns, heard: Turns) -> list[float]:
    """How far the starts of turns are off, each against the nearest one heard on it; a turn without one is infinitely far."""
    return [
        min((abs(span.start_ms - turn.start_ms) for span in spans if span.overlap_ms(turn)), default=float("inf"))
        / 1000
        for turns, spans in zip(reference.speech, heard.speech, strict=True)
        for turn in turns
    ]


def percentile_90(values: Iterable[float]) -> float | None:
    """None where it is not finite or nothing was measured."""
    ordered = sorted(values)
    worst = ordered[min(len(ordered) - 1, int(0.9 * len(ordered)))] if ordered else float("inf")
    return None if worst == float("inf") else round(worst, 3)


def figures(calls: Sequence[tuple[Turns, Turns]]) -> dict[str, float | int | None]:
    """Of (reference, heard) of all calls together, as in the JSON line."""
    off = [each for call in calls for each in start_deviations_s(*call)]
    told: dict[str, float | int | None] = {
        "turn_start_p90_s": percentile_90(off),
        "turns_missed": off.count(float("inf")),
    }
    for name in ("dead_air", "interruptions"):
        events = [compared(getattr(reference, name), getattr(heard, name)) for reference, heard in calls]
        told[f"{name}_planted"] = sum(each.planted for each in events)
        told[f"{name}_missed"] = sum(each.missed for each in events)
        told[f"{name}_extra"] = sum(each.extra for each in events)
    return told


class Listener:
    """An engine that hears when somebody speaks and not what."""

    name, model_sha256, options = "listener", "", ()

    def __init__(self) -> None:
        self.speech_probabilities = load_detector().probabilities

    def decode(self, samples: Float, request: DecodeRequest) -> list[Segment]:
        return []


def listen(audio: Audio, listener: Listener) -> Turns:
    """When both spoke, by the product's way from recording to turns."""
    return heard_turns(*transcribe_call(audio, listener, recording_sha256="").speech)


def line_of(recording: bytes, reference: Turns, heard: Turns) -> dict[str, Any]:
    """One call for a file without words and sound."""
    return {
        "recording_sha256": hashlib.sha256(recording).hexdigest(),
        "turns": [_pairs(spans) for spans in reference.speech],
        "dead_air": _pairs(reference.dead_air),
        "interruptions": _pairs(reference.interruptions),
        "heard": [_pairs(spans) for spans in heard.speech],
    }


def read_line(line: Mapping[str, Any]) -> tuple[Turns, Turns]:
    """(reference, heard) of what `line_of` made."""
    citizen, agent = (_spans(pairs) for pairs in line["turns"])
    reference = Turns((citizen, agent), _spans(line["dead_air"]), _spans(line["interruptions"]))
    return reference, heard_turns(*(_spans(pairs) for pairs in line["heard"]))


def _pairs(spans: Iterable[Span]) -> list[list[int]]:
    return [[span.start_ms, span.end_ms] for span in spans]


def _spans(pairs: Iterable[Sequence[int]]) -> tuple[Span, ...]:
    return tuple(Span(*pair) for pair in pairs)


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
