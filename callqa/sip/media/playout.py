"""Listening in: packets of a call as they come → stereo samples as they are due, citizen left, agent right.

A short delay evens out the network; what comes later than that is left out, and a sender whose clock or numbers jump is
placed anew. `take` never waits and never gives more than MOST_S. This is for the ear of the moment: the recording is made by
align, from all packets. Time is the caller's, in seconds. Total: any packet is played or left out.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from callqa.errors import AudioError, ProtocolError
from callqa.sip.media.codec import PackedCodec, codec_of_type, packed_of_type
from callqa.sip.media.rtp import parse_rtp
from callqa.sip.media.spool import MediaMark, PacketRecord, SideMark, SpoolRecord

RATE_HZ = 8000
DELAY_S = 0.12  # six frames: what phones themselves hold back
AHEAD_S = 0.6  # a sender that runs faster than we play, or whose clock jumped
MOST_S = 1.0
LATE_MOST = 5  # packets in a row that came too late: then the sender is placed anew

Samples = NDArray[np.int16]
_Decode = Callable[[bytes], Samples]


class Playout:
    """One call; a stream's side is what its mark says, else even numbers are the citizen's. start_s: the caller's clock when listening began."""

    def __init__(self, start_s: float) -> None:
        self._start_s = start_s
        self._played = 0
        self._streams: dict[int, _Stream] = {}
        self._sides: dict[int, int | None] = {}  # told otherwise than by the stream's number; None: both voices

    def receive(self, record: SpoolRecord, now_s: float) -> None:
        """Take one packet, or a mark that tells of a leg's codecs; other marks mean nothing here."""
        if isinstance(record, MediaMark):
            self._stream(record.channel).agree(record.codecs)
        elif isinstance(record, SideMark):
            self._sides[record.channel] = record.side
        elif isinstance(record, PacketRecord):
            self._stream(record.channel).receive(record.data, self._sample(now_s))

    def take(self, now_s: float) -> Samples:
        """int16 (n, 2) at 8 000 Hz: what is due since the last time, silence where nothing came."""
        until = self._sample(now_s)
        n = min(max(0, until - self._played), int(MOST_S * RATE_HZ))
        self._played = until
        mixed = np.zeros((n, 2), np.int32)
        for number, stream in self._streams.items():
            side = self._sides.get(number, number & 1)
            samples = stream.take(until, n)
            for each in (0, 1) if side is None else (side,):
                mixed[:, each] += samples
        return np.clip(mixed, -32768, 32767).astype(np.int16)

    def _stream(self, number: int) -> "_Stream":
        if number not in self._streams:
            self._streams[number] = _Stream(self._played)
        return self._streams[number]

    def _sample(self, now_s: float) -> int:
        return int((now_s - self._start_s) * RATE_HZ)


class _Stream:
    """One leg: a ring of samples from `_played` on."""

    def __init__(self, played: int) -> None:
        self._codecs: tuple[tuple[int, str], ...] = ()
        self._ring = np.zeros(int(MOST_S * RATE_HZ) * 2, np.int16)
        self._played = played  # the next sample to give
        self._ssrc = -1
        self._stamp = 0  # RTP timestamp of the packet that anchors the stream
        self._anchor = 0  # and its place
        self._late = 0
        self._decoders: dict[PackedCodec, _Decode | None] = {}

    def agree(self, codecs: tuple[tuple[int, str], ...]) -> None:
        if codecs:
            self._codecs = codecs

    def receive(self, data: bytes, now: int) -> None:
        try:
            packet = parse_rtp(data)
        except ProtocolError:
            return
        plain = codec_of_type(packet.payload_type, self._codecs)
        packed = None if plain else packed_of_type(packet.payload_type, self._codecs)
        if plain is not None:
            samples, clock_hz = plain.decode(packet.payload), plain.clock_rate_hz
        elif packed is not None:
            samples, clock_hz = self._unpack(packed, packet.payload), packed.clock_rate_hz
        else:
            return
        away = (packet.timestamp - self._stamp + 0x8000_0000) % 0x1_0000_0000 - 0x8000_0000
        place = self._anchor + away * RATE_HZ // clock_hz
        self._late = self._late + 1 if place + samples.size <= self._played else 0
        if packet.ssrc != self._ssrc or place > now + AHEAD_S * RATE_HZ or self._late >= LATE_MOST:
            self._ssrc, self._stamp, self._late = packet.ssrc, packet.timestamp, 0
            self._anchor = place = max(self._played, now) + int(DELAY_S * RATE_HZ)
        self._write(place, samples[: self._ring.size // 4])

    def take(self, until: int, n: int) -> Samples:
        at = np.arange(until - n, until) % self._ring.size
        samples = self._ring[at]
        if until - self._played > n:  # nobody took for longer than the ring is meant for
            self._ring[:] = 0
        self._ring[at] = 0
        self._played = until
        return samples

    def _write(self, place: int, samples: Samples) -> None:
        skip = max(0, self._played - place)
        room = max(0, self._played + self._ring.size - place)
        part = samples[skip:room]
        self._ring[(place + skip + np.arange(part.size)) % self._ring.size] = part

    def _unpack(self, codec: PackedCodec, payload: bytes) -> Samples:
        if codec not in self._decoders:
            self._decoders[codec] = _decoder(codec)
        decode = self._decoders[codec]
        parts = [decode(piece) for piece in codec.split(payload)] if decode else []
        return np.concatenate(parts) if parts else np.zeros(0, np.int16)


def _decoder(codec: PackedCodec) -> _Decode | None:
    from callqa.audiofile import LiveDecoder  # PyAV: only when such a call comes along

    try:
        return LiveDecoder(codec.decoder, codec.sample_rate_hz, RATE_HZ).decode
    except AudioError:  # this FFmpeg has no such decoder: the side stays silent
        return None
