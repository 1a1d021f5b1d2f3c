"""Strangers: garbage at the SIP port, RTP from elsewhere, RTP with the address of a phone and wild numbers in it."""

import struct
from collections.abc import Callable

from tests.simulate.voice import frame
from tests.simulate.world import SERVER, TRUNK, World

STRANGER = ("203.0.113.9", 40_000)
_LINES = (
    b"OPTIONS sip:10.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 203.0.113.9;branch=z9hG4bKx\r\nFrom: <sip:x@h>;tag=1\r\nTo: <sip:h>\r\n"
    b"Call-ID: x\r\nCSeq: 1 OPTIONS\r\nMax-Forwards: 70\r\n\r\n",
    b"INVITE sip:0027@10.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 203.0.113.9;branch=z9hG4bKy\r\nFrom: <sip:100@h>;tag=1\r\n"
    b"To: <sip:h>\r\nCall-ID: y\r\nCSeq: 1 INVITE\r\nMax-Forwards: 70\r\nContact: <sip:100@203.0.113.9>\r\n\r\n",
    b"BYE sip:x SIP/2.0\r\n\r\n", b"\r\n\r\n", b"SIP/2.0 200 OK\r\n\r\n", b"\xff" * 40, b"INVITE \x00 SIP/2.0\r\nVia:\r\n\r\n",
)  # fmt: skip


def send_hostile(world: World, at: Callable[..., None], last_s: float) -> None:
    """Spread the plan's hostile packets over the story."""
    rng = world.rng
    for _ in range(world.plan.hostile):
        when_s = rng.uniform(0, last_s)
        kind = rng.randrange(4)
        if kind == 0:
            data = rng.choice(_LINES) if rng.random() < 0.7 else rng.randbytes(rng.randrange(1, 300))
            at(when_s, world.net.send_sip, data, STRANGER, SERVER)
        else:
            at(when_s, _rtp, world, kind, rng.randrange(1 << 30))


def _rtp(world: World, kind: int, number: int) -> None:
    if world.run is None or not world.run.sockets:
        return
    ports = sorted(s.address[1] for s in world.run.sockets)
    to = (SERVER[0], ports[number % len(ports)])
    head = struct.pack(">BBHII", 0x80, 8, number & 0xFFFF, number * 7919 & 0xFFFFFFFF, number)
    source = STRANGER
    if kind == 3:  # with the address of a peer that talks: nobody can tell it from the peer
        talks = [(p, t) for p in (world.trunk, *world.phones) for t in p.talks.values() if t.remote == to and t.sends]
        if not talks:
            return
        peer, talk = talks[0]
        source = (peer.address[0], talk.rtp_port)
        world.attempts[talk.attempt].hostile = True
    elif kind == 2:
        source = (TRUNK[0], 9)
    for attempt in world.attempts.values():
        heard = {v.side % 2 for v in attempt.voices if v.heard}
        if attempt.begun_ns and (len(heard) < 2 or not all(v.heard for v in attempt.voices)):
            attempt.hostile = True  # whoever is first on a port is heard until a nearer one speaks
    world.net.send_rtp(head + frame(31, 31, number % 4096), source, to)
