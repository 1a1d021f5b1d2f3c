"""The door between transcription and a speech engine: what is asked, what comes back, and who can answer.

An engine is one file that implements `Engine` (whisper.py; tests have a fake). It hears one stretch of float32 samples
at 16 000 Hz and knows nothing of calls, channels or turns.
"""

from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float32]

DETECTOR_FRAME_SAMPLES: Final = 512  # one speech probability per 32 ms at 16 000 Hz


@dataclass(frozen=True, slots=True)
class Word:
    """A few characters with their time in the samples given and the engine's probability in [0, 1]."""

    text: str
    start_ms: int
    end_ms: int
    probability: float


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch the engine decoded as one: its words and what it thought of them.

    no_speech: probability in [0, 1] that nobody spoke; compression_ratio: length of the text over its zlib length.
    """

    words: tuple[Word, ...]
    no_speech: float
    compression_ratio: float
    mean_log_probability: float


@dataclass(frozen=True, slots=True)
class DecodeRequest:
    """How to decode: prompt before the speech ("" for none), beam, temperatures tried in turn until one passes."""

    prompt: str = ""
    beam_size: int = 5
    temperatures: tuple[float, ...] = (0.0,)


class Engine(Protocol):
    """A speech engine with its model loaded. One call at a time; may be called from any thread."""

    @property
    def name(self) -> str:
        """Engine and version, such as `faster-whisper 1.2.1`."""

    @property
    def model_sha256(self) -> str:
        """Hash of the model file."""

    @property
    def options(self) -> tuple[tuple[str, str], ...]:
        """Device, precision and the like, for the transcript's `Made`."""

    def decode(self, samples: Float, request: DecodeRequest) -> list[Segment]:
        """Words heard in float32 (n_samples,) at 16 000 Hz, in order of time."""

    def speech_probabilities(self, samples: Float) -> Float:
        """Probability of speech per frame of DETECTOR_FRAME_SAMPLES, the last one filled up."""
