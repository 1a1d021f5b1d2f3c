"""The head of a master file: RIFF/WAVE with G.711 (format tags 6 and 7, with a fact chunk) or 16-bit PCM."""

import struct

from callqa.errors import SpoolError
from callqa.sip.media.codec import Encoding, codec_of_encoding

_MAX_RIFF_BYTES = 0xFFFF_FFFF


def wav_header(encoding: Encoding, n_samples: int, *, sample_rate_hz: int = 8000, channels: int = 2) -> bytes:
    """Everything before the samples. n_samples: per channel; the data must follow in full."""
    codec = codec_of_encoding(encoding)
    sample_bytes = 1 if codec else 2
    frame_bytes = sample_bytes * channels
    shape = (codec.wav_format if codec else 1, channels, sample_rate_hz, sample_rate_hz * frame_bytes, frame_bytes)
    fmt = struct.pack("<HHIIHH", *shape, 8 * sample_bytes)
    if codec:  # every format but PCM has an (empty) extension and says its length in samples
        chunks = _chunk(b"fmt ", fmt + b"\0\0") + _chunk(b"fact", struct.pack("<I", n_samples))
    else:
        chunks = _chunk(b"fmt ", fmt)
    data_bytes = n_samples * frame_bytes
    riff_bytes = 4 + len(chunks) + 8 + data_bytes
    if riff_bytes > _MAX_RIFF_BYTES:
        raise SpoolError(f"recording of {data_bytes} bytes does not fit into a WAV file")
    return struct.pack("<4sI4s", b"RIFF", riff_bytes, b"WAVE") + chunks + struct.pack("<4sI", b"data", data_bytes)


def _chunk(name: bytes, body: bytes) -> bytes:
    return name + struct.pack("<I", len(body)) + body
