"""A recording into a transcript: per channel turns → windows → words → guard → utterances, both channels in one order.

Times come from voice activity alone; the engine's word times only say which turn a word belongs to. Safe to call from a
worker thread. Homophones are repaired where a repairer is given. Does not know tickets, rubric or storage: words of the
call's own ticket must never repair what was read back.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from callqa.audiofile import Audio
from callqa.speech import Made, Span, Speaker, Transcript, Unprompted, Utterance
from callqa.text import simplified
from callqa.transcribe import guard
from callqa.transcribe.audio import channel_float, to_engine_rate, without_echo
from callqa.transcribe.engine import DecodeRequest, Engine, Float, Segment, Word
from callqa.transcribe.guard import Heard
from callqa.transcribe.repair import Repaired, Repairer, placed
from callqa.transcribe.vad import find_turns
from callqa.transcribe.vocabulary import ROLE_PROMPTS
from callqa.transcribe.windows import Window, pack
from callqa.transcribe.wording import written
from callqa.units import Channel

PIPELINE: Final = "windows-4"  # changes whenever the same audio and model would give another transcript
# In log10: the engine against the word model, what a further character is worth (else the shorter text always wins).
ENGINE_WEIGHT, CHAR_BONUS, HARD_DOUBT_COST = 2.0, 2.5, 8.0
ALONE_MS: Final = 3_000  # from here on a turn is decoded as well alone as with its neighbours
EDGE_MS: Final = 30_000  # greeting and closing are looked for in so much of the beginning and end of a side's speech
OVERRUN_MS: Final = 300  # a word this far beyond the window's audio was heard in the padding: nobody said it


@dataclass(frozen=True, slots=True)
class Plan:
    """How turns are decoded: prompts per role, temperatures of the first decode and of the second for doubtful turns."""

    prompts: Mapping[Speaker, str] = field(default_factory=dict)
    beam_size: int = 5
    temperatures: tuple[float, ...] = (0.0,)
    retry_temperatures: tuple[float, ...] = (0.0, 0.2, 0.4)
    rival_prompts: Mapping[Speaker, str] = field(default_factory=lambda: ROLE_PROMPTS)

    def first(self, speaker: Speaker) -> DecodeRequest:
        return DecodeRequest(self.prompts.get(speaker, ""), self.beam_size, self.temperatures)

    def again(self) -> DecodeRequest:
        """Without a prompt: prompted retries of a single short turn went round in loops."""
        return DecodeRequest("", self.beam_size, self.retry_temperatures)

    def unprompted(self) -> DecodeRequest:
        """As the first decode, but without any prompt."""
        return DecodeRequest("", self.beam_size, self.temperatures)

    def rival(self, speaker: Speaker) -> DecodeRequest:
        """With the words of the trade: another text, and the word model says which of the two is likelier."""
        return DecodeRequest(self.rival_prompts.get(speaker, ""), self.beam_size, self.temperatures)

    @property
    def options(self) -> tuple[tuple[str, str], ...]:
        """For the transcript's `Made`."""
        prompted = "+".join(sorted(speaker.value for speaker in self.prompts)) or "none"
        return (("pipeline", PIPELINE), ("beam", str(self.beam_size)), ("prompts", prompted))


MEASURED: Final = Plan()  # the best of those tried with Whisper base; docs/transcription.md has the figures

Progress = Callable[[int], None]


def transcribe_call(
    audio: Audio,
    engine: Engine,
    *,
    recording_sha256: str,
    progress: Progress = lambda percent: None,
    plan: Plan = MEASURED,
    repairer: Repairer | None = None,
) -> Transcript:
    """Transcribe a stereo recording (citizen left, agent right) or a mono one, whose speaker stays unknown.

    progress gets 0..100, never falling. Beyond two channels the others are left alone and a note says so.
    """
    progress(0)
    notes: list[str] = []
    if audio.n_channels == 1:
        notes.append("单声道录音，未分离说话人")
        sides = [_Side(Speaker.UNKNOWN, 0)]
    else:
        sides = [_Side(Speaker.CITIZEN, Channel.CITIZEN), _Side(Speaker.AGENT, Channel.AGENT)]
        if audio.n_channels > 2:
            notes.append(f"录音有 {audio.n_channels} 个声道，只转写前两个")
    decoder = _Decoder(engine, plan, repairer)
    told = [
        _hear_side(_side_samples(audio, side), side.speaker, decoder, _part_of(progress, n, len(sides)))
        for n, side in enumerate(sides)
    ]
    progress(100)
    return Transcript(
        utterances=_in_order(_utterance(side.speaker, each, side.sparse) for side in told for each in side.said),
        speech=(told[0].turns, told[1].turns if len(told) > 1 else ()),
        duration_ms=audio.duration_ms,
        made=Made(engine.name, engine.model_sha256, _options(engine, plan, repairer), recording_sha256),
        separated=len(sides) > 1,
        notes=tuple(notes),
    )


@dataclass(frozen=True, slots=True)
class _Side:
    speaker: Speaker
    column: int


@dataclass(frozen=True, slots=True)
class _Decoder:
    engine: Engine
    plan: Plan
    repairer: Repairer | None


@dataclass(frozen=True, slots=True)
class _Believed:
    """What was heard in a turn and what it is taken to say; unprompted: the same of a decode without prompt, if another."""

    heard: Heard
    repaired: Repaired
    unprompted: "_Believed | None" = None


@dataclass(frozen=True, slots=True)
class _Told:
    """What one side said, turn by turn; sparse: too few characters for all its speech, so none of it can be relied on."""

    speaker: Speaker
    turns: tuple[Span, ...]
    said: tuple[_Believed, ...]
    sparse: bool


def _part_of(progress: Progress, n: int, sides: int) -> Progress:
    return lambda percent: progress((100 * n + percent) // sides)


def _hear_side(samples: Float, speaker: Speaker, decoder: _Decoder, progress: Progress) -> _Told:
    """When this side spoke, and what."""
    turns = find_turns(samples, decoder.engine.speech_probabilities(samples))
    said = _decode_side(samples, turns, speaker, decoder, progress)
    return _Told(speaker, turns, said, guard.is_sparse([each.heard for each in said]))


def _side_samples(audio: Audio, side: _Side) -> Float:
    samples = channel_float(audio.samples, side.column)
    if side.speaker is Speaker.CITIZEN:
        samples = without_echo(samples, channel_float(audio.samples, Channel.AGENT), audio.sample_rate_hz)
    return to_engine_rate(samples, audio.sample_rate_hz)


def _decode_side(
    samples: Float, turns: Sequence[Span], speaker: Speaker, decoder: _Decoder, progress: Progress
) -> tuple[_Believed, ...]:
    """What was said in each turn: all decoded once, the doubtful ones again with only their neighbours, the rather
    unlikely ones a third time with a prompt where a word model can choose; and what prompted the choice is kept beside."""

    def decode(numbers: Sequence[int], request: DecodeRequest, first: int, last: int) -> dict[int, Heard]:
        share: Progress = lambda percent: progress(first + percent * (last - first) // 100)  # noqa: E731
        return _decode_turns(samples, turns, numbers, request, decoder.engine, share)

    plan, repairer = decoder.plan, decoder.repairer
    first = decode(range(len(turns)), plan.first(speaker), 0, 60)
    sparse = guard.is_sparse(list(first.values()))
    doubtful = [n for n in first if sparse or guard.asks_again(first[n])]
    again = decode(_in_company(doubtful, turns), plan.again(), 60, 70)
    heard = first | {n: guard.choose([first[n], again[n]]) for n in doubtful}
    unlikely = [n for n in heard if repairer is not None and guard.asks_rival(heard[n])]
    rivals = decode(_in_company(unlikely, turns), plan.rival(speaker), 70, 90)
    chosen = [
        max(
            (_believed(each, repairer) for each in ((heard[n], rivals[n]) if n in unlikely else (heard[n],))),
            key=_merit,
        )
        for n in heard
    ]
    plain = again | {n: each for n, each in heard.items() if not each.prompt}
    missing = [n for n in _at_edges(turns) if chosen[n].heard.prompt and n not in plain]
    edges = decode(_in_company(missing, turns), plan.unprompted(), 90, 100)
    plain |= {n: edges[n] for n in missing}
    progress(100)
    return tuple(
        replace(each, unprompted=_believed(plain[n], repairer)) if each.heard.prompt and n in plain else each
        for n, each in enumerate(chosen)
    )


def _at_edges(turns: Sequence[Span]) -> list[int]:
    """Numbers of the turns in which greeting and closing would be."""
    return [
        n
        for n, turn in enumerate(turns)
        if turn.start_ms < turns[0].start_ms + EDGE_MS or turn.end_ms > turns[-1].end_ms - EDGE_MS
    ]


def _in_company(numbers: Sequence[int], turns: Sequence[Span]) -> list[int]:
    """These turns, the short ones with their neighbours: a short turn alone is decoded worse."""
    wanted = set(numbers)
    for n in numbers:
        if turns[n].duration_ms < ALONE_MS:
            wanted |= {m for m in (n - 1, n + 1) if 0 <= m < len(turns)}
    return sorted(wanted)


def _decode_turns(
    samples: Float,
    turns: Sequence[Span],
    numbers: Sequence[int],
    request: DecodeRequest,
    engine: Engine,
    progress: Progress,
) -> dict[int, Heard]:
    """Decode the turns with these numbers; every one of them is in the result, if only with no words."""
    found: dict[int, list[tuple[Word, Segment]]] = {n: [] for n in numbers}
    for window in pack(samples, turns, numbers):
        for n, word, segment in _words_by_turn(window, engine.decode(window.samples, request)):
            found[n].append((word, segment))
        progress(100 * (numbers.index(window.pieces[-1].turn) + 1) // len(numbers))
    return {n: _heard(turns[n], found[n], request.prompt) for n in numbers}


def _words_by_turn(window: Window, segments: Iterable[Segment]) -> Iterable[tuple[int, Word, Segment]]:
    for segment in segments:
        for word in segment.words:
            middle = (word.start_ms + word.end_ms) // 2
            if middle <= window.duration_ms + OVERRUN_MS:
                yield window.piece_at(middle).turn, word, segment


def _heard(turn: Span, found: Sequence[tuple[Word, Segment]], prompt: str) -> Heard:
    return Heard(
        turn=turn,
        words=tuple(word for word, _ in found),
        no_speech=max((segment.no_speech for _, segment in found), default=0.0),
        compression_ratio=max((segment.compression_ratio for _, segment in found), default=0.0),
        prompt=prompt,
    )


def _options(engine: Engine, plan: Plan, repairer: Repairer | None) -> tuple[tuple[str, str], ...]:
    return (*engine.options, *plan.options, *(repairer.options if repairer else (("repair", "none"),)))


def _utterance(speaker: Speaker, believed: _Believed, sparse: bool) -> Utterance:
    """One turn as an utterance; its index is given when both channels are in order.

    Speech without believable text stays as an unreliable utterance with empty text: "not understood" is not "not said".
    """
    heard, repaired, other = believed.heard, believed.repaired, believed.unprompted
    text = _text(believed)
    return Utterance(
        index=0,
        speaker=speaker,
        span=heard.turn,
        text=text,
        raw_text=heard.text,
        confidence=_confidence(believed),
        reliable=not sparse and _is_reliable(believed),
        repairs=placed(repaired, text) if text else (),
        unprompted=Unprompted(_text(other), _confidence(other), _is_reliable(other)) if other else None,
    )


def _text(believed: _Believed) -> str:
    return "" if guard.is_invented(believed.heard) else written(believed.repaired.text)


def _confidence(believed: _Believed) -> float:
    return round(believed.heard.probability, 4) if _text(believed) else 0.0


def _is_reliable(believed: _Believed) -> bool:
    return not guard.doubts(believed.heard) and believed.repaired.share <= guard.MAX_REPAIRED_SHARE


def _believed(heard: Heard, repairer: Repairer | None) -> _Believed:
    plain = simplified(heard.raw)
    if repairer is None:
        return _Believed(heard, Repaired(plain))
    each = [word.probability for word in heard.words for _ in word.text]
    return _Believed(
        heard, repairer.repair(plain, each if len(plain) == len(each) else [heard.probability] * len(plain))
    )


def _merit(believed: _Believed) -> tuple[bool, float]:
    """How much speaks for a text: that somebody can have said it; then word model, engine and length, less hard doubts."""
    heard = believed.heard
    doubt = HARD_DOUBT_COST if guard.hard_doubts(heard) else 0.0
    told = believed.repaired.likelihood + ENGINE_WEIGHT * heard.log10_probability + CHAR_BONUS * heard.n_chars
    return bool(heard.n_chars) and not guard.is_invented(heard) and not guard.is_loop(heard), told - doubt


def _in_order(utterances: Iterable[Utterance]) -> tuple[Utterance, ...]:
    ordered = sorted(utterances, key=lambda u: (u.span.start_ms, u.span.end_ms, u.speaker))
    return tuple(replace(utterance, index=n) for n, utterance in enumerate(ordered))
