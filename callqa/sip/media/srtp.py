"""SRTP and SRTCP of one leg (RFC 3711, RFC 7714): datagrams in, datagrams out, on libsrtp. No socket, no clock.

`Unlocker` takes what the peer sends, `Locker` what we send; both follow any number of SSRCs and the roll-over counter.
A peer that was heard too late, or that starts anew under its old SSRC, has another roll-over counter than a fresh context
assumes: after some packets that fail, the likely counters are tried (SDES does not tell it, RFC 4568 §6.4).
A sender that repeats old sequence numbers cannot be passed on under its SSRC, that would use a key stream twice (RFC 3711
§9.1): it gets another SSRC.

Does not do: key identifiers (MKI), AES-256 in counter mode (the binding has only the four suites of sdes.py).
"""

import pylibsrtp

from callqa.sip.wire.sdes import AES_32, AES_80, GCM_128, GCM_256, MediaKeys, Suite

_PROFILES = {
    AES_80: pylibsrtp.Policy.SRTP_PROFILE_AES128_CM_SHA1_80,
    AES_32: pylibsrtp.Policy.SRTP_PROFILE_AES128_CM_SHA1_32,
    GCM_128: pylibsrtp.Policy.SRTP_PROFILE_AEAD_AES_128_GCM,
    GCM_256: pylibsrtp.Policy.SRTP_PROFILE_AEAD_AES_256_GCM,
}
# Far more than any jitter buffer reorders; a packet that is older is a replay.
WINDOW = 1024
FOLLOWED_MOST = 16  # SSRCs with a counter of their own; each hold and resume may bring one
# A counter is looked for after so many failures in a row: at once where nothing of the sender was ever right (a phone that is
# moved to another call goes on with its counter), and again should the first have been a stranger's; late where it was right,
# so that old packets sent again by a stranger do not move it.
TRY_UNHEARD_FIRST = 1
TRY_UNHEARD_AFTER = 3
TRY_HEARD_AFTER = 25
TRY_AGAIN_EVERY = 50
COUNTERS_TRIED = 4  # 22 minutes of 20 ms packets each
STUCK_AFTER = 10  # packets of one sender in a row that cannot be locked
_STEP = 20_000  # of the sequence, well below half of its range: the counter follows
_ALIAS_STEP = 0x9E37_79B9
_REPEATED = ("replay check failed (bad index)", "replay check failed (index too old)")


class Unlocker:
    """What one peer sends. failed: datagrams whose authentication failed; repeated: duplicates and replays."""

    __slots__ = ("_failing", "_heard", "_key", "_session", "_sessions", "_suite", "failed", "repeated")

    def __init__(self, suite: Suite, key: bytes) -> None:
        self._suite = suite
        self._key = key
        self._session = _inbound(suite, key)
        self._sessions: dict[bytes, pylibsrtp.Session] = {}  # by SSRC, where the counter had to be found
        self._heard: set[bytes] = set()
        self._failing: dict[bytes, int] = {}
        self.failed = 0
        self.repeated = 0

    def unlock(self, data: bytes) -> bytes | None:
        """The RTP packet in an SRTP packet; None when it is not the peer's, or was here before."""
        ssrc = data[8:12]
        try:
            plain = self._sessions.get(ssrc, self._session).unprotect(data)
        except ValueError:  # longer than anything on an Ethernet
            self.failed += 1
            return None
        except pylibsrtp.Error as e:
            if str(e) in _REPEATED:
                self.repeated += 1
                return None
            found = self._look_for_counter(data, ssrc)
            self.failed += found is None
            return found
        if self._failing:
            self._failing.pop(ssrc, None)
        if ssrc not in self._heard and len(self._heard) < FOLLOWED_MOST:
            self._heard.add(ssrc)
        return plain

    def unlock_rtcp(self, data: bytes) -> bytes | None:
        """The RTCP packet in an SRTCP packet, or None."""
        try:
            return self._session.unprotect_rtcp(data)
        except (pylibsrtp.Error, ValueError):
            return None

    def _look_for_counter(self, data: bytes, ssrc: bytes) -> bytes | None:
        if len(data) < 12 or (ssrc not in self._failing and len(self._failing) >= FOLLOWED_MOST):
            return None
        count = self._failing[ssrc] = self._failing.get(ssrc, 0) + 1
        first = TRY_HEARD_AFTER if ssrc in self._heard else TRY_UNHEARD_AFTER
        at_once = count == TRY_UNHEARD_FIRST and ssrc not in self._heard
        if not at_once and (count < first or (count - first) % TRY_AGAIN_EVERY):
            return None
        for counter in range(COUNTERS_TRIED):
            session = _inbound(self._suite, self._key)
            _advance(session, _outbound(self._suite, self._key), ssrc, counter << 16 | int.from_bytes(data[2:4], "big"))
            try:
                plain = session.unprotect(data)
            except pylibsrtp.Error:
                continue
            if len(self._sessions) >= FOLLOWED_MOST:
                del self._sessions[next(iter(self._sessions))]
            self._sessions[ssrc] = session
            del self._failing[ssrc]
            return plain
        return None


class Locker:
    """What we send to one peer. stuck: datagrams that could not be locked."""

    __slots__ = ("_aliases", "_failing", "_session", "stuck")

    def __init__(self, suite: Suite, key: bytes) -> None:
        self._session = _outbound(suite, key)
        self._aliases: dict[bytes, bytes] = {}
        self._failing: dict[bytes, int] = {}
        self.stuck = 0

    def lock(self, data: bytes) -> bytes | None:
        """The SRTP packet of an RTP packet; None for a duplicate and for what is no RTP."""
        ssrc = data[8:12]
        if ssrc in self._aliases:
            data = data[:8] + self._aliases[ssrc] + data[12:]
        try:
            locked = self._session.protect(data)
        except ValueError:
            self.stuck += 1
            return None
        except pylibsrtp.Error:
            self._note_stuck(ssrc)
            return None
        if self._failing:
            self._failing.pop(ssrc, None)
        return locked

    def lock_rtcp(self, data: bytes) -> bytes | None:
        """The SRTCP packet of an RTCP packet."""
        try:
            return self._session.protect_rtcp(data)
        except (pylibsrtp.Error, ValueError):
            return None

    def shown_as(self, ssrc: int) -> int:
        """The SSRC under which the peer sees that of a sender."""
        return int.from_bytes(self._aliases.get(ssrc.to_bytes(4, "big"), ssrc.to_bytes(4, "big")), "big")

    def _note_stuck(self, ssrc: bytes) -> None:
        self.stuck += 1
        if ssrc not in self._failing and len(self._failing) >= FOLLOWED_MOST:
            self._failing.clear()
        self._failing[ssrc] = self._failing.get(ssrc, 0) + 1
        if len(ssrc) == 4 and self._failing[ssrc] >= STUCK_AFTER:
            del self._failing[ssrc]
            if ssrc not in self._aliases and len(self._aliases) >= FOLLOWED_MOST:
                del self._aliases[next(iter(self._aliases))]
            known = int.from_bytes(self._aliases.get(ssrc, ssrc), "big")
            self._aliases[ssrc] = ((known + _ALIAS_STEP) & 0xFFFF_FFFF).to_bytes(4, "big")


def unlocker(keys: MediaKeys) -> Unlocker:
    """For what the peer sends under these keys."""
    return Unlocker(keys.suite, keys.receive)


def locker(keys: MediaKeys) -> Locker:
    """For what we send under these keys."""
    return Locker(keys.suite, keys.send)


def _inbound(suite: Suite, key: bytes) -> pylibsrtp.Session:
    return _session(suite, key, pylibsrtp.Policy.SSRC_ANY_INBOUND)


def _outbound(suite: Suite, key: bytes) -> pylibsrtp.Session:
    return _session(suite, key, pylibsrtp.Policy.SSRC_ANY_OUTBOUND)


def _session(suite: Suite, key: bytes, ssrc_type: int) -> pylibsrtp.Session:
    policy = pylibsrtp.Policy(key=key, ssrc_type=ssrc_type, srtp_profile=_PROFILES[suite])
    policy.window_size = WINDOW
    return pylibsrtp.Session(policy)


def _advance(session: pylibsrtp.Session, sender: pylibsrtp.Session, ssrc: bytes, index: int) -> None:
    """Bring a fresh context near a packet index by packets of our own: the library has no other way in.

    They stay so far behind the index that none of the peer's is taken for a replay.
    """
    for at in range(index % _STEP, index - WINDOW, _STEP):
        head = b"\x80\x00" + (at & 0xFFFF).to_bytes(2, "big") + bytes(4) + ssrc
        session.unprotect(sender.protect(head))
