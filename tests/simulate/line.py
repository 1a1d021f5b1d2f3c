"""A peer's end of one media line beside plain RTP: SDES-SRTP by libsrtp, and RTCP on its own port or shared."""

import base64
import random
import re
import struct
from collections.abc import Callable

import pylibsrtp

from tests.simulate.voice import Voice
from tests.simulate.wider import Wide

PROFILES = {
    "AES_CM_128_HMAC_SHA1_80": (pylibsrtp.Policy.SRTP_PROFILE_AES128_CM_SHA1_80, 30),
    "AES_CM_128_HMAC_SHA1_32": (pylibsrtp.Policy.SRTP_PROFILE_AES128_CM_SHA1_32, 30),
    "AEAD_AES_128_GCM": (pylibsrtp.Policy.SRTP_PROFILE_AEAD_AES_128_GCM, 28),
}
LOST_OF_256 = 26  # what its reports say
WRAPPED = 1000  # a sequence number below: a receiver that heard nothing before the wrap cannot know of it
_CRYPTO = re.compile(r"^a=crypto:(\d+) (\S+) inline:([A-Za-z0-9+/=]+)", re.MULTILINE)


class Line:
    """wrong(invariant, detail) is called for what the recorder should not send."""

    def __init__(self, wide: Wide, secure: bool, rng: random.Random, wrong: Callable[[str, str], None]) -> None:
        self.wide = wide
        self.secure = secure
        self.mux = wide.rtcp == "mux"
        self.protocol = "RTP/SAVP" if secure and wide.must else "RTP/AVP"
        self.reports = 0  # of the recorder's
        self._wrong = wrong
        self._tag, self._suite = "1", wide.suite
        self._rng = rng
        self._key = b""
        self._theirs = b""
        self._out: pylibsrtp.Session | None = None
        self._into: pylibsrtp.Session | None = None
        self._offered = False

    def sdp_lines(self) -> str:
        """What this line adds to our SDP."""
        self._offered = True
        text = "a=rtcp-mux\r\n" if self.mux else ""
        if self.secure:
            if not self._key:
                self._key = self._rng.randbytes(PROFILES[self._suite][1])
            text += f"a=crypto:{self._tag} {self._suite} inline:{base64.b64encode(self._key).decode()}\r\n"
            if self._theirs and self._out is None:
                self._begin()
        return text

    def read(self, body: str) -> None:
        """Take their SDP: an answer to ours, or an offer that ours will answer."""
        section = body.partition("m=audio")[2]
        self.mux = self.mux and "a=rtcp-mux" in section
        if not self.secure:
            if "RTP/SAVP" in section.split("\r\n")[0]:
                self._wrong("nobody is made to encrypt", section[:60])
            return
        found = next((m for m in _CRYPTO.finditer(section) if m[2] == self._suite), None)
        if found is None:
            if self._offered:
                self._wrong("an encrypted offer is answered encrypted", section[:200])
            self.secure, self.protocol = False, "RTP/AVP"
            return
        if not self._offered:
            self._tag, self.protocol = found[1], section.split(" ")[2]
        theirs = base64.b64decode(found[3])
        if theirs != self._theirs:
            self._theirs, self._into = theirs, None
        if self._key:
            self._begin()

    def _begin(self) -> None:
        profile = PROFILES[self._suite][0]
        if self._out is None:
            self._out = pylibsrtp.Session(
                pylibsrtp.Policy(key=self._key, ssrc_type=pylibsrtp.Policy.SSRC_ANY_OUTBOUND, srtp_profile=profile)
            )
        if self._into is None:
            self._into = pylibsrtp.Session(
                pylibsrtp.Policy(key=self._theirs, ssrc_type=pylibsrtp.Policy.SSRC_ANY_INBOUND, srtp_profile=profile)
            )

    def lock(self, data: bytes) -> bytes | None:
        """What goes over the network for an RTP packet; None before the keys are there."""
        if not self.secure:
            return data
        return self._out.protect(data) if self._out is not None else None

    def unlock(self, data: bytes) -> bytes | None:
        """The RTP packet of a datagram of the recorder's; None for RTCP, a duplicate, or where nothing can be said."""
        if 200 <= data[1] <= 204:
            if self.mux:
                self.hear_report(data)
            else:
                self._wrong("RTCP comes on its own port", data[:12].hex())
            return None
        if not self.secure:
            return data
        if self._into is None:
            return None
        try:
            return self._into.unprotect(data)
        except pylibsrtp.Error as e:
            if "replay" not in str(e) and int.from_bytes(data[2:4], "big") >= WRAPPED:
                self._wrong("what goes to an encrypted line can be unlocked", f"{e}: {data[:12].hex()}")
            return None

    def hear_report(self, data: bytes) -> None:
        """Take a datagram of RTCP: a compound packet whose lengths fit, a report first (RFC 3550 §6.1)."""
        if self.secure:
            if self._into is None:
                return
            try:
                data = self._into.unprotect_rtcp(data)
            except pylibsrtp.Error as e:
                if "replay" not in str(e):
                    self._wrong("RTCP to an encrypted line can be unlocked", str(e))
                return
        at, kinds = 0, []
        while at + 4 <= len(data) and data[at] & 0xC0 == 0x80:
            kinds.append(data[at + 1])
            at += 4 * (int.from_bytes(data[at + 2 : at + 4], "big") + 1)
        if at != len(data) or kinds[0] not in (200, 201) or kinds[1] != 202:
            self._wrong("RTCP is sound", f"{kinds} {data.hex()}")
        self.reports += 1

    def report(self, voice: Voice, now_ns: int, heard_ssrc: int) -> bytes | None:
        """Our sender report with a block of what we hear, and who we are; None before the keys are there."""
        ntp = ((now_ns << 32) // 1_000_000_000) & 0xFFFF_FFFF_FFFF_FFFF
        head = struct.pack(">BBHI", 0x81, 200, 12, voice.ssrc)
        info = struct.pack(">QIII", ntp, voice.timestamp, voice.number, 160 * voice.number)
        block = struct.pack(">IIIIII", heard_ssrc, LOST_OF_256 << 24 | 5, 100, 40, 0, 0)
        name = struct.pack(">BBHI", 0x81, 202, 2, voice.ssrc) + b"\x01\x01x\0"
        data = head + info + block + name
        if not self.secure:
            return data
        return self._out.protect_rtcp(data) if self._out is not None else None
