import io
import struct

import av
import numpy as np
import pytest
import soundfile

from callqa.errors import SpoolError
from callqa.sip.media.codec import PCMA, PCMU
from callqa.sip.media.wav import wav_header

RNG = np.random.default_rng(4)


@pytest.mark.parametrize(("encoding", "codec"), [("alaw", PCMA), ("ulaw", PCMU)])
def test_g711_masters_are_read_by_other_programs(encoding, codec):
    raw = RNG.integers(0, 256, (800, 2), np.uint8)
    data = wav_header(encoding, 800) + raw.tobytes()
    samples, rate = soundfile.read(io.BytesIO(data), dtype="int16")
    assert rate == 8000
    assert (samples == codec.decode(raw.tobytes()).reshape(-1, 2)).all()
    with av.open(io.BytesIO(data)) as container:
        assert container.streams.audio[0].codec_context.name == {"alaw": "pcm_alaw", "ulaw": "pcm_mulaw"}[encoding]


def test_pcm_masters_are_read_by_other_programs():
    raw = RNG.integers(-32768, 32767, (800, 2)).astype(np.int16)
    samples, _ = soundfile.read(io.BytesIO(wav_header("pcm16", 800) + raw.tobytes()), dtype="int16")
    assert (samples == raw).all()


def test_the_riff_size_counts_everything_after_itself():
    head = wav_header("alaw", 10)
    assert struct.unpack_from("<I", head, 4)[0] == len(head) + 20 - 8


def test_what_does_not_fit_into_a_wav_is_refused():
    with pytest.raises(SpoolError, match="does not fit"):
        wav_header("pcm16", 2**30)
