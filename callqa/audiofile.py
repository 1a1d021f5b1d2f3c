"""Audio files: read anything into int16 samples, write 16-bit WAV, make peaks for drawing.

G.711 WAV (RIFF format tags 6 and 7) and 16-bit PCM WAV are read here, bit by bit as ITU-T G.711 defines them; everything
else goes through PyAV, whose only user this file is. Does not resample and does not mix channels.
"""

import io
import logging
import mmap
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import av
import numpy as np
from numpy.typing import NDArray

from callqa.errors import AudioError
from callqa.files import read_file
from callqa.refusals import os_reason

log = logging.getLogger(__name__)

Samples = NDArray[np.int16]
_Bytes = bytes | mmap.mmap

MAX_DURATION_S: Final = 12 * 3600  # a shift and a half; longer is no call, and memory must stay bounded
MAX_CHANNELS: Final = 8
MIN_RATE_HZ, MAX_RATE_HZ = 4_000, 192_000

_RESAMPLE_AT_ONCE: Final = 1 << 20
_SAMPLES_A_PIECE: Final = 1 << 17
_LANES: Final = 32  # samples compared side by side when peaks are made

_PCM, _ALAW, _MULAW, _EXTENSIBLE = 1, 6, 7, 0xFFFE
_ENCODINGS: Final[dict[int, Literal["alaw", "ulaw", "pcm16"]]] = {_PCM: "pcm16", _ALAW: "alaw", _MULAW: "ulaw"}
# RFC 2361: the sub-format of an extensible header is the old tag followed by this fixed tail.
_SUBFORMAT_TAIL: Final = bytes.fromhex("000000001000800000aa00389b71")


@dataclass(frozen=True, slots=True)
class Audio:
    """samples: int16 (n_samples, n_channels). A stereo recording has the citizen left and the agent right."""

    samples: Samples
    sample_rate_hz: int

    @property
    def n_channels(self) -> int:
        return int(self.samples.shape[1])

    @property
    def duration_ms(self) -> int:
        return len(self.samples) * 1000 // self.sample_rate_hz


def _alaw_table() -> Samples:
    """int16 (256,): linear value of each A-law byte, 13 significant bits left-aligned in 16 (G.711 table 1)."""
    code = np.arange(256, dtype=np.int32) ^ 0x55
    exponent, mantissa = (code >> 4) & 7, code & 15
    magnitude = np.where(exponent == 0, (mantissa << 4) + 8, ((mantissa << 4) + 0x108) << np.maximum(exponent - 1, 0))
    return np.where(code & 0x80, magnitude, -magnitude).astype(np.int16)


def _mulaw_table() -> Samples:
    """int16 (256,): linear value of each µ-law byte, 14 significant bits left-aligned in 16 (G.711 table 2)."""
    code = np.arange(256, dtype=np.int32) ^ 0xFF
    magnitude = ((((code & 15) << 3) + 0x84) << ((code >> 4) & 7)) - 0x84
    return np.where(code & 0x80, -magnitude, magnitude).astype(np.int16)


_G711: Final = {_ALAW: _alaw_table(), _MULAW: _mulaw_table()}


def read_audio(path: Path) -> Audio:
    """Read a whole audio file. Raise AudioError, naming the file, when it is missing, empty or no audio.

    A WAV whose last bytes are missing (power cut, copy broken off) gives the whole samples that are there.
    """
    return decode_audio(_read(path), str(path))


def _read(path: Path) -> bytes:
    try:
        return read_file(path)
    except OSError as e:
        raise AudioError(f"打不开音频文件 {path}：{os_reason(e)}。请确认文件存在且有读取权限。") from e


def decode_audio(data: bytes, name: str, *, most_s: int = MAX_DURATION_S) -> Audio:
    """Decode the bytes of one audio file; `name` is only for the error message. Longer than most_s is an error."""
    if not data:
        raise AudioError(f"音频文件 {name} 是空的（0 字节）。请重新导出或重新复制该文件。")
    audio = _decode_wav(data, name)
    if audio is None:
        audio = _decode_any(data, name, most_s)
    elif audio.duration_ms > most_s * 1000:
        raise _too_long(name, most_s)
    if not len(audio.samples):
        raise AudioError(f"音频文件 {name} 里没有任何声音数据。请重新导出或重新复制该文件。")
    return audio


@dataclass(frozen=True, slots=True)
class _WavFormat:
    tag: int
    n_channels: int
    sample_rate_hz: int
    bits: int

    @property
    def read_here(self) -> bool:
        return self.bits == (16 if self.tag == _PCM else 8) and self.tag in (_PCM, _ALAW, _MULAW)


def _is_wav(data: _Bytes) -> bool:
    return data[:4] == b"RIFF" and data[8:12] == b"WAVE"


def _data_chunk(data: _Bytes) -> tuple[_WavFormat | None, int, int] | None:
    """The format before it, if one was read, and [start, end) of the bytes of a WAV's data chunk; None without one."""
    layout: _WavFormat | None = None
    at = 12
    while at + 8 <= len(data):
        kind, size = data[at : at + 4], struct.unpack_from("<I", data, at + 4)[0]
        if kind == b"fmt ":
            layout = _wav_format(data[at + 8 : at + 8 + size])
        elif kind == b"data":
            # a writer that was killed leaves 0 or 0xFFFFFFFF as the size: then the data is what follows
            return layout, at + 8, min(len(data), at + 8 + size) if size else len(data)
        at += 8 + size + (size & 1)
    return None


def _decode_wav(data: bytes, name: str) -> Audio | None:
    """Decode a G.711 or 16-bit PCM WAV; None when it is anything else (PyAV's turn)."""
    if not _is_wav(data):
        return None
    found = _data_chunk(data)
    if found is None:
        raise AudioError(f"音频文件 {name} 的 WAV 头不完整，找不到声音数据。请重新导出或重新复制该文件。")
    layout, start, end = found
    if layout is None or not layout.read_here:
        return None
    _check_shape(layout.n_channels, layout.sample_rate_hz, name)
    return Audio(_wav_samples(memoryview(data)[start:end], layout), layout.sample_rate_hz)


@dataclass(frozen=True, slots=True)
class SamplePlace:
    """Where a WAV's samples lie: bytes [start, end) of the file, whole frames of n_channels interleaved samples."""

    encoding: Literal["alaw", "ulaw", "pcm16"]
    n_channels: int
    sample_rate_hz: int
    start: int
    end: int


def find_samples(data: _Bytes) -> SamplePlace | None:
    """Of a G.711 or 16-bit PCM WAV; None for everything else, which cannot be changed sample by sample in its file."""
    found = _data_chunk(data) if _is_wav(data) else None
    if found is None:
        return None
    layout, start, end = found
    if layout is None or not layout.read_here or not 1 <= layout.n_channels <= MAX_CHANNELS:
        return None
    frame_bytes = layout.n_channels * layout.bits // 8
    end = start + (end - start) // frame_bytes * frame_bytes
    return SamplePlace(_ENCODINGS[layout.tag], layout.n_channels, layout.sample_rate_hz, start, end)


@dataclass(frozen=True, slots=True)
class LawAudio:
    """G.711 as it lies in a file. samples: uint8 (n_samples, n_channels)."""

    law: Literal["alaw", "ulaw"]
    samples: NDArray[np.uint8]
    sample_rate_hz: int


def read_law(data: bytes) -> LawAudio | None:
    """The untouched bytes of a G.711 WAV with audio in it; None for everything else."""
    place = find_samples(data)
    if place is None or place.encoding == "pcm16":
        return None
    samples = np.frombuffer(data, np.uint8, place.end - place.start, place.start).reshape(-1, place.n_channels)
    return LawAudio(place.encoding, samples, place.sample_rate_hz)


def _wav_format(body: bytes) -> _WavFormat | None:
    if len(body) < 16:
        return None
    tag, n_channels, rate, _, _, bits = struct.unpack_from("<HHIIHH", body)
    if tag == _EXTENSIBLE and len(body) >= 40 and body[26:40] == _SUBFORMAT_TAIL:
        tag = struct.unpack_from("<H", body, 24)[0]
    return _WavFormat(tag, n_channels, rate, bits)


def _wav_samples(body: memoryview, layout: _WavFormat) -> Samples:
    frame_bytes = layout.n_channels * layout.bits // 8
    whole = body[: len(body) // frame_bytes * frame_bytes]
    if layout.tag == _PCM:
        flat = np.frombuffer(whole, dtype="<i2").astype(np.int16)
    else:
        flat = _G711[layout.tag][np.frombuffer(whole, dtype=np.uint8)]
    return flat.reshape(-1, layout.n_channels)


def _too_long(name: str, most_s: int) -> AudioError:
    if most_s < 3600:
        return AudioError(f"音频文件 {name} 超过 {most_s // 60} 分钟。请剪短后再上传。")
    return AudioError(f"音频文件 {name} 超过 {most_s // 3600} 小时，不像一通电话。请先分段。")


def _decode_any(data: bytes, name: str, most_s: int) -> Audio:
    try:
        with av.open(io.BytesIO(data), mode="r", metadata_errors="ignore") as container:
            if not container.streams.audio:
                raise AudioError(f"文件 {name} 里没有音频。请提供录音文件（WAV、MP3、Opus、M4A 等）。")
            stream = container.streams.audio[0]
            n_channels, rate = stream.codec_context.channels, stream.codec_context.sample_rate
            _check_shape(n_channels, rate, name)
            layout = stream.codec_context.layout
            resampler = av.AudioResampler(format="s16", layout=layout, rate=rate)
            blocks: list[Samples] = []
            n_samples = 0
            for frame in container.decode(stream):
                for part in resampler.resample(frame):
                    blocks.append(part.to_ndarray().astype(np.int16, copy=False).reshape(-1, n_channels))
                    n_samples += part.samples
                if n_samples > most_s * rate:
                    raise _too_long(name, most_s)
    except (av.error.FFmpegError, ValueError, EOFError) as e:
        raise AudioError(f"文件 {name} 不是能识别的音频，或者已经损坏。请提供 WAV、MP3、Opus、M4A 等录音文件。") from e
    samples = np.concatenate(blocks) if blocks else np.zeros((0, n_channels), np.int16)
    return Audio(np.ascontiguousarray(samples, dtype=np.int16), rate)


def decode_payloads(decoder: str, payloads: Sequence[bytes], sample_rate_hz: int) -> list[Samples]:
    """int16 (n,) of each payload of one mono stream in order of sending; a payload that is damaged gives none.

    decoder: FFmpeg's name; sample_rate_hz: the rate it decodes at. Raise AudioError when this FFmpeg has no such decoder.
    """
    context = _decoder(decoder, sample_rate_hz)
    return [_decoded(context, payload) for payload in payloads]


class LiveDecoder:
    """One mono stream decoded packet by packet as it comes, at another rate. Raise AudioError without the decoder."""

    def __init__(self, decoder: str, sample_rate_hz: int, to_hz: int) -> None:
        self._context = _decoder(decoder, sample_rate_hz)
        self._rate_hz = sample_rate_hz
        self._resampler = (
            av.AudioResampler(format="s16", layout="mono", rate=to_hz) if to_hz != sample_rate_hz else None
        )

    def decode(self, payload: bytes) -> Samples:
        """int16 (n,); a payload that is damaged gives none. The resampler holds back a few samples."""
        samples = _decoded(self._context, payload)
        if self._resampler is None or not samples.size:
            return samples
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples)[None, :], format="s16", layout="mono")
        frame.sample_rate = self._rate_hz
        parts = [part.to_ndarray()[0] for part in self._resampler.resample(frame)]
        return np.concatenate(parts) if parts else np.zeros(0, np.int16)


def _decoder(name: str, sample_rate_hz: int) -> av.AudioCodecContext:
    try:
        context = av.CodecContext.create(name, "r")
    except ValueError as e:  # av.error.UnknownCodecError is one
        raise AudioError(f"这套安装的 FFmpeg 不能解码 {name}；请把话机或中继设为 G.711") from e
    assert isinstance(context, av.AudioCodecContext)
    context.sample_rate, context.layout = sample_rate_hz, "mono"
    return context


def _decoded(context: av.AudioCodecContext, payload: bytes) -> Samples:
    try:
        frames = context.decode(av.Packet(payload)) if payload else []
    except (av.error.FFmpegError, ValueError):
        frames = []
    parts = [_as_int16(frame.to_ndarray()) for frame in frames]
    return np.concatenate(parts) if parts else np.zeros(0, np.int16)


def _as_int16(values: NDArray[np.generic]) -> Samples:
    """The first channel of a decoded frame, planar or packed mono."""
    first = values.reshape(values.shape[0], -1)[0]
    if first.dtype.kind == "f":
        return np.clip(np.rint(first * 32768.0), -32768, 32767).astype(np.int16)
    return first.astype(np.int16)


def resample(samples: Samples, from_hz: int, to_hz: int) -> Samples:
    """int16 (n,) at another rate, (n * to_hz / from_hz,) rounded, in place on the clock (the filter's delay is taken out)."""
    if from_hz == to_hz or not samples.size:
        return samples
    resampler = av.AudioResampler(format="s16", layout="mono", rate=to_hz)
    parts: list[Samples] = []
    for start in range(0, samples.size, _RESAMPLE_AT_ONCE):
        piece = np.ascontiguousarray(samples[start : start + _RESAMPLE_AT_ONCE])
        frame = av.AudioFrame.from_ndarray(piece[None, :], format="s16", layout="mono")
        frame.sample_rate = from_hz
        parts += [part.to_ndarray()[0] for part in resampler.resample(frame)]
    parts += [part.to_ndarray()[0] for part in resampler.resample(None)]
    whole = np.concatenate(parts) if parts else np.zeros(0, np.int16)
    wanted = round(samples.size * to_hz / from_hz)
    return np.pad(whole[:wanted], (0, max(0, wanted - whole.size)))


def _check_shape(n_channels: int, rate: int, name: str) -> None:
    if not 1 <= n_channels <= MAX_CHANNELS:
        raise AudioError(f"音频文件 {name} 有 {n_channels} 个声道，只能读 1 到 {MAX_CHANNELS} 个。")
    if not MIN_RATE_HZ <= rate <= MAX_RATE_HZ:
        raise AudioError(f"音频文件 {name} 的采样率是 {rate} Hz，只能读 {MIN_RATE_HZ} 到 {MAX_RATE_HZ} Hz。")


def wav_bytes(samples: Samples, rate: int, *, start_ms: int | None = None, end_ms: int | None = None) -> bytes:
    """A 16-bit PCM WAV of int16 (n_samples,) or (n_samples, n_channels), or of the part [start_ms, end_ms).

    Times outside the recording are cut to it. The header is 44 bytes, so byte ranges of it can be served.
    """
    table = samples if samples.ndim == 2 else samples[:, None]
    first = max(0, (start_ms or 0) * rate // 1000)
    last = len(table) if end_ms is None else max(first, end_ms * rate // 1000)
    body = np.ascontiguousarray(table[first:last], dtype="<i2").tobytes()
    return _pcm_header(len(body), table.shape[1], rate) + body


def _pcm_header(n_bytes: int, n_channels: int, rate: int) -> bytes:
    block = n_channels * 2
    layout = struct.pack("<4sIHHIIHH", b"fmt ", 16, _PCM, n_channels, rate, rate * block, block, 16)
    return struct.pack("<4sI4s", b"RIFF", 36 + n_bytes, b"WAVE") + layout + struct.pack("<4sI", b"data", n_bytes)


class PlayableFile:
    """A G.711 or 16-bit PCM WAV as the 16-bit PCM WAV that browsers play, made piece by piece as it is asked for."""

    def __init__(self, path: Path, place: SamplePlace) -> None:
        self._path, self._place = path, place
        self._bytes_a_sample = 2 if place.encoding == "pcm16" else 1
        self._n_samples = (place.end - place.start) // self._bytes_a_sample  # of all channels
        self._head = _pcm_header(2 * self._n_samples, place.n_channels, place.sample_rate_hz)

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
        return _G711[_ALAW if self._place.encoding == "alaw" else _MULAW][np.frombuffer(data, np.uint8)]


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


@dataclass(frozen=True, slots=True)
class Peaks:
    """levels: the loudest of every stretch, [n_channels][n] in [0, 1] with 3 decimals."""

    levels: list[list[float]]
    duration_ms: int


def read_peaks(path: Path, *, a_second: int, most: int) -> Peaks:
    """About `a_second` values a second, `most` in all; a stretch is a multiple of 32 samples (but for the last one).

    The bytes of a G.711 recording are compared as they are: half an hour takes some tens of milliseconds. Raise AudioError.
    """
    data = _read(path)
    law = read_law(data)
    if law is None:
        audio = decode_audio(data, str(path))
        n_samples, rate = len(audio.samples), audio.sample_rate_hz
        return Peaks(_peaks(audio.samples, _stretch(n_samples, rate, a_second, most)), audio.duration_ms)
    code, key = (_ALAW, 0x55) if law.law == "alaw" else (_MULAW, 0xFF)
    ranks = law.samples ^ np.uint8(key)
    ranks &= np.uint8(0x7F)  # the sign taken away, what is left grows with the magnitude
    loudest = _largest(ranks, _stretch(len(ranks), law.sample_rate_hz, a_second, most))
    magnitudes = np.abs(_G711[code][np.arange(128) ^ key].astype(np.int32))
    return Peaks(_as_shares(magnitudes[loudest]), len(ranks) * 1000 // law.sample_rate_hz)


def _peaks(samples: Samples, stretch: int) -> list[list[float]]:
    high, low = _largest(samples, stretch).astype(np.int32), _largest(~samples, stretch).astype(np.int32) + 1
    return _as_shares(np.maximum(high, low))


def _stretch(n_samples: int, rate: int, a_second: int, most: int) -> int:
    buckets = max(1, min(most, n_samples * a_second // rate))
    return -(-n_samples // (buckets * _LANES)) * _LANES


def _largest(values: NDArray[Any], stretch: int) -> NDArray[Any]:
    """(n_buckets, n_channels): the largest of each `stretch` rows. In lanes, so that the inner loop is a long one."""
    n_channels = values.shape[1]
    n_whole = len(values) // stretch
    whole = np.ascontiguousarray(values[: n_whole * stretch]).reshape(n_whole, stretch // _LANES, _LANES * n_channels)
    largest = whole.max(axis=1).reshape(n_whole, _LANES, n_channels).max(axis=1)
    rest = values[n_whole * stretch :]
    return np.concatenate([largest, rest.max(axis=0, keepdims=True)]) if len(rest) else largest


def _as_shares(magnitudes: NDArray[Any]) -> list[list[float]]:
    shares: list[list[float]] = np.round(magnitudes / 32768.0, 3).T.tolist()
    return shares
