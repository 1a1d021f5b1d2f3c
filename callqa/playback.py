"""A recording as browsers can play it, turned into 16-bit PCM WAV as it goes out: any range of bytes, never the whole in memory."""

import mmap
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np

from callqa.audiofile import SamplePlace, Samples, find_samples, g711_table, pcm_header
from callqa.errors import AudioError
from callqa.refusals import os_reason

_SAMPLES_A_PIECE: Final = 1 << 17


class PlayableFile:
    """A G.711 or 16-bit PCM WAV as the 16-bit PCM WAV that browsers play, made piece by piece as it is asked for."""

    def __init__(self, path: Path, place: SamplePlace) -> None:
        self._path, self._place = path, place
        self._bytes_a_sample = 2 if place.encoding == "pcm16" else 1
        self._n_samples = (place.end - place.start) // self._bytes_a_sample  # of all channels
        self._head = pcm_header(2 * self._n_samples, place.n_channels, place.sample_rate_hz)

    @property
    def size(self) -> int:
        """Bytes of the whole."""
        return len(self._head) + 2 * self._n_samples

    def pieces(self, first: int, last: int) -> Iterator[bytes]:
        """The bytes first..last, both included, in pieces; the file is open while they are taken."""
        if first < len(self._head):
            yield self._head[first : last + 1]
        at, end = max(0, first - len(self._head)), last + 1 - len(self._head)
        with self._path.open("rb") as file:
            while at < end:
                sample, until = at // 2, min((end + 1) // 2, at // 2 + _SAMPLES_A_PIECE)
                file.seek(self._place.start + sample * self._bytes_a_sample)
                flat = self._samples(file.read((until - sample) * self._bytes_a_sample))
                yield flat.tobytes()[at - 2 * sample : end - 2 * sample]
                at = 2 * until

    def _samples(self, data: bytes) -> Samples:
        if self._place.encoding == "pcm16":
            return np.frombuffer(data, dtype="<i2")
        return g711_table(self._place.encoding)[np.frombuffer(data, np.uint8)]


def find_playable(path: Path) -> PlayableFile | None:
    """None for everything that must be decoded as a whole. Raise AudioError when the file cannot be opened."""
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            place = find_samples(data)
    except ValueError:  # an empty file cannot be mapped
        return None
    except OSError as e:
        raise AudioError(f"打不开音频文件 {path}：{os_reason(e)}。请确认文件存在且有读取权限。") from e
    if place is None or place.end <= place.start:
        return None
    return PlayableFile(path, place)
