"""The streams of one recorded call: our answer line by line, a port and a number for each that is new, and what is told of it.

A stream is told of when it is opened and whenever its codecs, address, pause or keys change; its side is siprec.py's to tell.
"""

from collections.abc import Sequence
from dataclasses import replace

from callqa.sip.calls.call import Call
from callqa.sip.calls.routing import addresses_around, encryption_at
from callqa.sip.events import MediaChanged, MediaOpened, StreamSide
from callqa.sip.media.spool import STREAMS_MOST
from callqa.sip.recording.sdp import AnsweredStream, OfferedStream, build_answer, build_offer
from callqa.sip.recording.session import RecordedStream, RecordingSession, Whole
from callqa.sip.wire.sdes import UNENCRYPTED, Keyring
from callqa.units import Channel


class CallStreams:
    """Of all sessions of a call."""

    def __init__(self, call: Call, sessions: Sequence[RecordingSession], whole: Whole) -> None:
        self._call = call
        self._core = call.core
        self._sessions = sessions
        self._whole = whole
        self._offered_ports: list[int] = []  # of an offer of ours, in the order of its lines

    def answer(self, session: RecordingSession, lines: tuple[OfferedStream, ...] | None, now: float) -> bytes | None:
        """Our answer; streams that are new get a port. None where not one of them got any."""
        host = self._core.local(session.leg.dialog.observed)[0]
        if not lines:  # an INVITE without SDP: we offer
            ports = [p for p in (self._port(), self._port()) if p is not None]
            if not ports:
                return None
            session.last = build_offer(host, session.sdp_id, tuple(ports))
            self._offered_ports = ports
            session.leg.said(session.last)
            return session.last
        answered = tuple(self._take_line(session, line, now) for line in lines)
        if not any(a.port for a in answered) and not session.streams:
            return None
        body = build_answer(host, session.sdp_id, session.version, answered)
        if body != session.last:
            session.version += 1
            body = session.last = build_answer(host, session.sdp_id, session.version, answered)
        session.leg.said(body)
        return body

    def accept(self, session: RecordingSession, lines: Sequence[OfferedStream], now: float) -> None:
        """The lines of an answer to our offer."""
        for line, port in zip(lines, self._offered_ports, strict=False):
            if line.session is not None and line.index not in session.streams:
                side = self._whole.side(session, line)
                keyring = self._keyring(session)
                session.streams[line.index] = RecordedStream(self._number(side), port, line, side, keyring)
            if line.index in session.streams:
                self._report(session, session.streams[line.index], now)

    def end(self, session: RecordingSession, now: float) -> None:
        """A session is over: its streams send nothing any more."""
        for stream in session.streams.values():
            if stream.offered.session is not None:
                stream.offered = replace(stream.offered, session=None)
                self._report(session, stream, now)

    def _port(self) -> int | None:
        return self._call.take_port() if sum(len(s.streams) for s in self._sessions) < STREAMS_MOST else None

    def _take_line(self, session: RecordingSession, line: OfferedStream, now: float) -> AnsweredStream:
        stream = session.streams.get(line.index)
        if line.session is None:
            if stream is not None:  # taken out of the session, or nothing in it that we know
                stream.offered = replace(stream.offered, session=None)
                self._report(session, stream, now)
            return AnsweredStream(line, 0)
        if stream is None:
            keyring = self._keyring(session)
            port = self._port() if keyring.fits(line.session.crypto) else None
            if not keyring.fits(line.session.crypto):
                self._core.fault(now, UNENCRYPTED, session.leg.dialog.observed, self._call.call_id)
                return AnsweredStream(line, 0)
            if port is None:
                self._core.fault(
                    now, "录音会话的媒体端口不够，有一路声音录不到", session.leg.dialog.observed, self._call.call_id
                )
                return AnsweredStream(line, 0)
            side = self._whole.side(session, line)
            stream = session.streams[line.index] = RecordedStream(self._number(side), port, line, side, keyring)
        stream.offered = line
        crypto = stream.keyring.answer(line.session.crypto)
        self._report(session, stream, now)
        return AnsweredStream(line, stream.port, tuple(str(c) for c in crypto))

    def _keyring(self, session: RecordingSession) -> Keyring:
        return Keyring(self._core.tokens, encryption_at(self._core.desk, session.leg.dialog.observed[0]))

    def _number(self, side: Channel | None) -> int:
        """The number of a new stream: its side's own where that is free."""
        used = {stream.number for session in self._sessions for stream in session.streams.values()}
        wanted = [side.value] if side is not None else [0]
        return next(n for n in (*wanted, *range(STREAMS_MOST)) if n not in used)

    def _report(self, session: RecordingSession, stream: RecordedStream, now: float) -> None:
        """Tell what is new of a stream's port, codecs, address and pause."""
        offered = stream.offered
        remote = offered.session.remote if offered.session else None
        told = (offered.codecs, remote, offered.paused, stream.terms)
        if told == stream.told:
            return
        host = session.leg.dialog.observed[0]
        around = addresses_around(self._core.desk, host)
        channel = stream.side if stream.side is not None else Channel.CITIZEN
        if stream.told is None:
            self._core.emit(
                MediaOpened(
                    self._call.call_id, now, channel, stream.port, told[0], remote, host, stream.number, told[3], around
                )
            )
            if stream.side is None:
                self._core.emit(StreamSide(self._call.call_id, now, stream.number, None))
        if stream.told is not None or offered.paused:
            self._core.emit(
                MediaChanged(self._call.call_id, now, channel, *told[:3], host, stream.number, told[2], told[3], around)
            )
            self._call.since = now
        stream.told = told
