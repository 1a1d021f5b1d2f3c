"""Who spoke when on one channel: turns from a voice detector's probabilities, with edges set by level.

The detector alone starts turns up to 0.3 s late after a soft onset; the level alone takes every click for speech. So the
detector says that there is speech and the level says from where to where. A short word between pauses (对。嗯。) often
stays under the detector's threshold: an isolated burst that sounds neither like a tone nor like noise is taken as speech too.
All timing figures of a call rest on these turns, never on text. Pure.
"""

from typing import Final

import numpy as np

from callqa.speech import Span
from callqa.transcribe.audio import ENGINE_RATE_HZ, frame_levels_dbfs
from callqa.transcribe.engine import DETECTOR_FRAME_SAMPLES, Float

ENTER, LEAVE = 0.40, 0.25  # probability at which a turn begins, and under which it may end
MIN_SILENCE_MS: Final = 500  # a shorter pause is inside a turn
MIN_SPEECH_MS: Final = 100
PAD_MS: Final = 30

LEVEL_FRAME_MS: Final = 10
EDGE_SEARCH_MS: Final = 200  # how far the level may move an edge outwards
BELOW_TOP_DB, ABOVE_FLOOR_DB = 30.0, 8.0  # an edge frame is within 30 dB of the turn's level and 8 dB over the noise

BURST_MS: Final = (120, 1_000)
BURST_ABOVE_FLOOR_DB: Final = 18.0
BURST_ENTER: Final = 0.08  # tones, clicks and noise of every level stay under it, but for DTMF
TONE_SHARE: Final = 0.80  # a tone or a DTMF pair has nearly all its power in a few bins, a vowel spreads over harmonics
_TONE_BINS: Final = 10

_DETECTOR_MS: Final = DETECTOR_FRAME_SAMPLES * 1000 / ENGINE_RATE_HZ


def find_turns(samples: Float, probabilities: Float) -> tuple[Span, ...]:
    """Turns of float32 (n_samples,) at 16 000 Hz, in order, at least a frame apart, inside the recording.

    probabilities: float32 (n_frames,), speech per 32 ms.
    """
    duration_ms = len(samples) * 1000 // ENGINE_RATE_HZ
    if not duration_ms:
        return ()
    levels = frame_levels_dbfs(samples, ENGINE_RATE_HZ, LEVEL_FRAME_MS)
    floor = _noise_floor(levels)
    rough = _hysteresis(probabilities, duration_ms)
    edged = [_set_edges(span, levels, floor, duration_ms) for span in rough]
    bursts = [
        span
        for span in _bursts(levels, floor, duration_ms)
        if not any(span.overlap_ms(other) for other in edged) and _is_voice(samples, probabilities, span)
    ]
    return _merged(sorted(edged + bursts))


def _hysteresis(probabilities: Float, duration_ms: int) -> list[Span]:
    spans: list[Span] = []
    begun: float | None = None
    quiet_since: float | None = None
    for i, p in enumerate(probabilities):
        now = i * _DETECTOR_MS
        if begun is None:
            if p >= ENTER:
                begun, quiet_since = now, None
        elif p >= LEAVE:
            quiet_since = None
        else:
            quiet_since = now if quiet_since is None else quiet_since
            if now - quiet_since >= MIN_SILENCE_MS:
                spans.append(Span(round(begun), round(quiet_since)))
                begun = None
    if begun is not None:
        end = duration_ms if quiet_since is None else min(duration_ms, round(quiet_since))
        spans.append(Span(min(round(begun), end), end))
    return [span for span in spans if span.duration_ms >= MIN_SPEECH_MS]


def _noise_floor(levels: Float) -> float:
    """Level under which a tenth of the frames lie; muted or empty frames do not count."""
    heard = levels[levels > -95.0]
    return float(np.percentile(heard, 10)) if len(heard) else -80.0


def _set_edges(span: Span, levels: Float, floor: float, duration_ms: int) -> Span:
    first = max(0, (span.start_ms - EDGE_SEARCH_MS) // LEVEL_FRAME_MS)
    last = min(len(levels), (span.end_ms + EDGE_SEARCH_MS) // LEVEL_FRAME_MS)
    inside = levels[first:last]
    if not len(inside):
        return span
    threshold = max(float(np.percentile(inside, 90)) - BELOW_TOP_DB, floor + ABOVE_FLOOR_DB)
    loud = np.flatnonzero(inside > threshold)
    if not len(loud):
        return span
    start = (first + int(loud[0])) * LEVEL_FRAME_MS - PAD_MS
    end = (first + int(loud[-1]) + 1) * LEVEL_FRAME_MS + PAD_MS
    return Span(max(0, start), min(duration_ms, end))


def _bursts(levels: Float, floor: float, duration_ms: int) -> list[Span]:
    """Short stretches well above the noise, with quiet of MIN_SILENCE_MS / 2 on both sides."""
    loud = np.flatnonzero(levels > floor + BURST_ABOVE_FLOOR_DB)
    if not len(loud):
        return []
    breaks = np.flatnonzero(np.diff(loud) > MIN_SILENCE_MS // 2 // LEVEL_FRAME_MS)
    firsts = loud[np.concatenate(([0], breaks + 1))]
    lasts = loud[np.concatenate((breaks, [len(loud) - 1]))]
    return [
        Span(max(0, int(a) * LEVEL_FRAME_MS - PAD_MS), min(duration_ms, (int(b) + 1) * LEVEL_FRAME_MS + PAD_MS))
        for a, b in zip(firsts, lasts, strict=True)
        if BURST_MS[0] <= (b - a + 1) * LEVEL_FRAME_MS <= BURST_MS[1]
    ]


def _is_voice(samples: Float, probabilities: Float, span: Span) -> bool:
    first, last = int(span.start_ms / _DETECTOR_MS), int(span.end_ms / _DETECTOR_MS) + 3  # the detector lags
    if not len(probabilities[first:last]) or float(probabilities[first:last].max()) < BURST_ENTER:
        return False
    part = samples[span.start_ms * ENGINE_RATE_HZ // 1000 : span.end_ms * ENGINE_RATE_HZ // 1000]
    power = np.abs(np.fft.rfft(part * np.hanning(len(part)), ENGINE_RATE_HZ // 10)) ** 2
    return float(np.sort(power)[-_TONE_BINS:].sum()) < TONE_SHARE * float(power.sum())


def _merged(spans: list[Span]) -> tuple[Span, ...]:
    out: list[Span] = []
    for span in spans:
        if out and span.start_ms - out[-1].end_ms < LEVEL_FRAME_MS:
            out[-1] = Span(out[-1].start_ms, max(out[-1].end_ms, span.end_ms))
        else:
            out.append(span)
    return tuple(out)
