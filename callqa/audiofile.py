"""Audio files: read anything into int16 samples, write 16-bit WAV.

G.711 WAV (RIFF format tags 6 and 7) and 16-bit PCM WAV are read here, bit by bit as ITU-T G.711 defines them; everything
else goes through PyAV, whose only user this file is. Does not resample and does not mix channels.
"""

import io
import logging
import mmap
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

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

_PCM, _ALAW, _MULAW, _EXTENSIBLE = 1, 6, 7, 0xFFFE
_NO_SIZE = 0x7FFF0000  # from here on a size is no promise: writers that cannot go back put the greatest number
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


def g711_table(law: Literal["alaw", "ulaw"]) -> Samples:
    """int16 (256,): the linear value of each byte."""
    return _G711[_ALAW if law == "alaw" else _MULAW]


def read_audio(path: Path) -> Audio:
    """Read a whole audio file. Raise AudioError, naming the file, when it is missing, empty or no audio.

    A WAV whose last bytes are missing (power cut, copy broken off) gives the whole samples that are there.
    """
    return decode_audio(read_bytes(path), str(path))


def read_bytes(path: Path) -> bytes:
    """The whole file. Raise AudioError when it cannot be opened."""
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


def cut_off_ms(data: _Bytes) -> int:
    """How much sound a WAV's head promises that the file no longer holds, in ms; 0 where it is whole or no WAV.

    A writer that did not know the length leaves 0 or nearly the greatest number there, which promises nothing.
    """
    found = _data_chunk(data) if _is_wav(data) else None
    if found is None:
        return 0
    layout, start, _ = found
    if layout is None:
        return 0
    size = struct.unpack_from("<I", data, start - 4)[0]
    byte_rate = layout.n_channels * layout.bits // 8 * layout.sample_rate_hz
    missing = size - (len(data) - start)
    return missing * 1000 // byte_rate if missing > 0 and size < _NO_SIZE and byte_rate else 0


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


def wav_bytes(samples: Samples, rate: int) -> bytes:
    """A 16-bit PCM WAV of int16 (n_samples,) or (n_samples, n_channels).

    The header is 44 bytes, so byte ranges of it can be served.
    """
    table = samples if samples.ndim == 2 else samples[:, None]
    body = np.ascontiguousarray(table, dtype="<i2").tobytes()
    return pcm_header(len(body), table.shape[1], rate) + body


def pcm_header(n_bytes: int, n_channels: int, rate: int) -> bytes:
    """The 44 bytes in front of so many bytes of 16-bit PCM."""
    block = n_channels * 2
    layout = struct.pack("<4sIHHIIHH", b"fmt ", 16, _PCM, n_channels, rate, rate * block, block, 16)
    return struct.pack("<4sI4s", b"RIFF", 36 + n_bytes, b"WAVE") + layout + struct.pack("<4sI", b"data", n_bytes)
