"""What can be measured without words: loudness of each utterance, mutual silence, agent speech over the citizen's.

Timing comes from the speech spans that voice activity found, never from text. Loudness is dBFS (0 = full scale) of the part
of an utterance where somebody speaks.
"""

from collections.abc import Iterable, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from callqa.speech import Span, Transcript
from callqa.units import Channel

FULL_SCALE = 32768.0
# Speech spans closer than this are one breath: voice activity drops out in stops and short pauses.
TURN_JOIN_MS = 300
# An agent who starts this close to the citizen's end did not interrupt: people hear the end coming.
ENTRY_TOLERANCE_MS = 200


def measure_loudness(
    samples: NDArray[np.int16], sample_rate_hz: int, transcript: Transcript
) -> tuple[float | None, ...]:
    """Mean power in dBFS of every utterance, in the transcript's order.

    samples: int16 (n_samples, channels). Only the voiced part counts, where voice activity found one. None for an utterance
    outside the audio, of an unknown channel, or of digital silence.
    """
    return tuple(
        _loudness(samples, sample_rate_hz, utterance.speaker.channel, utterance.span, transcript)
        for utterance in transcript.utterances
    )


def _loudness(
    samples: NDArray[np.int16], sample_rate_hz: int, channel: Channel | None, span: Span, transcript: Transcript
) -> float | None:
    if channel is None or samples.ndim != 2 or samples.shape[1] <= channel:
        return None
    voiced = [common for speech in transcript.speech_of(channel) if (common := intersection(speech, span)) is not None]
    total, count = 0.0, 0
    for part in voiced or [span]:
        first, last = part.start_ms * sample_rate_hz // 1000, part.end_ms * sample_rate_hz // 1000
        stretch = samples[first:last, channel].astype(np.float64)
        total += float(np.dot(stretch, stretch))
        count += len(stretch)
    if not count or total == 0.0:
        return None
    return 10 * float(np.log10(total / count / FULL_SCALE**2))


def intersection(a: Span, b: Span) -> Span | None:
    """The stretch both spans share, or None."""
    start, end = max(a.start_ms, b.start_ms), min(a.end_ms, b.end_ms)
    return Span(start, end) if start < end else None


def joined(spans: Iterable[Span], gap_ms: int = 0) -> tuple[Span, ...]:
    """Spans in order, those that touch or lie no further apart than gap_ms made one."""
    out: list[Span] = []
    for span in sorted(spans):
        if out and span.start_ms - out[-1].end_ms <= gap_ms:
            out[-1] = Span(out[-1].start_ms, max(out[-1].end_ms, span.end_ms))
        else:
            out.append(span)
    return tuple(out)


def total_ms(spans: Iterable[Span]) -> int:
    """Sum of lengths."""
    return sum(span.duration_ms for span in spans)


def mutual_silences(citizen: Sequence[Span], agent: Sequence[Span]) -> tuple[Span, ...]:
    """静音: stretches between the first and the last words of the call in which neither side speaks.

    Before the first word and after the last one there is no conversation to be silent in: the first has its own check
    (response_delay), the last is how long a phone takes to be put down.
    """
    speech = joined([*citizen, *agent])
    return tuple(Span(a.end_ms, b.start_ms) for a, b in pairwise(speech))


def agent_entries_over_citizen(citizen: Sequence[Span], agent: Sequence[Span]) -> tuple[tuple[Span, Span], ...]:
    """抢话: (agent's turn, stretch both speak) for every turn the agent starts while the citizen is speaking."""
    found: list[tuple[Span, Span]] = []
    citizen_turns = joined(citizen, TURN_JOIN_MS)
    for turn in joined(agent, TURN_JOIN_MS):
        for other in citizen_turns:
            entered = other.start_ms + ENTRY_TOLERANCE_MS < turn.start_ms < other.end_ms - ENTRY_TOLERANCE_MS
            common = intersection(turn, other) if entered else None
            if common is not None:
                found.append((turn, common))
    return tuple(found)
