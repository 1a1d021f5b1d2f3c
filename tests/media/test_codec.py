import av
import numpy as np
import pytest

from callqa.sip.media.codec import CODECS, PCMA, PCMU, codec_named, codec_of_type

EVERY_CODE = bytes(range(256))
EVERY_SAMPLE = np.arange(-32768, 32768).astype(np.int16)


@pytest.mark.parametrize(("codec", "decoder"), [(PCMA, "pcm_alaw"), (PCMU, "pcm_mulaw")])
def test_every_code_decodes_as_an_independent_decoder_does(codec, decoder):
    context = av.CodecContext.create(decoder, "r")
    context.sample_rate = 8000
    context.layout = "mono"
    frames = context.decode(av.Packet(EVERY_CODE))
    expected = np.concatenate([frame.to_ndarray().ravel() for frame in frames])
    assert codec.decode(EVERY_CODE).tolist() == expected.tolist()


@pytest.mark.parametrize("codec", CODECS, ids=lambda c: c.name)
def test_encoding_undoes_decoding(codec):
    """Every code comes back, but for mu-law's second zero, which stands for the same sample."""
    back = codec.encode(codec.decode(EVERY_CODE))
    differing = [code for code in range(256) if back[code] != code]
    assert differing == ([0x7F] if codec is PCMU else [])


@pytest.mark.parametrize(("codec", "loudest"), [(PCMA, 32256), (PCMU, 32124)])
def test_quantising_errs_by_at_most_half_a_step(codec, loudest):
    decoded = codec.decode(codec.encode(EVERY_SAMPLE)).astype(int)
    sample = np.clip(EVERY_SAMPLE.astype(int), -loudest, loudest)
    # A step is a sixteenth of its segment, so half a step is at most 1/32 of the sample (or 8 near zero).
    assert (np.abs(decoded - sample) <= np.maximum(np.abs(sample) / 32 + 4.2, 8)).all()


def test_silence_has_the_idle_code():
    assert (PCMA.idle, PCMU.idle) == (0xD5, 0xFF)
    assert abs(int(PCMA.decode(bytes([PCMA.idle]))[0])) <= 8
    assert int(PCMU.decode(bytes([PCMU.idle]))[0]) == 0


def test_codecs_are_found_by_rtpmap_and_by_static_number():
    assert codec_named("pcma/8000") is PCMA
    assert codec_named("PCMU/8000/1") is PCMU
    assert codec_named("G722/8000") is None
    assert codec_of_type(96, ((96, "PCMU/8000"),)) is PCMU
    assert codec_of_type(8, ()) is PCMA
    assert codec_of_type(8, ((8, "G729/8000"),)) is None
    assert codec_of_type(101, ((101, "telephone-event/8000"),)) is None
