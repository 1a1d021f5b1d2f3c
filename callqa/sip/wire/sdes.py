"""Keys of encrypted media as they stand in SDP: a=crypto (SDES, RFC 4568), for suites of RFC 4568, RFC 7714.

Rules: each side names the key it will send with; the answer takes one line of the offer, its tag and suite. A line with a key
identifier (MKI), a key derivation rate or another session parameter that changes packets is not taken; another line of the
same offer may be. Our key of a leg stays the same as long as the leg and suite do, so that a re-INVITE disturbs nothing.

A key is never shown: not by repr, not in an event, fault or log. Does not do: DTLS-SRTP, MIKEY, key life times
(2^48 packets are never reached).
"""

import base64
import binascii
import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

Encryption = Literal["off", "optional", "required"]


@dataclass(frozen=True, slots=True)
class Suite:
    """A crypto suite. key_bytes: master key and salt together, as they stand in the inline parameter."""

    name: str
    key_bytes: int


AES_80 = Suite("AES_CM_128_HMAC_SHA1_80", 30)
AES_32 = Suite("AES_CM_128_HMAC_SHA1_32", 30)
GCM_128 = Suite("AEAD_AES_128_GCM", 28)
GCM_256 = Suite("AEAD_AES_256_GCM", 44)
SUITES = (AES_80, AES_32, GCM_128, GCM_256)
# What we offer: the two that every phone with SDES has.
OFFERED = (AES_80, AES_32)

UNENCRYPTED = "对方没有接受媒体加密，而它的媒体加密设为必须；请在它上面打开 SDES-SRTP，或改为可选"

CRYPTO_MOST = 16  # lines looked at in one section; phones send up to eight
_TAG_MOST = 999_999_999  # RFC 4568 §9.1: at most nine digits
_BY_NAME = {suite.name: suite for suite in SUITES}
_LINE = re.compile(r"a=crypto:\s*([0-9]{1,9})\s+([A-Za-z0-9_]+)\s+(\S+)((?:\s+\S+)*)\s*")
_INLINE = re.compile(r"inline:([A-Za-z0-9+/]+={0,2})(?:\|(2\^[0-9]+|[0-9]+))?")


@dataclass(frozen=True, slots=True)
class CryptoLine:
    """One usable a=crypto line: its tag, suite and the key its writer sends with."""

    tag: int
    suite: Suite
    key: bytes = field(repr=False)

    def __str__(self) -> str:
        """The line as it stands in SDP. The only place where a key becomes text."""
        return f"a=crypto:{self.tag} {self.suite.name} inline:{base64.b64encode(self.key).decode()}"

    def __repr__(self) -> str:
        return f"CryptoLine(tag={self.tag}, suite={self.suite.name})"


@dataclass(frozen=True, slots=True)
class MediaKeys:
    """What one leg's media is encrypted with: receive is the peer's key, send is ours."""

    suite: Suite
    receive: bytes = field(repr=False)
    send: bytes = field(repr=False)


def parse_crypto(lines: Sequence[str]) -> tuple[CryptoLine, ...]:
    """The usable a=crypto lines of one media section, in order; the others are passed over."""
    found = (parse_crypto_line(line) for line in [x for x in lines if x.startswith("a=crypto:")][:CRYPTO_MOST])
    return tuple(line for line in found if line is not None)


def parse_crypto_line(line: str) -> CryptoLine | None:
    """One a=crypto line, or None when it is broken or asks for what we do not have."""
    match = _LINE.fullmatch(line)
    suite = _BY_NAME.get(match[2].upper()) if match else None
    if match is None or suite is None or not all(_is_harmless(p) for p in match[4].split()):
        return None
    inline = _INLINE.fullmatch(match[3])  # several keys, or one with an MKI, do not match
    if inline is None:
        return None
    try:
        text = inline[1].rstrip("=")  # some phones leave the padding out
        key = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        return None
    return CryptoLine(int(match[1]), suite, key) if len(key) == suite.key_bytes else None


def _is_harmless(parameter: str) -> bool:
    """RFC 4568 §6.3: what a receiver may pass over. WSH is a hint, a leading `-` says so itself."""
    return parameter.startswith("-") or parameter.upper().startswith("WSH=")


class Keyring:
    """Our keys on one leg. tokens: unguessable text; wanted: whether our own offers ask for encryption."""

    def __init__(self, tokens: Callable[[], str], wanted: Encryption = "off") -> None:
        self.wanted: Encryption = wanted
        self._tokens = tokens
        self._keys: dict[str, bytes] = {}
        self._sent: tuple[CryptoLine, ...] = ()  # in our last SDP

    @property
    def sent(self) -> tuple[CryptoLine, ...]:
        """The lines of our last SDP."""
        return self._sent

    def answer(self, offered: Sequence[CryptoLine]) -> tuple[CryptoLine, ...]:
        """Our line for the answer to an offer with these lines; () for one without."""
        first = offered[0] if offered else None
        self._sent = (CryptoLine(first.tag, first.suite, self._key(first.suite)),) if first else ()
        return self._sent

    def offer(self, agreed: MediaKeys | None) -> tuple[CryptoLine, ...]:
        """Our lines for an offer: the suite in use, or those we ask for, or none."""
        suites = (agreed.suite,) if agreed else OFFERED if self.wanted != "off" else ()
        self._sent = tuple(CryptoLine(i, suite, self._key(suite)) for i, suite in enumerate(suites, 1))
        return self._sent

    def fits(self, theirs: Sequence[CryptoLine]) -> bool:
        """Whether an SDP of the peer with these lines may be taken: without keys only where we can do without."""
        return self.wanted != "required" or bool(theirs)

    def agreed(self, theirs: Sequence[CryptoLine]) -> MediaKeys | None:
        """The keys in force when the peer's last SDP had these lines; None: plain media."""
        ours = {line.suite: line.key for line in self._sent}
        return next((MediaKeys(line.suite, line.key, ours[line.suite]) for line in theirs if line.suite in ours), None)

    def _key(self, suite: Suite) -> bytes:
        if suite.name not in self._keys:
            # A token has 96 bits; four are more than any suite's key.
            text = "".join(self._tokens() for _ in range(4)) + suite.name
            self._keys[suite.name] = hashlib.sha512(text.encode()).digest()[: suite.key_bytes]
        return self._keys[suite.name]
