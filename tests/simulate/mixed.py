"""Two phones of one side that spoke at once are added in the recording: read what of either is in the sum."""

import numpy as np

from callqa.sip.media.codec import Codec, codec_of_encoding
from tests.simulate.voice import FRAME_BYTES, Units, Voice, frame, read_units

SURE_BYTES = 16  # of a frame; fewer may be alike by chance
Place = tuple[int, int]  # a voice's side, which piece of its speech


def read_side(column: np.ndarray, voices: list[Voice], law: str, due: dict[Place, int], slack: int) -> Units:
    """The units of one side's column. due: sample at which frame 0 of a voice was to be by the clock of each piece; slack:
    samples it may be away."""
    units = read_units(column)
    if len(voices) < 2 or not _is_blurred(column, units, law):
        return units
    places: dict[Place, int] = {}
    for voice in voices:
        mine = units.side == voice.side
        for number, start in zip(units.number[mine].tolist(), units.start[mine].tolist(), strict=True):
            places.setdefault((voice.side, voice.piece_of(number)), start - number * FRAME_BYTES)
    for voice in voices:
        for piece in {voice.piece_of(n) for n, _ in voice.heard}:
            if (voice.side, piece) not in places:
                found = _search(column, voice, piece, voices, places, law, due[voice.side, piece], slack)
                if found is not None:
                    places[voice.side, piece] = found
    return _with_sums(column, units, voices, places, law)


def _is_blurred(column: np.ndarray, units: Units, law: str) -> bool:
    """Whether there is sound that is nobody's alone."""
    covered = np.zeros(column.size, bool)
    for offset in range(8):
        covered[units.at + offset] = True
    return bool((~covered & (column != _codec(law).idle)).any())


def _codec(law: str) -> Codec:
    codec = codec_of_encoding(law)  # type: ignore[arg-type]
    assert codec is not None
    return codec


def _spoken(voice: Voice, places: dict[Place, int], size: int) -> np.ndarray:
    """What a voice said where, int (size,), -1 where nothing."""
    said = np.full(size + 2 * FRAME_BYTES, -1)
    for number in {n for n, _ in voice.heard}:
        place = places.get((voice.side, voice.piece_of(number)))
        if place is not None and -FRAME_BYTES < place + number * FRAME_BYTES < size:
            at = place + (number + 1) * FRAME_BYTES
            said[at : at + FRAME_BYTES] = np.frombuffer(frame(voice.call, voice.side, number), np.uint8)
    return said[FRAME_BYTES:-FRAME_BYTES]


def _sum(one: np.ndarray, other: np.ndarray, law: str) -> np.ndarray:
    """-1: nothing said. The two codes next to zero are silence and change nothing (frame 85 has the A-law one as its number)."""
    codec = _codec(law)
    size = np.abs(codec.decode_table.astype(int))
    silent = size == size.min()
    said_one, said_other = one >= 0, other >= 0
    one = np.where(said_one & said_other & silent[one] & ~silent[other], -1, one)
    other = np.where(said_one & said_other & silent[other], -1, other)
    total = codec.decode_table[one & 0xFF].astype(int) + codec.decode_table[other & 0xFF]
    both = codec.encode_table[np.clip(total, -32768, 32767).astype(np.int16).view(np.uint16)]
    return np.where(one < 0, other, np.where(other < 0, one, both))


def _search(
    column: np.ndarray, voice: Voice, piece: int, voices: list[Voice], places: dict[Place, int], law: str, due: int,
    slack: int,
) -> int | None:  # fmt: skip
    """Where a piece lies of which no unit stands alone: the place at which most of its frames are in the sum."""
    best, found = 0, None
    others = [_spoken(v, places, column.size) for v in voices if v is not voice]
    for place in range(due - slack, due + slack):
        mine = _spoken(voice, {(voice.side, piece): place}, column.size)
        fits = sum(_frames_in_sum(column, mine, other, place, law) for other in others)
        if fits > best:
            best, found = fits, place
    return found


def _frames_in_sum(column: np.ndarray, mine: np.ndarray, other: np.ndarray, place: int, law: str) -> int:
    """How many bytes of the frames that are in the sum of both wherever both speak."""
    at = np.flatnonzero((mine >= 0) & (other >= 0))
    fits = _sum(mine[at], other[at], law) == column[at]
    found = 0
    for number in np.unique((at - place) // FRAME_BYTES):
        of_frame = fits[(at - place) // FRAME_BYTES == number]
        found += of_frame.size if of_frame.size >= SURE_BYTES and of_frame.mean() > 0.95 else 0
    return found


def _with_sums(column: np.ndarray, units: Units, voices: list[Voice], places: dict[Place, int], law: str) -> Units:
    spoken = {v.side: _spoken(v, places, column.size) for v in voices}
    rows: list[tuple[int, int, int, int, int]] = []
    for voice in voices:
        known = set(units.at[units.side == voice.side].tolist())
        for number in {n for n, _ in voice.heard}:
            place = places.get((voice.side, voice.piece_of(number)))
            if place is None:
                continue
            start = place + number * FRAME_BYTES
            for at in range(start, start + FRAME_BYTES, 8):
                part = slice(at, at + 8)
                if at < 0 or at + 8 > column.size or at in known:
                    continue
                mine = spoken[voice.side][part]
                for other in (spoken[v.side][part] for v in voices if v is not voice):
                    if (other >= 0).any() and (_sum(mine, other, law) == column[part]).all():
                        rows.append((at, voice.call, voice.side, number, start))
                        break
    if not rows:
        return units
    more = np.array(rows).T
    columns = [np.concatenate([getattr(units, name), more[i]]) for i, name in enumerate(Units.__slots__)]
    order = np.argsort(columns[0], kind="stable")
    return Units(*(c[order] for c in columns))
