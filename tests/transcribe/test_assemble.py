"""From recording to transcript with a fake engine: order, times, doubt, progress, mono."""

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callqa.audiofile import Audio
from callqa.speech import Speaker
from callqa.transcribe.assemble import Plan, transcribe_call
from callqa.transcribe.audio import channel_float, to_engine_rate
from callqa.transcribe.engine import DecodeRequest, Float, Segment
from callqa.transcribe.repair import build_repairer
from callqa.transcribe.vocabulary import ROLE_PROMPTS
from callqa.transcribe.windows import WINDOW_MS
from tests.fakes_engine import FakeEngine
from tests.transcribe.word_models import Unigrams

RATE = 8000


def recording(
    duration_ms: int, citizen: list[tuple[int, int]], agent: list[tuple[int, int]], *, columns: int = 2
) -> Audio:
    """Noise bursts where somebody speaks, faint noise elsewhere."""
    rng = np.random.default_rng(7)
    n = duration_ms * RATE // 1000
    samples = rng.normal(0, 3, (n, 2))
    for column, turns in enumerate((citizen, agent)):
        for start_ms, end_ms in turns:
            part = slice(start_ms * RATE // 1000, end_ms * RATE // 1000)
            samples[part, column] = rng.normal(0, 3000, len(samples[part, column]))
    return Audio(samples[:, :columns].astype(np.int16), RATE)


def test_turns_of_both_sides_come_in_order_with_their_words() -> None:
    audio = recording(12_000, [(2_000, 4_000), (8_000, 9_000)], [(500, 1_500), (5_000, 7_000)])
    transcript = transcribe_call(audio, FakeEngine(), recording_sha256="abc")
    assert [u.speaker for u in transcript.utterances] == [
        Speaker.AGENT,
        Speaker.CITIZEN,
        Speaker.AGENT,
        Speaker.CITIZEN,
    ]
    assert [u.index for u in transcript.utterances] == [0, 1, 2, 3]
    for u, (start, end) in zip(
        transcript.utterances, [(500, 1_500), (2_000, 4_000), (5_000, 7_000), (8_000, 9_000)], strict=True
    ):
        assert abs(u.span.start_ms - start) <= 60 and abs(u.span.end_ms - end) <= 60
        assert abs(sum(c.isalnum() for c in u.text) - (end - start) / 200) <= 3
        assert u.reliable and u.confidence == pytest.approx(0.9)
    assert transcript.duration_ms == 12_000 and transcript.separated
    assert transcript.made.engine == "fake 1" and transcript.made.recording_sha256 == "abc"
    assert ("device", "none") in transcript.made.options


spans = st.lists(st.tuples(st.integers(0, 40), st.integers(1, 12)), max_size=6)


def placed(steps: list[tuple[int, int]]) -> list[tuple[int, int]]:
    out, at = [], 0
    for pause, length in steps:
        start = at + 700 + pause * 100
        out.append((start, start + 200 + length * 100))
        at = out[-1][1]
    return out


@settings(max_examples=25)
@given(spans, spans)
def test_laws_of_every_transcript(citizen_steps: list[tuple[int, int]], agent_steps: list[tuple[int, int]]) -> None:
    """Ordered, inside the recording, exactly the spans of voice activity, nothing lost, progress 0 to 100 and never back."""
    citizen, agent = placed(citizen_steps), placed(agent_steps)
    duration_ms = max([end for _, end in citizen + agent], default=0) + 1_000
    seen: list[int] = []
    transcript = transcribe_call(
        recording(duration_ms, citizen, agent), FakeEngine(), recording_sha256="", progress=seen.append
    )
    starts = [u.span.start_ms for u in transcript.utterances]
    assert starts == sorted(starts)
    assert all(0 <= u.span.start_ms < u.span.end_ms <= duration_ms for u in transcript.utterances)
    for channel, speaker in enumerate((Speaker.CITIZEN, Speaker.AGENT)):
        assert [u.span for u in transcript.utterances if u.speaker is speaker] == list(transcript.speech[channel])
        turns = transcript.speech[channel]
        assert all(a.end_ms < b.start_ms for a, b in pairwise(turns))
    assert seen[0] == 0 and seen[-1] == 100 and seen == sorted(seen)


def test_a_long_monologue_is_heard_in_windows_the_engine_can_hold() -> None:
    engine = FakeEngine()
    transcript = transcribe_call(recording(75_000, [(1_000, 74_000)], []), engine, recording_sha256="")
    assert len(transcript.utterances) == 1
    assert max(engine.heard_ms) <= WINDOW_MS and len(engine.heard_ms) >= 3
    assert len(transcript.utterances[0].raw_text) == pytest.approx(73_000 / 200, abs=6)


def test_the_agents_echo_is_not_the_citizen() -> None:
    """An echo so loud that the detector takes it for speech; a citizen as loud who speaks alone is one."""
    audio = recording(9_000, [(6_000, 8_000)], [(1_000, 3_000)])
    agent = np.clip(audio.samples[:, 1].astype(int) * 3, -32768, 32767)
    echo = np.roll(agent, RATE * 60 // 1000) // 16  # -24 dB, 60 ms later
    alone = np.where(np.arange(len(agent)) > 5_000 * RATE // 1000, audio.samples[:, 0] // 5, audio.samples[:, 0])
    audio = Audio(np.stack([alone + echo, agent], axis=1).astype(np.int16), RATE)
    assert FakeEngine().speech_probabilities(to_engine_rate(channel_float(audio.samples, 0), RATE))[40:80].any()
    transcript = transcribe_call(audio, FakeEngine(), recording_sha256="")
    assert [u.speaker for u in transcript.utterances] == [Speaker.AGENT, Speaker.CITIZEN]
    assert transcript.utterances[1].span.start_ms > 5_000


@pytest.mark.parametrize(("beyond_ms", "kept"), [(150, True), (600, False)])
def test_a_word_heard_after_the_end_of_the_window_is_nobodys(beyond_ms: int, kept: bool) -> None:
    """The engine's padding: but its word times are off by as much as a word."""
    engine = FakeEngine(beyond_ms=beyond_ms)
    transcript = transcribe_call(recording(5_000, [(1_000, 3_000)], []), engine, recording_sha256="")
    assert ("尾" in transcript.utterances[0].text) is kept


def test_a_window_that_the_engine_believes_silent_is_heard_again_and_the_other_text_kept() -> None:
    """However likely the words of the first decode are against those of the second."""
    engine = FakeEngine(
        lambda k: "甲乙丙丁戊己庚辛壬癸"[k % 10],
        probability=0.44,
        no_speech=0.9,
        retry_text=lambda k: "水务热线请问地址停漏"[k % 10],
    )
    transcript = transcribe_call(recording(5_000, [(1_000, 3_000)], []), engine, recording_sha256="")
    assert "热线请问地址" in transcript.utterances[0].text and not transcript.utterances[0].reliable


def test_a_side_of_short_turns_with_a_character_each_is_heard_again_and_not_relied_on() -> None:
    """Each turn alone may be one long 嗯; eight of them in a row are speech that was not followed."""
    turns = [(1_000 + 3_000 * n, 2_300 + 3_000 * n) for n in range(8)]
    audio = recording(26_000, turns, [(24_500, 25_500)])
    deaf = FakeEngine(lambda k: "嗯" if k % 7 == 0 else "")
    transcript = transcribe_call(audio, deaf, recording_sha256="")
    assert [r.temperatures for r in deaf.requests[:2]] == [Plan().temperatures, Plan().retry_temperatures]
    assert not any(u.reliable for u in transcript.utterances if u.speaker is Speaker.CITIZEN)
    engine = FakeEngine(lambda k: "嗯" if k % 7 == 0 else "", retry_text=lambda k: "家里没有水压力很低"[k % 9])
    transcript = transcribe_call(audio, engine, recording_sha256="")
    assert all(u.reliable for u in transcript.utterances if u.speaker is Speaker.CITIZEN)


def test_a_text_that_packs_too_well_is_not_relied_on() -> None:
    audio = recording(5_000, [(1_000, 3_000)], [])
    (plain,) = transcribe_call(audio, FakeEngine(), recording_sha256="").utterances
    (packed,) = transcribe_call(audio, FakeEngine(compression_ratio=3.0), recording_sha256="").utterances
    assert plain.reliable and packed.text == plain.text and not packed.reliable


@pytest.mark.parametrize(("text", "reliable"), [("水务热线", True), ("水污热线", True), ("谁污谁污", False)])
def test_a_text_that_was_mostly_repaired_is_not_relied_on(text: str, reliable: bool) -> None:
    audio = recording(4_000, [], [(1_000, 2_200)])
    repairer = build_repairer(Unigrams())
    engine = FakeEngine(lambda k: text[k % 4])
    (utterance,) = transcribe_call(audio, engine, recording_sha256="", repairer=repairer).utterances
    changed = sum(r.end - r.start for r in utterance.repairs)
    assert (changed > len(utterance.text) / 2) is not reliable and utterance.reliable is reliable


def test_a_doubtful_turn_is_decoded_again_and_the_better_text_kept() -> None:
    audio = recording(12_000, [(1_000, 4_000), (6_000, 9_000)], [])
    engine = FakeEngine(text=lambda k: "了", retry_text=lambda k: "家里没有水压力很低"[k % 9])
    transcript = transcribe_call(audio, engine, recording_sha256="")
    assert [r.temperatures for r in engine.requests] == [Plan().temperatures, Plan().retry_temperatures]
    assert all("没有水" in u.text and u.reliable for u in transcript.utterances)


def test_what_is_doubtful_twice_stays_and_is_marked() -> None:
    transcript = transcribe_call(
        recording(5_000, [(1_000, 4_000)], []), FakeEngine(text=lambda k: "了"), recording_sha256=""
    )
    assert transcript.utterances[0].text and not transcript.utterances[0].reliable


def test_a_turn_without_doubt_is_decoded_once() -> None:
    engine = FakeEngine()
    transcribe_call(recording(5_000, [(1_000, 4_000)], []), engine, recording_sha256="")
    assert [r.temperatures for r in engine.requests] == [Plan().temperatures]


def test_a_plan_with_prompts_gives_each_role_its_own_and_says_so() -> None:
    engine = FakeEngine()
    audio = recording(6_000, [(1_000, 2_000)], [(3_000, 4_000)])
    transcript = transcribe_call(audio, engine, recording_sha256="", plan=Plan(prompts=ROLE_PROMPTS))
    assert [r.prompt for r in engine.requests if r.prompt] == [
        ROLE_PROMPTS[Speaker.CITIZEN],
        ROLE_PROMPTS[Speaker.AGENT],
    ]
    assert dict(transcript.made.options)["prompts"] == "agent+citizen+unknown"


def test_speech_without_words_stays_as_an_unreliable_empty_utterance() -> None:
    transcript = transcribe_call(
        recording(5_000, [(1_000, 3_000)], []), FakeEngine(text=lambda k: ""), recording_sha256=""
    )
    (utterance,) = transcript.utterances
    assert (utterance.text, utterance.reliable, utterance.confidence) == ("", False, 0.0)


def test_known_inventions_are_dropped_but_kept_beside() -> None:
    invented = "字幕由志愿者提供"
    engine = FakeEngine(text=lambda k: invented[k % 8])
    transcript = transcribe_call(recording(4_000, [(1_000, 3_000)], []), engine, recording_sha256="")
    (utterance,) = transcript.utterances
    assert utterance.text == "" and "字幕" in utterance.raw_text and not utterance.reliable


def test_mono_is_transcribed_and_marked() -> None:
    transcript = transcribe_call(recording(5_000, [(1_000, 3_000)], [], columns=1), FakeEngine(), recording_sha256="")
    assert not transcript.separated and transcript.speech[1] == ()
    assert {u.speaker for u in transcript.utterances} == {Speaker.UNKNOWN}
    assert any("未分离" in note for note in transcript.notes)


@pytest.mark.parametrize("n_samples", [0, 1, 79, 4_000])
def test_a_recording_too_short_for_a_word_is_an_empty_transcript(n_samples: int) -> None:
    transcript = transcribe_call(Audio(np.zeros((n_samples, 2), np.int16), RATE), FakeEngine(), recording_sha256="")
    assert transcript.utterances == () and transcript.speech == ((), ())


def test_repairs_are_marked_where_the_text_differs() -> None:
    audio = recording(6_000, [], [(1_000, 3_000)])
    repairer = build_repairer(Unigrams())
    (plain,) = transcribe_call(audio, FakeEngine(lambda k: "水污热线"[k % 4]), recording_sha256="").utterances
    transcript = transcribe_call(audio, FakeEngine(lambda k: "水污热线"[k % 4]), recording_sha256="", repairer=repairer)
    (repaired,) = transcript.utterances
    assert "水污" in plain.text and not plain.repairs
    assert "水务" in repaired.text and "水污" in repaired.raw_text
    changed = {n for n, (old, new) in enumerate(zip(plain.text, repaired.text, strict=True)) if old != new}
    assert changed == {n for repair in repaired.repairs for n in range(repair.start, repair.end)}
    assert repaired.as_heard.text == plain.text and transcript.as_heard.utterances[0].repairs == ()
    assert ("repair", "unigrams") in transcript.made.options


def test_an_unlikely_turn_is_decoded_with_a_prompt_only_where_a_word_model_can_choose() -> None:
    audio = recording(6_000, [], [(1_000, 3_000)])
    without, with_model = FakeEngine(probability=0.75), FakeEngine(probability=0.75)
    transcribe_call(audio, without, recording_sha256="")
    transcribe_call(audio, with_model, recording_sha256="", repairer=build_repairer(Unigrams()))
    assert [request.prompt for request in without.requests] == [""]
    assert [request.prompt for request in with_model.requests] == ["", ROLE_PROMPTS[Speaker.AGENT]]


def test_a_text_from_a_prompted_decode_has_the_other_one_beside_it() -> None:
    """Where the prompted one is likelier; its own words need no second opinion where it is not."""
    audio = recording(6_000, [], [(1_000, 3_000)])
    repairer = build_repairer(Unigrams())
    engine = PromptReader(lambda k: "务污水务"[k % 4], "水务热线")
    (utterance,) = transcribe_call(audio, engine, recording_sha256="", repairer=repairer).utterances
    assert "水务热线" in utterance.text and utterance.unprompted is not None
    assert "务污水务" in utterance.unprompted.text and utterance.unprompted.confidence == pytest.approx(0.7)
    assert utterance.without_prompt.text == utterance.unprompted.text
    engine = PromptReader(lambda k: "水务热线"[k % 4], "务污水务")
    transcript = transcribe_call(audio, engine, recording_sha256="", repairer=repairer)
    assert transcript.utterances[0].unprompted is None and transcript.without_prompt is transcript


def test_a_plan_with_prompts_hears_greeting_and_closing_again_without() -> None:
    """And nothing else: the middle of a call is decoded once."""
    turns = [(1_000, 3_000), (50_000, 52_000), (54_000, 56_000), (58_000, 60_000), (110_000, 112_000)]
    engine = PromptReader(lambda k: "务污水务"[k % 4], "水务热线", probability=0.9)
    transcript = transcribe_call(
        recording(115_000, [], turns), engine, recording_sha256="", plan=Plan(prompts=ROLE_PROMPTS)
    )
    assert [u.unprompted is not None for u in transcript.utterances] == [True, False, False, False, True]
    assert [bool(r.prompt) for r in engine.requests] == [True, False]
    first, again = engine.heard_ms
    assert again < first, "two turns and their neighbours"


def test_a_rival_that_reads_its_prompt_aloud_never_wins() -> None:
    """However likely its words are: the turn would stay empty."""
    prompt = ROLE_PROMPTS[Speaker.AGENT].replace(",", "")
    engine = PromptReader(lambda k: "务污水"[k % 3], prompt)
    transcript = transcribe_call(
        recording(6_000, [], [(1_000, 3_000)]), engine, recording_sha256="", repairer=build_repairer(Unigrams())
    )
    assert transcript.utterances[0].text


def test_a_rival_that_goes_round_in_a_loop_never_wins() -> None:
    """However long and likely it is: 是是是是 says less than a garbled sentence."""
    engine = PromptReader(lambda k: "水务热线请问地址停漏"[k % 10], "是")
    transcript = transcribe_call(
        recording(8_000, [], [(1_000, 5_000)]), engine, recording_sha256="", repairer=build_repairer(Unigrams())
    )
    assert "是是" not in transcript.utterances[0].text


class PromptReader(FakeEngine):
    """Answers a prompted request with another text, such as the prompt."""

    def __init__(self, text: Callable[[int], str], prompt: str, probability: float = 0.7) -> None:
        super().__init__(text, probability)
        self._plain, self._prompt_text = text, prompt

    def decode(self, samples: Float, request: DecodeRequest) -> list[Segment]:
        self._text = (lambda k: self._prompt_text[k % len(self._prompt_text)]) if request.prompt else self._plain
        return super().decode(samples, request)
