"""One leg's packets put into order: which streams belong to the call, in what order, and where on the clock.

Everything is numpy columns over the packets in order of arrival; `at` is the arrival in samples (8 000 a second)
from the answer. The steps, each blind to reordering and duplicates:

1. `choose_streams`: of several SSRCs at the same time the fuller one counts; the others are foreign. One after the other
   they are the same peer, however short.
2. `order_packets`: sequence numbers unwrapped, restarts found, duplicates dropped (RFC 3550 A.1).
3. `place_packets`: position = unwrapped timestamp + anchor. The anchor of a stretch is its smallest transit time, which
   jitter and stalls do not move; a jump of the timestamp that the clock does not confirm starts a new stretch. In a
   stretch of minutes the drift between the sender's clock and ours is taken out in small steps (drift.py).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from callqa.sip.media.drift import drift_of

CLOCK_RATE_HZ = 8000
# RFC 3550 A.1: a larger step of the sequence number is a restart of the sender, not a loss.
MAX_DROPOUT = 3000
# Two stretches whose transit differs by less share their anchor: half a second holds every jitter buffer we know of.
MAX_TRANSIT_STEP = CLOCK_RATE_HZ // 2
# From one packet to the next a timestamp that goes on by so much more or less than packets last, and by so much more or less
# than the arrival says, was set anew: silence is confirmed by the clock, a stall leaves the timestamp as it should be. Where
# it goes on as if nothing had been, a stall gives what it held up all at once; a sender whose clock stood still while it was
# silent (on hold, or for want of a voice) goes on at its own pace, which this many packets show.
CLOCK_SET = CLOCK_RATE_HZ // 10
PACED = 4
# A stream is foreign when more than half of its packets came in the midst of a fuller stream: less than 100 ms after one of
# its packets and before another. Five frames: no jitter buffer holds back less, and nobody pauses so briefly.
FOREIGN_SHARE = 0.5
MIDST_SAMPLES = CLOCK_RATE_HZ // 10
# A new one each time somebody is put on hold and back makes tens; this bounds the time a hostile sender can cost.
STREAMS_MOST = 1000

# Written out, the estimator is a weighted sum; what lies further back than this weighs less than 1e-28 of the last value.
_REMEMBERED = 1024
_WEIGHTS = (15 / 16) ** np.arange(_REMEMBERED - 1, -1, -1) / 16

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Arrivals:
    """Packets of one leg in order of arrival: int64 (n,) each. audio: bool (n,), False for DTMF and comfort noise; lasts: ticks
    of audio in a packet; peer: which of the peers that the signalling named one after the other it came under."""

    at: Ints
    sequence: Ints
    timestamp: Ints
    ssrc: Ints
    audio: Bools
    lasts: Ints
    peer: Ints

    def take(self, rows: Ints) -> "Arrivals":
        return Arrivals(*(getattr(self, name)[rows] for name in Arrivals.__slots__))


@dataclass(frozen=True, slots=True, eq=False)
class Placed:
    """Audio packets with their place, in order of position.

    row: index into the leg's arrivals; position: sample of the first payload byte; stretch, ext_seq: two packets of
    the same stretch with ext_seq a and b have b - a - 1 packets between them, of which rank tells how many came.
    """

    row: Ints
    position: Ints
    stretch: Ints
    ext_seq: Ints
    rank: Ints


@dataclass(frozen=True, slots=True)
class LegFigures:
    """What arrived on one leg; counts are packets, jitter in samples."""

    packets: int = 0
    lost: int = 0
    duplicates: int = 0
    reordered: int = 0
    foreign: int = 0
    jitter: float = 0.0
    ssrcs: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class _Ordered:
    """Rows of one stream in order of sending, duplicates gone; run counts restarts of the sender."""

    row: Ints
    run: Ints
    ext_seq: Ints
    duplicates: int
    reordered: int
    left_out: int

    @property
    def lost(self) -> int:
        if not self.row.size:
            return 0
        starts = np.flatnonzero(np.diff(self.run, prepend=-1))
        ends = np.append(starts[1:], self.row.size) - 1
        return int((self.ext_seq[ends] - self.ext_seq[starts] + 1).sum()) - self.row.size


def arrange(arrivals: Arrivals) -> tuple[Placed, LegFigures]:
    """Order and place one leg's packets, and say what arrived."""
    chosen, foreign = choose_streams(arrivals)
    parts: list[Placed] = []
    packets = lost = duplicates = reordered = 0
    jitter = 0.0
    for rows in chosen:
        stream = arrivals.take(rows)
        ordered = order_packets(stream.sequence)
        placed = place_packets(stream, ordered)
        parts.append(
            Placed(
                rows[placed.row],
                placed.position,
                placed.stretch + 1 + (int(parts[-1].stretch.max(initial=0)) if parts else 0),
                placed.ext_seq,
                placed.rank,
            )
        )
        packets += ordered.row.size
        lost += ordered.lost
        duplicates += ordered.duplicates
        reordered += ordered.reordered
        foreign += ordered.left_out + int(stream.audio[ordered.row].sum()) - placed.row.size
        jitter = max(jitter, _jitter(stream, ordered))
    figures = LegFigures(packets, lost, duplicates, reordered, foreign, jitter, len(chosen))
    return _join(parts), figures


def choose_streams(arrivals: Arrivals) -> tuple[list[Ints], int]:
    """Rows of each stream that belongs to the leg, in order of first arrival; and how many packets do not."""
    if not arrivals.ssrc.size:
        return [], 0
    names, inverse, counts = np.unique(arrivals.ssrc, return_inverse=True, return_counts=True)
    if len(names) == 1:
        return [np.arange(arrivals.ssrc.size)], 0
    by_stream = np.split(np.argsort(inverse, kind="stable"), np.cumsum(counts)[:-1])
    first = np.array([rows[0] for rows in by_stream])
    spoken = owner = peer = np.zeros(0, np.int64)  # when the streams chosen so far spoke, in order, which, and as whom
    chosen: list[Ints] = []
    for index in np.lexsort((first, -counts)):
        rows = by_stream[index]
        numbers = arrivals.sequence[rows]
        if (numbers == numbers[0]).all():  # RFC 3550 A.1: two packets before a source is believed
            continue
        times = _spoken_at(arrivals.at[rows], arrivals.timestamp[rows])
        order = np.argsort(times, kind="stable")
        times, named = times[order], arrivals.peer[rows[order]]
        if _in_the_midst(times, named, spoken, owner, peer) > FOREIGN_SHARE * len(rows):
            continue
        places = np.searchsorted(spoken, times)
        spoken, owner = np.insert(spoken, places, times), np.insert(owner, places, index)
        peer = np.insert(peer, places, named)
        chosen.append(rows)
        if len(chosen) == STREAMS_MOST:
            break
    chosen.sort(key=lambda rows: int(rows[0]))
    return chosen, arrivals.ssrc.size - sum(len(rows) for rows in chosen)


def _spoken_at(at: Ints, timestamp: Ints) -> Ints:
    """When one stream's packets came had none been held up: its own clock says it, unless that was set meanwhile."""
    since = _signed(timestamp - timestamp[0], 32)
    transit = at - since
    least, most = int(transit.min()), int(transit.max())
    return since + least if most - least <= CLOCK_SET else at


def _in_the_midst(times: Ints, named: Ints, spoken: Ints, owner: Ints, peer: Ints) -> int:
    """How many of `times` lie between two of `spoken` that are near, of one stream and of the same named peer: where one
    stream follows another a short one may have its turn, and a phone that takes over may speak before the other has gone.
    All in order."""
    after = np.searchsorted(spoken, times)
    inside = (after > 0) & (after < spoken.size)
    times, named, after = times[inside], named[inside], after[inside]
    near = (times - spoken[after - 1] < MIDST_SAMPLES) & (spoken[after] - times < MIDST_SAMPLES)
    alike = (owner[after - 1] == owner[after]) & (peer[after - 1] == named) & (peer[after] == named)
    return int((near & alike).sum())


def order_packets(sequence: Ints) -> _Ordered:
    """Order one stream by sequence number. sequence: 16-bit numbers in order of arrival."""
    row = _without_lone_runs(np.arange(sequence.size), sequence)
    left_out = sequence.size - row.size
    step = _signed(np.diff(sequence[row]), 16)
    jump = np.abs(step) > MAX_DROPOUT
    run = np.concatenate(([0], np.cumsum(jump)))[: row.size]
    ext_seq = np.concatenate(([0], np.cumsum(np.where(jump, 0, step))))[: row.size]
    late = ext_seq < _running_max(ext_seq, run)
    order = np.lexsort((ext_seq, run))
    again = np.zeros(row.size, bool)
    again[1:] = (np.diff(ext_seq[order]) == 0) & (np.diff(run[order]) == 0)
    kept = order[~again]
    return _Ordered(row[kept], run[kept], ext_seq[kept], int(again.sum()), int(late[kept].sum()), left_out)


def place_packets(stream: Arrivals, ordered: _Ordered) -> Placed:
    """Place the audio packets of one ordered stream; rows are the stream's."""
    rank = np.flatnonzero(stream.audio[ordered.row])
    row = ordered.row[rank]
    if not row.size:
        return Placed(row, row, row, row, row)
    at = stream.at[row]
    # From packet to packet, for one that jumped by about half the range would lie now here, now there; in the clock's terms,
    # so that a wild one harms no other: what does not come back to the same place is a stretch of its own.
    transit = at - stream.timestamp[row]
    transit = np.concatenate((_signed(transit[:1], 32), _signed(np.diff(transit), 32))).cumsum()
    clock_set = _clock_set(at, stream.timestamp[row], transit, ordered.ext_seq[rank], stream.lasts[row])
    anchor = _anchors(transit, *clock_set)
    believed = anchor.stretch >= 0
    row, at, transit, rank = row[believed], at[believed], transit[believed], rank[believed]
    stretch = anchor.stretch[believed]
    position = at - transit + anchor.value[stretch]
    for name in range(anchor.value.size):
        mine = np.flatnonzero(stretch == name)
        drift = drift_of(at[mine], transit[mine])
        if drift is not None:
            position[mine] += drift
    # A restarted sender counts anew, so losses cannot be read across a restart either.
    _, section = np.unique(stretch * (int(ordered.run.max()) + 1) + ordered.run[rank], return_inverse=True)
    by_position = np.argsort(position, kind="stable")
    return Placed(*(c[by_position] for c in (row, position, section.ravel(), ordered.ext_seq[rank], rank)))


@dataclass(frozen=True, slots=True, eq=False)
class _Anchors:
    """value: int64 (stretches,), the smallest transit of each; stretch: int64 (n,), -1 for a packet not believed."""

    value: Ints
    stretch: Ints


def _clock_set(at: Ints, timestamp: Ints, transit: Ints, ext_seq: Ints, lasts: Ints) -> tuple[Bools, Bools]:
    """Before which packets the sender set its clock anew or let it stand, and before which of them its timestamps go on as
    its numbers do, bool (n - 1,) each. All in order of sending."""
    step, sent = _signed(np.diff(timestamp), 32), np.diff(ext_seq)
    odd: Bools = np.abs(step - sent * lasts[:-1]) > CLOCK_SET
    late: Bools = np.abs(np.diff(transit)) > CLOCK_SET
    clock_set: Bools = (odd | _at_their_pace(at, lasts)) & late & (sent > 0)
    return clock_set, clock_set & ~odd


def _at_their_pace(at: Ints, lasts: Ints) -> Bools:
    """Before which packets nothing came for longer than CLOCK_SET, and then PACED (fewer at the end, but two) in no less than
    half the time that they last, bool (n - 1,)."""
    after = np.arange(1, at.size)
    until = np.minimum(after + PACED - 1, at.size - 1)
    rested = at[1:] - np.maximum.accumulate(at)[:-1] > CLOCK_SET
    return rested & (until > after) & (2 * (at[until] - at[after]) >= (until - after) * lasts[after])


def _anchors(transit: Ints, clock_set: Bools, goes_on: Bools) -> _Anchors:
    """Cut at jumps, drop single wild packets, and join neighbours whose transit agrees after all (a stall).

    A packet alone between cuts is not wild where its timestamp goes on from or to a neighbour's.
    """
    jumps = clock_set | (np.abs(np.diff(transit)) > MAX_TRANSIT_STEP)
    strange = jumps & ~goes_on
    starts = np.concatenate(([0], np.flatnonzero(jumps) + 1))
    was_set = np.concatenate(([False], clock_set))[starts].tolist()
    alone = (np.concatenate(([True], strange)) & np.append(strange, True))[starts].tolist()
    lengths = np.diff(np.append(starts, transit.size))
    smallest = np.minimum.reduceat(transit, starts)
    values: list[int] = []
    names = np.full(starts.size, -1, np.int64)
    for piece, (length, least) in enumerate(zip(lengths.tolist(), smallest.tolist(), strict=True)):
        if length < 2 and alone[piece] and starts.size > 1:
            continue
        near = CLOCK_SET if was_set[piece] else MAX_TRANSIT_STEP
        if values and abs(least - values[-1]) <= near:
            values[-1] = min(values[-1], least)
        else:
            values.append(least)
        names[piece] = len(values) - 1
    return _Anchors(np.array(values, np.int64), np.repeat(names, lengths))


def _jitter(stream: Arrivals, ordered: _Ordered) -> float:
    """RFC 3550 §6.4.1 over the audio packets in order of arrival, in samples."""
    row = np.sort(ordered.row)
    row = row[stream.audio[row]]
    if row.size < 2:
        return 0.0
    difference = np.abs(_signed(np.diff(stream.at[row] - stream.timestamp[row]), 32))
    # The formula is about delay; a jump of the clock itself is counted elsewhere and would hide it for seconds.
    return running_mean(difference[difference <= MAX_TRANSIT_STEP])


def running_mean(values: Ints) -> float:
    """The estimator J += (|D| - J) / 16 of RFC 3550 §6.4.1, from J = 0, after the last value."""
    last = values[-_REMEMBERED:]
    return float(last @ _WEIGHTS[_REMEMBERED - last.size :])


def _without_lone_runs(row: Ints, sequence: Ints) -> Ints:
    """Drop single packets whose number fits neither neighbour."""
    jump = np.abs(_signed(np.diff(sequence), 16)) > MAX_DROPOUT
    if not jump.any():
        return row
    edge = np.concatenate(([True], jump, [True]))
    return row[~(edge[:-1] & edge[1:])]


def _running_max(value: Ints, run: Ints) -> Ints:
    """The largest value so far within each run; runs are in order."""
    lift = run * (np.int64(1) << 32)
    return np.maximum.accumulate(value + lift) - lift if value.size else value


def _signed(value: Ints, bits: int) -> Ints:
    """Differences modulo 2**bits as signed numbers."""
    half = np.int64(1) << (bits - 1)
    return (value + half) % (half * 2) - half


def _join(parts: list[Placed]) -> Placed:
    empty = np.zeros(0, np.int64)
    if not parts:
        return Placed(empty, empty, empty, empty, empty)
    columns = [np.concatenate([getattr(p, name) for p in parts]) for name in Placed.__slots__]
    order = np.argsort(columns[1], kind="stable")
    return Placed(*(column[order] for column in columns))
