"""What a peer says and hears: its SDP, its speech, its RTCP."""

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.simulate.line import Line
from tests.simulate.loop import Clockwork
from tests.simulate.network import Address, Net
from tests.simulate.voice import FRAME_NS, Voice

if TYPE_CHECKING:
    from tests.simulate.world import World

CODECS = {"alaw": "8 101", "ulaw": "0 101", "both": "8 0 101"}
_CODEC_LINES = "a=rtpmap:8 PCMA/8000\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:101 telephone-event/8000\r\n"
REPORT_FRAMES = 40  # between two reports


@dataclass(eq=False, slots=True)
class Talk:
    """One dialog of a peer. state: calling, ringing, answered (200 sent, no ACK), talking, over."""

    attempt: int
    call_id: str
    our: str
    their: str = ""
    target: str = ""
    state: str = "calling"
    caller: bool = True
    cseq: int = 1
    rtp_port: int = 0
    remote: Address | None = None
    voice: Voice | None = None
    sends: bool = False
    spells: int = 0  # of speech
    got_provisional: bool = False
    gave_up: bool = False
    hangs_up: bool = False
    held: bool = False
    has_held: bool = False  # at any time
    bye_done: bool = False
    connected_ns: int = 0  # our 200 was acknowledged
    over_ns: int = 0
    invite: str = ""
    invite_branch: str = ""
    invite_fields: dict[str, list[str]] = field(default_factory=dict)
    to_ack: str = ""
    final: int = 0
    ok_sent: str = ""
    ending_ns: int = 0
    twin: "Talk | None" = None  # the second stream of a recording session
    line: Line | None = None
    heard_ssrc: int = 0
    joined: int = 0  # when it moved to another call, ns; `before`: from which
    before: int = -1
    home: Address | None = None  # where it spoke to before it moved
    notes: list[str] = field(default_factory=list)


class PeerMedia:
    """The media half of a peer."""

    world: "World"
    work: Clockwork
    net: Net
    address: Address
    user: str
    _port = 4000

    def line(self, talk: Talk) -> Line:
        if talk.line is None:
            wide = self.world.plan.wide
            secure = ("trunk" if self is self.world.trunk else "phones") in wide.secure
            talk.line = Line(wide, secure, self.world.keys, self.world.wrong)
        return talk.line

    def sdp(self, talk: Talk, direction: str = "sendrecv") -> str:
        line = self.line(talk)
        if not talk.rtp_port:
            self._port += 2
            talk.rtp_port = self._port
            self.net.at[self.address[0], talk.rtp_port] = lambda data, source: self._hear(talk, data)
            if line.wide.rtcp:
                self.net.at[self.address[0], talk.rtp_port + 1] = lambda data, source: line.hear_report(data)
        codecs = CODECS[self.world.plan.law]
        host = self.address[0]
        return (
            f"v=0\r\no=- 1 1 IN IP4 {host}\r\ns=-\r\nc=IN IP4 {host}\r\nt=0 0\r\n"
            f"m=audio {talk.rtp_port} {line.protocol} {codecs}\r\n{_CODEC_LINES}a=ptime:20\r\n{line.sdp_lines()}a={direction}\r\n"
        )

    def _take_sdp(self, talk: Talk, body: str) -> None:
        host = re.search(r"^c=IN IP4 (\S+)", body, re.MULTILINE)
        port = re.search(r"^m=audio (\d+)", body, re.MULTILINE)
        if host and port and port[1] != "0":
            talk.remote = (host[1], int(port[1]))
            self.line(talk).read(body)

    def start_voice(self, talk: Talk) -> None:
        """Speak to the recorder's port until told to stop."""
        if talk.sends or talk.attempt < 0 or talk.remote is None:
            return
        talk.sends = True
        if talk.voice is None:
            talk.voice = self.world.new_voice(self, talk)
        talk.spells += 1
        due_ns = max(self.work.now_ns, talk.voice.due_ns)  # its last frame lasts that long
        talk.voice.resume(due_ns)
        self.work.at_ns(due_ns, self._speak, talk, talk.voice, talk.spells)

    def _speak(self, talk: Talk, voice: Voice, spell: int) -> None:
        if not talk.sends or talk.remote is None or voice is not talk.voice or spell != talk.spells:
            return
        now_ns = self.work.now_ns
        data, number = voice.packet(now_ns)
        locked = self.line(talk).lock(data)
        if locked is not None:
            source = (self.address[0], talk.rtp_port)
            self.net.send_rtp(locked, source, talk.remote, voice.hearing(number, lambda: self.work.now_ns))
        if self.line(talk).wide.rtcp and number % REPORT_FRAMES == REPORT_FRAMES // 2:
            self._report(talk, voice)
        self.work.after(FRAME_NS, self._speak, talk, voice, spell)

    def _report(self, talk: Talk, voice: Voice) -> None:
        assert talk.remote is not None
        line = self.line(talk)
        data = line.report(voice, self.work.now_ns, talk.heard_ssrc)
        if data is None:
            return
        attempt, agent = self.world.attempts[talk.attempt], voice.side % 2
        shift = 0 if line.mux else 1
        self.net.send_rtp(
            data,
            (self.address[0], talk.rtp_port + shift),
            (talk.remote[0], talk.remote[1] + shift),
            lambda: attempt.reports.append((agent, self.work.now_ns)),
        )

    def _hear(self, talk: Talk, data: bytes) -> None:
        """What the recorder relays: the other side of the same call, and nobody else."""
        plain = self.line(talk).unlock(data)
        if plain is not None:
            talk.heard_ssrc = int.from_bytes(plain[8:12], "big")
            self.world.relayed(talk, plain)
