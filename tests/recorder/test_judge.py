"""The bench's judge must itself be trusted: it passes a good file and names every kind of bad one."""

import importlib.util
import sys
from pathlib import Path

import av
import numpy as np
import pytest

from callqa.sip.media.codec import PCMA
from callqa.sip.media.wav import wav_header

PATH = Path(__file__).parents[2] / "bench" / "judge.py"


@pytest.fixture(scope="module")
def judge_module():
    spec = importlib.util.spec_from_file_location("judge", PATH)
    module = importlib.util.module_from_spec(spec)
    sys.modules["judge"] = module
    spec.loader.exec_module(module)
    return module


def test_it_imports_nothing_of_the_product():
    assert "import callqa" not in PATH.read_text()
    assert "from callqa" not in PATH.read_text()


@pytest.mark.parametrize(("name", "decoder"), [("decode_alaw", "pcm_alaw"), ("decode_ulaw", "pcm_mulaw")])
def test_its_decoder_agrees_with_an_independent_one(judge_module, name, decoder):
    context = av.CodecContext.create(decoder, "r")
    context.sample_rate = 8000
    context.layout = "mono"
    frames = context.decode(av.Packet(bytes(range(256))))
    expected = np.concatenate([frame.to_ndarray().ravel() for frame in frames]).tolist()
    assert [getattr(judge_module, name)(code) for code in range(256)] == expected


N = 20


@pytest.fixture
def verdict(judge_module, tmp_path):
    legs = (judge_module.Sent(N), judge_module.Sent(N))
    judge = judge_module.Judge({0: legs, 1: legs})

    def of(left, right, lead_ms=0.0, encoding="alaw"):
        n = max(len(left), len(right))
        stereo = np.empty((n, 2), np.uint8)
        for column, audio in enumerate((left, right)):
            stereo[:, column] = np.frombuffer(audio.ljust(n, b"\xd5"), np.uint8)
        samples = PCMA.decode(stereo.tobytes()).reshape(-1, 2) if encoding == "pcm16" else stereo
        path = tmp_path / "call.wav"
        path.write_bytes(wav_header(encoding, n) + samples.tobytes())
        return judge.judge(0, path, lead_ms)

    return of


@pytest.fixture
def good(judge_module):
    return judge_module.leg_audio(0, 0, N), judge_module.leg_audio(0, 1, N)


def test_a_good_call_is_whole(verdict, good):
    left, right = good
    assert verdict(left, right).whole
    assert verdict(left, b"\xd5" * 800 + right, lead_ms=100).whole
    assert verdict(left, right, encoding="pcm16").whole


@pytest.mark.parametrize(
    "spoil",
    [
        lambda left, right: (left[:-160], right),
        lambda left, right: (left, right[:1600] + right[1760:]),
        lambda left, right: (left[:800] + b"\x00" + left[801:], right),
        lambda left, right: (left[:1600] + b"\xd5" * 10 + left[1600:], right),
        lambda left, right: (left + left[:160], right),
        lambda left, right: (right, left),
        lambda left, right: (left, b"\xd5" * 320 + right),
        lambda left, right: (b"", right),
    ],
    ids=["cut", "frame_missing", "one_byte", "slipped", "twice", "swapped", "apart", "empty"],
)
def test_a_spoilt_call_is_not_whole(verdict, good, spoil):
    assert not verdict(*spoil(*good)).whole


def test_frames_of_another_call_are_crosstalk(verdict, good, judge_module):
    left, right = good
    result = verdict(left + judge_module.frame(1, 0, 3), right)
    assert result.legs[0].crosstalk == 1
    assert not result.whole


def test_a_dropped_frame_must_lie_in_a_gap_that_is_called_lost(judge_module, tmp_path, good):
    left, right = good
    dropped = judge_module.Sent(N, frozenset({7}))
    judge = judge_module.Judge({0: (dropped, judge_module.Sent(N))})
    stereo = np.empty((N * 160, 2), np.uint8)
    left = left[: 7 * 160] + b"\xd5" * 160 + left[8 * 160 :]
    stereo[:, 0], stereo[:, 1] = np.frombuffer(left, np.uint8), np.frombuffer(right, np.uint8)
    path = tmp_path / "call.wav"
    path.write_bytes(wav_header("alaw", N * 160) + stereo.tobytes())
    assert judge.judge(0, path, 0.0, lost_ms=([(140, 160)], [])).whole
    for wrong in (([], []), ([(120, 140)], []), ([(140, 300)], []), ([(140, 160)], [(0, 20)])):
        assert not judge.judge(0, path, 0.0, lost_ms=wrong).whole


def test_a_crash_may_take_the_end_and_nothing_else(judge_module, tmp_path, good):
    left, right = good
    judge = judge_module.Judge({0: (judge_module.Sent(N), judge_module.Sent(N))}, cut_s=0.1)
    for cut, hole, whole in ((5, None, True), (6, None, False), (5, 3, False)):
        pieces = [b"\xd5" * 160 if k == hole else left[k * 160 : k * 160 + 160] for k in range(N - cut)]
        stereo = np.full((N * 160, 2), 0xD5, np.uint8)
        stereo[: (N - cut) * 160, 0] = np.frombuffer(b"".join(pieces), np.uint8)
        stereo[:, 1] = np.frombuffer(right, np.uint8)
        path = tmp_path / "call.wav"
        path.write_bytes(wav_header("alaw", N * 160) + stereo.tobytes())
        verdict = judge.judge(0, path, 0.0)
        assert verdict.whole is whole
        assert verdict.legs[0].lost_at_end == cut
