"""Digest access authentication, both sides (RFC 3261 §22, RFC 7616, RFC 8760): MD5 and SHA-256, qop=auth.

The server side never holds passwords, only HA1 = H(user:realm:password). Nonces are an HMAC over their time, so none
is stored until it is used; a nonce with qop counts upwards (replays are refused), one without qop is good once.
The digest is computed over the `uri` the client names: softphones (pyVoIP) write another one than their Request-URI.
No auth-int, no -sess.
"""

import hashlib
import hmac
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum

from callqa.errors import ProtocolError
from callqa.sip.wire.headers import quote, unquote

ALGORITHMS: Mapping[str, Callable[[bytes], "hashlib._Hash"]] = {"MD5": hashlib.md5, "SHA-256": hashlib.sha256}
NONCE_LIFE_S = 300.0
NONCES_MOST = 10_000  # used nonces whose counts are kept for the replay check
_PAIR = re.compile(r"([A-Za-z0-9_-]+)\s*=\s*(\"(?:[^\"\\]|\\.)*\"|[^\s,\"]+)\s*(?:,\s*|$)")


def hash_text(algorithm: str, text: str) -> str:
    """Hex digest of a text."""
    return ALGORITHMS[algorithm](text.encode("utf-8", "surrogateescape")).hexdigest()


def ha1(algorithm: str, user: str, realm: str, password: str) -> str:
    """H(user:realm:password)."""
    return hash_text(algorithm, f"{user}:{realm}:{password}")


@dataclass(frozen=True, slots=True)
class Credentials:
    """An Authorization header."""

    user: str
    realm: str
    nonce: str
    uri: str
    response: str
    algorithm: str = "MD5"
    qop: str = ""
    nc: str = ""
    cnonce: str = ""
    opaque: str = ""

    def __str__(self) -> str:
        quoted = [
            ("username", self.user),
            ("realm", self.realm),
            ("nonce", self.nonce),
            ("uri", self.uri),
            ("response", self.response),
        ]
        parts = [f"{n}={quote(v)}" for n, v in quoted] + [f"algorithm={self.algorithm}"]
        if self.opaque:
            parts.append(f"opaque={quote(self.opaque)}")
        if self.qop:
            parts += [f"qop={self.qop}", f"nc={self.nc}", f"cnonce={quote(self.cnonce)}"]
        return "Digest " + ", ".join(parts)


@dataclass(frozen=True, slots=True)
class Challenge:
    """A WWW-Authenticate header."""

    realm: str
    nonce: str
    algorithm: str = "MD5"
    qop: tuple[str, ...] = ("auth",)
    stale: bool = False
    opaque: str = ""

    def __str__(self) -> str:
        parts = [f"realm={quote(self.realm)}", f"nonce={quote(self.nonce)}", f"algorithm={self.algorithm}"]
        parts += [f"opaque={quote(self.opaque)}"] if self.opaque else []
        parts += [f"qop={quote(','.join(self.qop))}"] if self.qop else []
        return "Digest " + ", ".join(parts + (["stale=true"] if self.stale else []))


def _pairs(text: str) -> dict[str, str]:
    scheme, _, rest = text.strip().partition(" ")
    if scheme.lower() != "digest":
        raise ProtocolError(f"authentication scheme is {scheme[:20]!r}, expected Digest")
    found: dict[str, str] = {}
    rest, at = rest.strip(), 0
    while at < len(rest):
        match = _PAIR.match(rest, at)
        if match is None:
            raise ProtocolError(f"digest parameters are unreadable at {rest[at : at + 30]!r}")
        found[match[1].lower()] = unquote(match[2])
        at = match.end()
    return found


def _algorithm(pairs: dict[str, str]) -> str:
    return pairs.get("algorithm", "MD5").upper()


def parse_credentials(text: str) -> Credentials:
    """Read an Authorization value. ProtocolError where a needed parameter is missing or the algorithm is not ours."""
    p = _pairs(text)
    missing = [n for n in ("username", "realm", "nonce", "uri", "response") if n not in p]
    if missing or _algorithm(p) not in ALGORITHMS:
        raise ProtocolError(f"Authorization lacks {missing} or has algorithm {_algorithm(p)[:20]!r}")
    return Credentials(
        p["username"], p["realm"], p["nonce"], p["uri"], p["response"].lower(), _algorithm(p),
        p.get("qop", "").lower(), p.get("nc", ""), p.get("cnonce", ""), p.get("opaque", ""),
    )  # fmt: skip


def parse_challenge(text: str) -> Challenge:
    """Read a WWW-Authenticate value. An algorithm that is not ours stays in `algorithm`; the caller picks another."""
    p = _pairs(text)
    if "nonce" not in p:
        raise ProtocolError("challenge has no nonce")
    qop = tuple(q.strip().lower() for q in p.get("qop", "").split(",") if q.strip())
    return Challenge(
        p.get("realm", ""), p["nonce"], _algorithm(p), qop, p.get("stale", "").lower() == "true", p.get("opaque", "")
    )


def expected_response(credentials: Credentials, method: str, ha1_hex: str) -> str:
    """The response a client that knows HA1 gives (RFC 7616 §3.4.1, or RFC 2069 style without qop)."""
    c = credentials
    ha2 = hash_text(c.algorithm, f"{method}:{c.uri}")
    middle = f"{c.nonce}:{c.nc}:{c.cnonce}:{c.qop}" if c.qop else c.nonce
    return hash_text(c.algorithm, f"{ha1_hex}:{middle}:{ha2}")


def answer_challenge(
    challenge: Challenge, *, method: str, uri: str, user: str, password: str, cnonce: str, nc: int = 1
) -> Credentials:
    """Credentials of a client that knows the password."""
    known = ha1(challenge.algorithm, user, challenge.realm, password)
    return answer_with_ha1(challenge, method=method, uri=uri, user=user, ha1_hex=known, cnonce=cnonce, nc=nc)


def answer_with_ha1(
    challenge: Challenge, *, method: str, uri: str, user: str, ha1_hex: str, cnonce: str, nc: int = 1
) -> Credentials:
    """Credentials of a client that knows HA1 for the realm of the challenge."""
    qop = "auth" if "auth" in challenge.qop else ""
    c = Credentials(
        user, challenge.realm, challenge.nonce, uri, "", challenge.algorithm, qop, f"{nc:08x}" if qop else "", cnonce if qop else "",
        challenge.opaque,
    )  # fmt: skip
    return Credentials(
        c.user,
        c.realm,
        c.nonce,
        c.uri,
        expected_response(c, method, ha1_hex),
        c.algorithm,
        c.qop,
        c.nc,
        c.cnonce,
        c.opaque,
    )


class Verdict(Enum):
    """What a server finds in credentials."""

    GOOD = "good"
    STALE = "stale"  # right password or not, the nonce is old or was used: ask again
    WRONG = "wrong"


class DigestServer:
    """Challenges and checks for one realm. secret: random bytes of this process; time is `now` in seconds.

    offered: the algorithms to challenge with, the first preferred. Credentials in SHA-256 are taken whatever was offered; in
    MD5 only where that was, or a phone could be brought down to it (RFC 8760 §2.6).
    """

    def __init__(
        self, secret: bytes, life_s: float = NONCE_LIFE_S, offered: tuple[str, ...] = ("SHA-256", "MD5")
    ) -> None:
        self._secret = secret
        self._offered = offered
        self._life_s = life_s
        self._counts: dict[str, int] = {}  # nonce -> highest nc seen; insertion order is age of first use
        self._made = 0
        self._forgotten = 0  # the highest number of a used nonce whose count is kept no more

    def challenges(self, realm: str, now: float, *, stale: bool = False) -> tuple[Challenge, ...]:
        """One nonce, a challenge for each offered algorithm in our order of preference (RFC 8760 §2.4)."""
        self._made += 1
        nonce = self._nonce(int(now * 1000), self._made)
        return tuple(Challenge(realm, nonce, a, stale=stale) for a in self._offered)

    def takes(self, algorithm: str) -> bool:
        """Whether credentials in it are taken."""
        return algorithm == "SHA-256" or algorithm in self._offered

    def check(self, credentials: Credentials, method: str, ha1_hex: str | None, now: float) -> Verdict:
        """Judge credentials. ha1_hex: None for an unknown user, which costs the same time as a wrong password."""
        c = credentials
        nonce = self._read(c.nonce)
        if nonce is None:
            return Verdict.STALE  # forged, or from before our restart
        made_ms, number = nonce
        right = hmac.compare_digest(
            expected_response(c, method, ha1_hex or "").encode(), c.response.encode("utf-8", "replace")
        )
        if not right or ha1_hex is None:
            return Verdict.WRONG
        if not -1.0 <= now - made_ms / 1000 <= self._life_s:
            return Verdict.STALE
        return Verdict.GOOD if self._count(c, number) else Verdict.STALE

    def _count(self, c: Credentials, number: int) -> bool:
        """Whether it was not used so before. Nobody knows that of one no younger than any that was forgotten."""
        if c.nonce not in self._counts and number <= self._forgotten:
            return False
        if c.qop and (c.qop != "auth" or re.fullmatch(r"[0-9a-fA-F]{8}", c.nc) is None):
            return False
        count = int(c.nc, 16) if c.qop else 1
        if count <= self._counts.get(c.nonce, 0):
            return False
        self._counts[c.nonce] = count if c.qop else 0xFFFFFFFF
        while len(self._counts) > NONCES_MOST:
            oldest = next(iter(self._counts))
            del self._counts[oldest]
            _, forgotten = self._read(oldest) or (0, 0)
            self._forgotten = max(self._forgotten, forgotten)
        return True

    def forget_old(self, now: float) -> None:
        """Drop counts of nonces that have expired."""
        while self._counts:
            nonce = next(iter(self._counts))
            made = self._read(nonce)
            if made is not None and now - made[0] / 1000 <= self._life_s:
                return
            del self._counts[nonce]

    def _nonce(self, at_ms: int, number: int) -> str:
        head = f"{at_ms:x}.{number:x}"
        return f"{head}.{hmac.new(self._secret, head.encode(), hashlib.sha256).hexdigest()[:24]}"

    def _read(self, nonce: str) -> tuple[int, int] | None:
        """When it was made, in ms, and the how-manieth it was; None where it is none of ours."""
        match = re.fullmatch(r"(-?[0-9a-f]{1,16})\.([0-9a-f]{1,16})\.[0-9a-f]{24}", nonce)
        if match is None or not hmac.compare_digest(self._nonce(int(match[1], 16), int(match[2], 16)), nonce):
            return None
        return int(match[1], 16), int(match[2], 16)
