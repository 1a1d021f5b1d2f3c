"""Encryption of one leg's media on its way: what comes is unlocked, what goes is locked; plain legs have none of this.

Packets that come or would go while the keys are not known yet wait. After new keys the old ones are tried too for some packets: those
were on the way, or the peer has not read our answer.
"""

from collections import deque

from callqa.sip.events import Address, MediaTerms
from callqa.sip.media.srtp import Locker, Unlocker, locker, unlocker
from callqa.sip.wire.sdes import MediaKeys

WAITING_MOST = 100  # two seconds: the answer is behind them
HELD_MOST = 10  # the latest packets for a peer that cannot be sent to yet
FORMER_FOR = 100  # packets under the new key, then the old one is forgotten


class Secrecy:
    """failed: datagrams that are not the peer's, since they were last counted."""

    __slots__ = ("_former", "_keys", "_locker", "_under_new", "_unlocker", "due", "failed", "held", "waiting")

    def __init__(self) -> None:
        self._keys: MediaKeys | None = None
        self._unlocker: Unlocker | None = None
        self._former: Unlocker | None = None
        self._locker: Locker | None = None
        self._under_new = 0
        self.due = False
        self.waiting: list[tuple[bytes, Address, int]] = []
        self.held: deque[bytes] = deque(maxlen=HELD_MOST)
        self.failed = 0

    @property
    def needed(self) -> bool:
        """Whether packets must come through here."""
        return self.due or self._keys is not None

    def agree(self, terms: MediaTerms) -> list[tuple[bytes, Address, int]]:
        """Take what was agreed; gives the packets that waited for it, and when they came. The same keys again change nothing."""
        before, keys = self._keys, terms.keys
        self._keys, self.due = keys, terms.keys_due
        if keys is None:
            self._unlocker = self._former = self._locker = None
        else:
            if before is None or (before.suite, before.receive) != (keys.suite, keys.receive):
                self._former, self._unlocker, self._under_new = self._unlocker, unlocker(keys), 0
            if before is None or (before.suite, before.send) != (keys.suite, keys.send):
                self._locker = locker(keys)
        if self.due:
            return []
        waited, self.waiting = self.waiting, []
        return waited

    def unlock(self, data: bytes, source: Address, now_ns: int) -> bytes | None:
        """The RTP packet of a datagram; None when there is none, or not yet."""
        if self._unlocker is None:
            if self.due and len(self.waiting) < WAITING_MOST:
                self.waiting.append((data, source, now_ns))
            return None if self.due else data
        repeated = self._unlocker.repeated
        plain = self._unlocker.unlock(data)
        if plain is not None:
            if self._former is not None:
                self._under_new += 1
                if self._under_new > FORMER_FOR:
                    self._former = None
            return plain
        if self._unlocker.repeated > repeated:
            return None
        if self._former is not None:
            plain = self._former.unlock(data)
        self.failed += plain is None
        return plain

    def lock(self, data: bytes) -> bytes | None:
        """The datagram for an RTP packet; None when it must not be sent: before the keys are known, or a duplicate."""
        if self._locker is not None:
            return self._locker.lock(data)
        if self.due:
            self.held.append(data)
        return None if self.due else data

    def unlock_rtcp(self, data: bytes) -> bytes | None:
        """The same for RTCP, which does not wait."""
        return self._unlocker.unlock_rtcp(data) if self._unlocker is not None else None if self.due else data

    def lock_rtcp(self, data: bytes) -> bytes | None:
        """The same for RTCP."""
        return self._locker.lock_rtcp(data) if self._locker is not None else None if self.due else data

    def shown_as(self, ssrc: int) -> int:
        """The SSRC under which the peer sees that of a sender."""
        return self._locker.shown_as(ssrc) if self._locker is not None else ssrc
