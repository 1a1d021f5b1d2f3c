"""A speech engine that hears one character per 200 ms of sound and knows no model.

Speech is any frame above -40 dBFS. Words come with the times where the sound is, so mapping to turns can be judged.
"""

from collections.abc import Callable

import numpy as np

from callqa.transcribe.engine import DETECTOR_FRAME_SAMPLES, DecodeRequest, Float, Segment, Word

CHAR_SAMPLES = 3200
LOUD = 0.01


class FakeEngine:
    """`text` makes the k-th character of a window; `requests` keeps what was asked; `heard_ms` how much was heard.

    no_speech: of the first decode only. beyond_ms: a word more, so far after the end of the window.
    """

    name = "fake 1"
    model_sha256 = "0" * 64
    options = (("device", "none"),)

    def __init__(
        self,
        text: Callable[[int], str] = lambda k: "水务热线请问地址停漏"[k % 10],
        probability: float = 0.9,
        retry_text: Callable[[int], str] | None = None,
        no_speech: float = 0.1,
        compression_ratio: float = 1.0,
        beyond_ms: int | None = None,
    ) -> None:
        self._text = text
        self._probability = probability
        self._retry_text = retry_text
        self._no_speech, self._compression_ratio, self._beyond_ms = no_speech, compression_ratio, beyond_ms
        self.requests: list[DecodeRequest] = []
        self.heard_ms: list[int] = []

    def decode(self, samples: Float, request: DecodeRequest) -> list[Segment]:
        assert samples.dtype == np.float32 and samples.ndim == 1
        self.requests.append(request)
        self.heard_ms.append(len(samples) // 16)
        again = len(request.temperatures) > 1
        words = []
        for k, at in enumerate(range(0, len(samples) - CHAR_SAMPLES // 2, CHAR_SAMPLES)):
            if np.sqrt(np.mean(np.square(samples[at : at + CHAR_SAMPLES]))) > LOUD:
                text = (self._retry_text if again and self._retry_text else self._text)(k)
                words.append(Word(text, at // 16, (at + CHAR_SAMPLES) // 16, self._probability))
        if words and self._beyond_ms is not None:
            at_ms = len(samples) // 16 + self._beyond_ms
            words.append(Word("尾", at_ms - 100, at_ms + 100, self._probability))
        no_speech = 0.1 if again else self._no_speech
        return [Segment(tuple(words), no_speech, self._compression_ratio, -0.3)] if words else []

    def speech_probabilities(self, samples: Float) -> Float:
        padded = np.pad(samples, (0, -len(samples) % DETECTOR_FRAME_SAMPLES)).reshape(-1, DETECTOR_FRAME_SAMPLES)
        return (np.sqrt(np.mean(np.square(padded), axis=1)) > LOUD).astype(np.float32)
