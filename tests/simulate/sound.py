"""Is a master what was said: each millisecond where it belongs, on its side, and every missing piece named?"""

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from callqa.sidecar import Sidecar
from callqa.sip.media.columns import read_columns
from tests.simulate.loop import SECOND_NS
from tests.simulate.mixed import read_side
from tests.simulate.voice import FRAME_BYTES, Units, Voice
from tests.simulate.world import SETTINGS

if TYPE_CHECKING:
    from tests.simulate.world import Attempt, World

KILL_LOSES_NS = SECOND_NS // 5
POWER_LOSES_NS = SECOND_NS
RECOVERED_NS = 5 * SECOND_NS  # the next run comes within three seconds
SEAM = 5 * 8  # samples: a hole so short is filled with what came before it
LEAST_GAP_MS = 60  # nothing sent for less is not worth a note
NEAR_MS = 45
SIDES = ("citizen", "agent")


def check_audio(world: "World", attempt: "Attempt", sidecar: Sidecar, samples: np.ndarray) -> None:
    """samples: uint8 (n, 2) of the master."""
    if attempt.hostile:
        return
    for channel in (0, 1):
        units = _read(world, attempt, channel, samples[:, channel], sidecar)
        _check_sides(world, attempt, channel, units)
        _check_places(world, attempt, channel, units, sidecar)
        _check_pauses(world, attempt, channel, units, sidecar)
        _check_missing(world, attempt, channel, units, sidecar)
        _check_gaps(world, attempt, channel, units, sidecar, samples[:, channel])


def _who(attempt: "Attempt", channel: int) -> str:
    return f"call {attempt.number}, {SIDES[channel]}"


def _voices(attempt: "Attempt", channel: int) -> list[Voice]:
    return [v for v in attempt.voices if v.side % 2 == channel]


def _check_sides(world: "World", attempt: "Attempt", channel: int, units: Units) -> None:
    strange = (units.call != attempt.number) | (units.side % 2 != channel)
    if strange.any():
        i = int(np.flatnonzero(strange)[0])
        world.wrong(
            "sides are kept",
            f"{_who(attempt, channel)} has call {units.call[i]} side {units.side[i]} frame {units.number[i]}",
        )


def _zero_ns(attempt: "Attempt", sidecar: Sidecar) -> int:
    """World time of t = 0."""
    return sidecar.answered_at_ms * 1_000_000 - attempt.wall_offset_ns(recovered=sidecar.recovered)


def _slack_ms(world: "World") -> float:
    w = world.plan.weather
    return NEAR_MS + (w.jitter_ns + (w.late_ns if w.late else 0)) / 1e6


def _read(world: "World", attempt: "Attempt", channel: int, column: np.ndarray, sidecar: Sidecar) -> Units:
    voices = [v for v in _voices(attempt, channel) if v.heard]
    zero_ns = _zero_ns(attempt, sidecar) - world.plan.weather.delay_ns
    due = {
        (v.side, v.piece_of(n)): (v.sent_ns[n] - zero_ns) // 125_000 - n * FRAME_BYTES
        for v in voices
        for n, _ in v.heard
    }
    assert sidecar.recording is not None
    return read_side(column, voices, sidecar.recording.encoding, due, int(_slack_ms(world) * 8))


def _check_places(world: "World", attempt: "Attempt", channel: int, units: Units, sidecar: Sidecar) -> None:
    """A frame lies where it was said, but for the weather; and once only."""
    zero_ns = _zero_ns(attempt, sidecar)
    w = world.plan.weather
    slack_ms = _slack_ms(world)
    for voice in _voices(attempt, channel):
        mine = units.side == voice.side
        numbers, starts = units.number[mine], units.start[mine]
        if not numbers.size:
            continue
        sent = np.array([voice.sent_ns.get(int(n), -1) for n in numbers])
        if (sent < 0).any():
            world.wrong(
                "audio is what was sent", f"{_who(attempt, channel)}: frame {numbers[sent < 0][0]} was never sent"
            )
            continue
        due_ms = (sent + w.delay_ns - zero_ns) / 1e6
        off_ms = starts / 8 - due_ms
        far = np.abs(off_ms) > slack_ms
        if far.any():
            i = int(np.flatnonzero(far)[0])
            world.wrong(
                "audio lies where it was said",
                f"{_who(attempt, channel)}: frame {numbers[i]} is {off_ms[i]:.1f} ms off, at {starts[i] / 8:.1f} ms",
            )
        pairs = np.unique(np.stack([numbers, starts]), axis=1)
        again = (np.diff(pairs[0]) == 0) & (np.diff(pairs[1]) > SEAM)
        if again.any():
            world.wrong(
                "a frame is there once",
                f"{_who(attempt, channel)}: {pairs.shape[1]} places of {len(np.unique(pairs[0]))}",
            )


def _check_missing(world: "World", attempt: "Attempt", channel: int, units: Units, sidecar: Sidecar) -> None:
    """What reached the recorder between answer and end is in the master, but for what a crash may take."""
    begin_ns = _zero_ns(attempt, sidecar)
    end_ns = sidecar.ended_at_ms * 1_000_000 - attempt.wall_offset_ns(recovered=sidecar.recovered)
    for blow in world.blows:
        if blow.at_ns >= begin_ns:
            end_ns = min(end_ns if not sidecar.recovered else blow.at_ns, blow.at_ns) - (
                POWER_LOSES_NS if power_follows(world, blow.at_ns) else KILL_LOSES_NS
            )
            break
    if world.troubled_ns and sidecar.faults:
        return  # it says itself that there are gaps
    pauses = pauses_of(attempt, sidecar)
    voices = _voices(attempt, channel)
    named = _named(world, attempt, channel, sidecar) if len(voices) > 1 else None
    for voice in voices:
        there = set(units.number[units.side == voice.side].tolist())
        kept = {n for n, at in voice.heard if not any(start <= at <= end for start, end in pauses)}
        came = Counter(voice.stream_of(n) for n in kept)
        first_ns = dict(reversed(voice.heard))  # a copy that came after the pause was still said in it
        lacking = [
            n
            for n, at in voice.heard
            if n not in there
            and voice.sent_ns[n] + world.plan.weather.delay_ns > begin_ns  # a late one may belong before the answer
            and not any(start - 5_000_000 <= t <= end + 5_000_000 for start, end in pauses for t in (at, first_ns[n]))
            and came[voice.stream_of(n)] > 1  # RFC 3550 A.1: a source is believed once two packets came
            and begin_ns + 1_000_000 < at - 1_000_000
            and (named is None or any(a == voice.address and b < at < c for a, b, c in named))
            and at < end_ns - 2_000_000
        ]
        if lacking:
            world.wrong(
                "audio that came is recorded",
                f"{_who(attempt, channel)}: frames {lacking[:5]} of {len(voice.heard)} are missing",
            )


def _named(
    world: "World", attempt: "Attempt", channel: int, sidecar: Sidecar
) -> list[tuple[tuple[str, int] | None, int, int]]:
    """Several phones took the call one after the other, or two at once: whose audio it was from when to when, world time in ns,
    as the spool says that the signalling said."""
    inode = world.disk.folders[str(SETTINGS.spool_dir)].get(f"{sidecar.call_id}.spool")
    if inode is None:
        return []
    marks = [mark for _, mark in read_columns(bytes(inode.data)).marks]
    offset_ns = next(
        m.wall_ms * 1_000_000 - attempt.wall_offset_ns(recovered=sidecar.recovered) - m.at_ns
        for m in marks
        if m.mark == "started"
    )
    media = [m for m in marks if m.mark == "media" and m.channel == channel]
    ends = [m.at_ns for m in media[1:]] + [1 << 62]
    return [
        (m.remote, m.at_ns + offset_ns + 2_000_000, end_ns + offset_ns - 2_000_000)
        for m, end_ns in zip(media, ends, strict=True)
    ]


def power_follows(world: "World", at_ns: int) -> bool:
    """Whether the power goes then or soon: a killed run's last second may not be on the disk before it is recovered."""
    return any(b.power and at_ns <= b.at_ns <= at_ns + RECOVERED_NS for b in world.blows)


def pauses_of(attempt: "Attempt", sidecar: Sidecar) -> list[tuple[int, int]]:
    """World time of the pauses of a recording, ns; one without an end lasted until the recorder was killed."""

    def at_ns(at_ms: int | None) -> int:
        return 1 << 62 if at_ms is None else at_ms * 1_000_000 - attempt.wall_offset_ns(recovered=sidecar.recovered)

    return [(at_ns(p.at_ms), at_ns(p.until_ms)) for p in sidecar.pauses]


def _check_pauses(world: "World", attempt: "Attempt", channel: int, units: Units, sidecar: Sidecar) -> None:
    """Nothing that came in a pause is kept."""
    for voice in _voices(attempt, channel):
        there = set(units.number[units.side == voice.side].tolist())
        kept = [
            n
            for n, at in voice.heard
            if n in there
            and any(start + 5_000_000 < at < end - 5_000_000 for start, end in pauses_of(attempt, sidecar))
        ]
        if kept and len({n for n, _ in voice.heard}) == len(voice.heard):
            world.wrong("a pause keeps nothing", f"{_who(attempt, channel)}: frames {kept[:5]}")


def _check_gaps(
    world: "World", attempt: "Attempt", channel: int, units: Units, sidecar: Sidecar, column: np.ndarray
) -> None:
    """The gap map names every stretch without audio, and nothing where there is audio."""
    covered = np.zeros(column.size, bool)
    for offset in range(8):
        covered[units.at + offset] = True
    named, surely = np.zeros(column.size, bool), np.zeros(column.size, bool)
    lost = _lost_by_one_of_several(attempt, channel, units, column.size)
    for gap in sidecar.gaps:
        if gap.channel == channel:
            named[gap.start_ms * 8 : gap.end_ms * 8] = True
            inner = slice(gap.start_ms * 8 + 8, gap.end_ms * 8 - 8)  # whole milliseconds, rounded outwards
            surely[inner] = ~lost[inner] if gap.kind == "lost" else True
    both = surely & covered
    if both.any():
        at = int(np.flatnonzero(both)[0]) // 8
        world.wrong(
            "a gap has no audio in it", f"{_who(attempt, channel)}: at {at} ms, {int(both.sum()) // 8} ms in all"
        )
    bare = ~covered & ~named
    edges = np.flatnonzero(np.diff(np.concatenate(([False], bare, [False])).astype(np.int8))).reshape(-1, 2)
    longest = max(((int(b) - int(a)) // 8 for a, b in edges), default=0)
    if longest > LEAST_GAP_MS:
        world.wrong("the gap map names every missing piece", f"{_who(attempt, channel)}: {longest} ms without a word")
    _check_lost_frames(world, attempt, channel, units, named)


def _lost_by_one_of_several(attempt: "Attempt", channel: int, units: Units, size: int) -> np.ndarray:
    """Where one of several voices of a side, which may speak at once, lost a packet between two of a stream, bool (size,)."""
    lost = np.zeros(size, bool)
    voices = _voices(attempt, channel)
    for voice in voices if len(voices) > 1 else ():
        mine = units.side == voice.side
        numbers, first = np.unique(units.number[mine], return_index=True)
        starts = units.start[mine][first]
        for i in np.flatnonzero(np.diff(numbers) > 1).tolist():
            if voice.stream_of(int(numbers[i])) == voice.stream_of(int(numbers[i + 1])):
                lost[max(0, starts[i] + FRAME_BYTES) : max(0, starts[i + 1])] = True
    return lost


def _check_lost_frames(world: "World", attempt: "Attempt", channel: int, units: Units, named: np.ndarray) -> None:
    """A frame that is missing between two neighbours of one stream lies in a gap."""
    if len(_voices(attempt, channel)) > 1:
        return  # another phone's audio may lie in between
    for voice in _voices(attempt, channel):
        mine = units.side == voice.side
        numbers, first = np.unique(units.number[mine], return_index=True)
        starts = units.start[mine][first]
        for i in np.flatnonzero(np.diff(numbers) > 1).tolist():
            apart = int(starts[i + 1] - starts[i])
            if apart != (int(numbers[i + 1]) - int(numbers[i])) * FRAME_BYTES:
                continue  # placed anew in between
            if voice.stream_of(int(numbers[i])) != voice.stream_of(int(numbers[i + 1])):
                continue  # whatever got lost between two streams bears no number
            at = int(starts[i]) + FRAME_BYTES + FRAME_BYTES // 2
            if 0 <= at < named.size and not named[at]:
                world.wrong(
                    "the gap map names every missing piece",
                    f"{_who(attempt, channel)}: frame {int(numbers[i]) + 1} is lost, unsaid",
                )
                return
