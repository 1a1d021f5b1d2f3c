"""Encrypted legs: each for itself, the spool in plain RTP, a stranger without the key shut out; and one call end to end."""

import asyncio
import base64
import socket

import pytest

from callqa.demo.endpoint import AutoAnswer, Endpoint
from callqa.desk import save_desk
from callqa.sip.events import PLAIN_MEDIA, MediaTerms
from callqa.sip.media.rtp import RtpPacket, build_rtp
from callqa.sip.media.spool import PacketRecord, read_records
from callqa.sip.media.srtp import Locker, Unlocker
from callqa.sip.process.leg_media import LegMedia
from callqa.sip.wire.sdes import AES_80, MediaKeys
from tests.recorder.harness import TRUNK_HOST, Home, frames, inner_gaps, make_desk, password, talked_out, until

PHONE, TRUNK, STRANGER = ("10.0.2.1", 30000), ("10.0.1.1", 40000), ("203.0.113.9", 5)
THEIRS, OURS, OTHER = bytes(range(30)), bytes(range(50, 80)), bytes(range(90, 120))


class Wire:
    """A socket that notes what is sent."""

    family = socket.AF_INET

    def __init__(self):
        self.sent = []

    def sendto(self, data, address):
        self.sent.append((data, address))


class Now:
    """A clock that stands."""

    def monotonic_ns(self):
        return 10**10


def packet(n, ssrc=7):
    return build_rtp(RtpPacket(8, False, n, n * 160, ssrc, bytes([n & 0xFF]) * 160))


@pytest.fixture
def legs():
    """(citizen, agent, what was kept): two connected legs whose peers are known, plain so far."""
    kept = []
    citizen, agent = (LegMedia(stream, 20000, Wire(), kept.append, Now()) for stream in (0, 1))
    citizen.other, agent.other = agent, citizen
    citizen.ask_for(TRUNK, TRUNK[0])
    agent.ask_for(PHONE, PHONE[0])
    return citizen, agent, kept


def spooled(kept):
    return [
        (r.channel, r.data) for r in read_records(b"callqa-spool/1\n" + b"".join(kept)) if isinstance(r, PacketRecord)
    ]


def keyed(receive=THEIRS, send=OURS):
    return MediaTerms(keys=MediaKeys(AES_80, receive, send))


def test_an_encrypted_leg_and_a_plain_one(legs):
    citizen, agent, kept = legs
    citizen.agree(keyed())
    trunk, at_trunk = Locker(AES_80, THEIRS), Unlocker(AES_80, OURS)
    for n in range(5):
        citizen.datagram_received(trunk.lock(packet(n)), TRUNK)
        agent.datagram_received(packet(n, 9), PHONE)
    assert [data for data, _ in agent.bound.sent] == [packet(n) for n in range(5)]
    wire = [data for data, _ in citizen.bound.sent]
    assert all(packet(n, 9)[12:] not in data for n, data in enumerate(wire))
    assert [at_trunk.unlock(data) for data in wire] == [packet(n, 9) for n in range(5)]
    assert spooled(kept) == [x for n in range(5) for x in ((0, packet(n)), (1, packet(n, 9)))]


def test_without_the_key_nobody_is_heard_and_nobody_displaces(legs):
    citizen, agent, kept = legs
    citizen.agree(keyed())
    trunk = Locker(AES_80, THEIRS)
    citizen.datagram_received(trunk.lock(packet(0)), TRUNK)
    for n in range(1, 11):
        citizen.datagram_received(packet(n), STRANGER)
        citizen.datagram_received(packet(n), TRUNK)
        citizen.datagram_received(Locker(AES_80, OTHER).lock(packet(n)), (TRUNK[0], 9))
    assert spooled(kept) == [(0, packet(0))] and len(agent.bound.sent) == 1
    assert (citizen.source, citizen.secrecy.failed) == (TRUNK, 30)


def test_the_key_tells_a_peer_that_moved(legs):
    citizen, _, kept = legs
    citizen.agree(keyed())
    trunk, moved = Locker(AES_80, THEIRS), (TRUNK[0], 41000)
    citizen.datagram_received(trunk.lock(packet(0)), TRUNK)
    citizen.datagram_received(trunk.lock(packet(1)), moved)
    assert citizen.source == moved and len(spooled(kept)) == 2


def test_packets_before_the_key_wait_for_it(legs):
    """Else a phone that speaks with its answer would be recorded and heard as noise."""
    citizen, agent, kept = legs
    citizen.agree(MediaTerms(keys_due=True))
    trunk = Locker(AES_80, THEIRS)
    for n in range(300):
        citizen.datagram_received(trunk.lock(packet(n)), TRUNK)
    agent.datagram_received(packet(0, 9), PHONE)
    assert spooled(kept) == [(1, packet(0, 9))] and not agent.bound.sent and not citizen.bound.sent
    citizen.agree(keyed())
    assert [data for data, _ in agent.bound.sent] == [packet(n) for n in range(100)]
    assert [Unlocker(AES_80, OURS).unlock(data) for data, _ in citizen.bound.sent] == [packet(0, 9)]


def test_packets_before_a_plain_answer_wait_for_it_too(legs):
    citizen, agent, kept = legs
    citizen.agree(MediaTerms(keys_due=True))
    citizen.datagram_received(packet(0), TRUNK)
    citizen.agree(PLAIN_MEDIA)
    assert citizen.secrecy is None and spooled(kept) == [(0, packet(0))] == [(0, d) for d, _ in agent.bound.sent]


def test_new_keys_lose_nothing_of_what_is_on_the_way(legs):
    citizen, _, kept = legs
    citizen.agree(keyed())
    before, after = Locker(AES_80, THEIRS), Locker(AES_80, OTHER)
    for n in range(5):
        citizen.datagram_received(before.lock(packet(n)), TRUNK)
    citizen.agree(keyed(receive=OTHER))
    for n in range(5, 10):
        citizen.datagram_received(before.lock(packet(n)), TRUNK)
    for n in range(10, 300):
        citizen.datagram_received(after.lock(packet(n)), TRUNK)
    assert [data for _, data in spooled(kept)] == [packet(n) for n in range(300)]
    citizen.datagram_received(before.lock(packet(300)), TRUNK)
    assert citizen.secrecy.failed == 1


def test_the_same_terms_again_start_nothing_anew(legs):
    """A session refresh; a new context would forget the roll-over counter."""
    citizen, agent, _ = legs
    citizen.agree(keyed())
    at_trunk = Unlocker(AES_80, OURS)
    for n in range(65_000, 66_000, 100):
        agent.datagram_received(packet(n & 0xFFFF, 9), PHONE)
        citizen.agree(keyed())
    wire = [data for data, _ in citizen.bound.sent]
    assert len(wire) == 10 and [at_trunk.unlock(d) for d in wire] == [
        packet(n & 0xFFFF, 9) for n in range(65_000, 66_000, 100)
    ]


# -- a whole recorder ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    desk = make_desk(["8001"], seat_encryption="optional")
    home = Home(tmp_path_factory.mktemp("secret"), desk)
    asyncio.run(home.start())
    yield home
    assert home.stop() == 0
    assert "Traceback" not in home.log.read_text()


@pytest.mark.parametrize(("trunk", "seat"), [("required", "optional"), ("off", "optional"), ("optional", "off")])
def test_a_call_is_recorded_whole_whichever_legs_are_encrypted(home: Home, trunk, seat):
    async def story():
        number = home.board().desk_number + 1
        save_desk(
            home.settings.desk_path, make_desk(["8001"], seat_encryption=seat).model_copy(update={"number": number})
        )
        await until("the desk", lambda: home.board().desk_number == number)
        from_number = f"1390000{len(trunk)}{len(seat)}00"
        said, answered = frames(1, 60), frames(2, 60)
        talker = await Endpoint("127.0.0.1", on_invite=lambda _: AutoAnswer(0.05, answered, "PCMA")).start()
        assert await talker.register(home.server, "8001", password("8001")) == 200
        caller = await Endpoint(TRUNK_HOST, encryption=trunk).start()
        call = await caller.call(home.server, "96510", said, "PCMA", caller=from_number)
        assert await call.answered
        agent = talker.incoming.get_nowait()
        assert (call.encrypted, agent.encrypted) == (trunk != "off", seat != "off")
        await talked_out(call, agent)
        agent.hang_up()
        (sidecar,) = await until("the sidecar", lambda: [s for s in home.sidecars() if s.from_number == from_number])
        master = (home.settings.recordings_dir / sidecar.recording.path).read_bytes()
        audio = master[master.index(b"data") + 8 :]
        assert said in audio[0::2] and answered in audio[1::2]
        assert (call.heard_payload(), agent.heard_payload()) == (answered, said)
        assert (inner_gaps(sidecar), sidecar.faults) == ([], ())
        for leg, words in ((call, answered), (agent, said)):
            in_clear = [data[12:172] in words for data in leg.wire]
            assert len(in_clear) == 60 and (not any(in_clear) if leg.encrypted else all(in_clear))
        keys = [k for leg in (call, agent) if (k := leg.leg.terms.keys)]
        await asyncio.gather(caller.close(), talker.close())
        return [text for k in keys for text in (k.send, k.receive)]

    keys = asyncio.run(story())
    written = [home.log, *(p for p in home.folder.rglob("*") if p.is_file())]
    shown = b"".join(p.read_bytes() for p in written) + home.board().model_dump_json().encode()
    assert keys and all(
        k not in shown and base64.b64encode(k) not in shown and k.hex().encode() not in shown for k in keys
    )
