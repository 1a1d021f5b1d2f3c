"""One-way audio and calls without media are told within ten seconds, and nothing that is meant to be silent is."""

from dataclasses import dataclass, replace

import pytest

from callqa.sip.media.rtp import RtpPacket, build_rtp
from callqa.sip.media.trouble import LegNow, Trouble, TroubleKind, TroubleWatch
from callqa.units import Channel

S = 1_000_000_000
T0 = 1000 * S


@dataclass
class Side:
    """A phone on a virtual clock: sends 50 packets a second while `speaks`; lost: they do not arrive."""

    port: int
    speaks: bool = True
    lost: bool = False
    sends: bool = True
    rtcp: bool = False
    comfort: bool = False  # a comfort noise packet when it falls silent
    payload_type: int = 8
    frame_bytes: int = 160
    ticking: bool = True  # the timestamp follows the clock through silence
    now: LegNow | None = None
    sequence: int = 0
    sent: int = 0
    at_ns: int = T0
    next_report_ns: int = T0 + 2 * S

    def __post_init__(self):
        self.now = LegNow(self.port, 0, 0, b"", self.sends)

    def packet(self, payload_type: int | None = None) -> None:
        self.sequence += 1
        self.sent += 1
        stamp = (self.at_ns - T0) * 8 // 1_000_000 if self.ticking else self.sequence * 160
        data = build_rtp(
            RtpPacket(
                self.payload_type if payload_type is None else payload_type,
                False,
                self.sequence & 0xFFFF,
                stamp & 0xFFFF_FFFF,
                self.port,
                bytes(self.frame_bytes),
            )
        )
        if not self.lost:
            self.now = replace(self.now, packets=self.now.packets + 1, last_ns=self.at_ns, latest=data)

    def second(self) -> LegNow:
        """Let a second pass."""
        for _ in range(50):
            self.at_ns += S // 50
            if self.speaks:
                self.packet()
        if self.rtcp and self.at_ns >= self.next_report_ns:
            self.next_report_ns += 5 * S
            told = self.sent if self.speaks else None
            self.now = replace(self.now, report_ns=self.at_ns, reported=told)
        self.now = replace(self.now, sends=self.sends)
        return self.now

    def hush(self) -> None:
        self.speaks = False
        if self.comfort:
            self.packet(13)


class Call:
    def __init__(self, citizen: Side, agent: Side) -> None:
        self.sides = {Channel.CITIZEN: citizen, Channel.AGENT: agent}
        self.watch = TroubleWatch(T0)
        self.told: list[tuple[str, int]] = []  # (+ or - and what, second)
        self.seconds = 0

    def run(self, seconds: int, held: bool = False) -> list[tuple[str, int]]:
        """What was told meanwhile."""
        before = len(self.told)
        for _ in range(seconds):
            self.seconds += 1
            legs = {channel: side.second() for channel, side in self.sides.items() if side.port}
            ended, began = self.watch.look(legs, held, T0 + self.seconds * S)
            for sign, what in (("-", ended), ("+", began)):
                if what is not None:
                    self.told.append((sign + what.text, self.seconds))
        return self.told[before:]


def call(**agent) -> tuple[Call, Side, Side]:
    citizen, seat = Side(1), Side(2, **agent)
    return Call(citizen, seat), citizen, seat


def test_a_call_with_both_voices_tells_nothing():
    c, _, _ = call()
    assert c.run(600) == []


def test_a_side_that_is_never_heard():
    c, _, _ = call(speaks=False)
    assert c.run(30) == [("+听不到坐席", 6)]
    assert c.watch.trouble == Trouble(TroubleKind.ONE_WAY, Channel.AGENT, T0)


def test_a_side_that_stops_and_comes_back():
    c, citizen, _ = call()
    c.run(60)
    citizen.lost = True
    (told,) = c.run(20)
    assert told == ("+听不到诉求人", 66)
    citizen.lost = False
    assert c.run(20) == [("-听不到诉求人", 81)]


def test_nobody_is_heard_then_one_is():
    c, citizen, agent = call(speaks=False)
    citizen.speaks = False
    assert c.run(10) == [("+双方都没有声音", 6)]
    citizen.speaks = True
    assert c.run(5) == [("-双方都没有声音", 11), ("+听不到坐席", 11)]
    agent.speaks = True
    assert c.run(5) == [("-听不到坐席", 16)]


def test_an_answer_without_media_on_a_single_leg():
    c, citizen, agent = call()
    agent.port, citizen.speaks = 0, False
    assert c.run(8) == [("+双方都没有声音", 6)]


@pytest.mark.parametrize("who", ["citizen", "agent"])
def test_hold_is_no_trouble_and_what_is_missing_after_it_is(who):
    c, citizen, agent = call()
    c.run(10)
    side = citizen if who == "citizen" else agent
    side.hush()
    assert c.run(120, held=True) == []
    assert c.run(5) == []
    ((told, at),) = c.run(5)
    assert told[0] == "+" and at == 136


def test_hold_closes_a_trouble():
    c, _, _ = call(speaks=False)
    c.run(8)
    assert c.run(1, held=True) == [("-听不到坐席", 9)]


def test_a_side_that_says_it_will_not_send_is_believed():
    c, _, _ = call(speaks=False, sends=False)
    assert c.run(60) == []


def test_comfort_noise_explains_silence():
    c, _, agent = call(comfort=True)
    c.run(3)
    agent.hush()
    assert c.run(30) == []


def test_pauses_earlier_in_the_call_explain_silence():
    """A phone with voice activity detection that sends no comfort noise: its pauses are seen before they get long."""
    c, _, agent = call()
    c.run(3)
    agent.hush()
    c.run(2)
    agent.speaks = True
    c.run(3)
    agent.hush()
    assert c.run(30) == []


@pytest.mark.parametrize("comfort", [False, True])
def test_a_line_that_was_cut_is_told_late_though_silence_was_suppressed_before(comfort):
    """The blind spot: whoever once paused was never missed again."""
    c, _, agent = call(comfort=comfort)
    c.run(3)
    agent.hush()
    c.run(2)
    agent.speaks = True
    c.run(5)
    agent.hush()
    assert c.run(100) == [("+坐席很久没有声音", 41)]
    assert c.watch.trouble is not None and not c.watch.trouble.sure
    agent.speaks = True
    assert c.run(2) == [("-坐席很久没有声音", 111)]
    agent.hush()
    assert c.run(200) == [], "it was silent for as long before, and came back"
    assert c.run(10) != []


def test_a_silence_that_may_be_meant_becomes_sure_when_rtcp_says_so():
    c, _, agent = call()
    c.run(3)
    agent.hush()
    c.run(2)
    agent.speaks = True
    c.run(5)
    agent.lost = True
    assert c.run(35) == [("+坐席很久没有声音", 41)]
    agent.rtcp, agent.next_report_ns = True, agent.at_ns
    assert c.run(10)[-1][0] == "+听不到坐席"


@pytest.mark.parametrize("coded", [(18, 20), (3, 33), (9, 160), (96, 32)])
def test_packets_that_are_small_are_no_pauses(coded):
    """20 ms are 20 bytes in G.729; read as G.711 they were 2.5 ms and a pause."""
    payload_type, frame_bytes = coded
    c, _, agent = call(payload_type=payload_type, frame_bytes=frame_bytes)
    c.run(10)
    agent.lost = True
    assert c.run(10) == [("+听不到坐席", 16)]


def test_lost_packets_are_no_pauses():
    c, _, agent = call()
    c.run(3)
    agent.lost = True
    c.run(2)
    agent.lost = False
    c.run(3)
    agent.lost = True
    assert c.run(10) == [("+听不到坐席", 14)]


def test_a_clock_that_stands_in_silence_is_no_pause():
    """A mute key that stops everything and goes on where it stopped: silence of that kind is told."""
    c, _, agent = call(ticking=False)
    c.run(3)
    agent.hush()
    c.run(2)
    agent.speaks = True
    c.run(3)
    agent.hush()
    assert len(c.run(10)) == 1


def test_rtcp_tells_a_phone_that_is_silent_by_itself():
    c, _, agent = call(rtcp=True)
    c.run(10)
    agent.hush()
    assert c.run(120) == []


def test_rtcp_tells_within_ten_seconds_that_packets_get_lost():
    c, _, agent = call(rtcp=True)
    c.run(11)
    agent.lost = True
    ((told, at),) = c.run(30)
    assert told == "+听不到坐席" and at - 11 <= 10


def test_rtcp_of_a_phone_with_pauses_tells_it_too():
    c, _, agent = call(rtcp=True)
    c.run(3)
    agent.hush()
    c.run(2)
    agent.speaks = True
    c.run(8)
    agent.lost = True
    ((told, at),) = c.run(30)
    assert told == "+听不到坐席" and at - 13 <= 10


def test_another_phone_after_a_transfer_begins_anew():
    c, _, agent = call(comfort=True)
    c.run(10)
    agent.hush()
    c.run(10)
    c.sides[Channel.AGENT] = Side(3, speaks=False, at_ns=agent.at_ns)
    assert [t for t, _ in c.run(4)] == []
    assert [t for t, _ in c.run(4)] == ["+听不到坐席"]
