"""SRTP by the book (RFC 3711) in plain Python, slow and independent of any library: what the tests hold the product against."""

import hmac
from functools import cache


@cache
def _sbox() -> bytes:
    """FIPS 197 §5.1.1: the inverse in GF(2^8), then the affine map."""

    def times(a: int, b: int) -> int:
        product = 0
        while b:
            if b & 1:
                product ^= a
            a = a << 1 ^ (0x11B if a & 0x80 else 0)
            b >>= 1
        return product

    table = []
    for value in range(256):
        inverse = next((x for x in range(256) if times(value, x) == 1), 0)
        out = inverse
        for turn in range(1, 5):
            out ^= (inverse << turn | inverse >> (8 - turn)) & 0xFF
        table.append(out ^ 0x63)
    return bytes(table)


def _double(a: int) -> int:
    return (a << 1 ^ (0x1B if a & 0x80 else 0)) & 0xFF


def aes128(key: bytes, block: bytes) -> bytes:
    """One block of AES-128 (FIPS 197)."""
    box = _sbox()
    words = [key[i : i + 4] for i in range(0, 16, 4)]
    round_constant = 1
    for i in range(4, 44):
        word = words[-1]
        if i % 4 == 0:
            word = bytes(box[b] for b in word[1:] + word[:1])
            word = bytes([word[0] ^ round_constant]) + word[1:]
            round_constant = _double(round_constant)
        words.append(bytes(a ^ b for a, b in zip(words[i - 4], word, strict=True)))
    keys = [b"".join(words[i : i + 4]) for i in range(0, 44, 4)]
    state = bytes(a ^ b for a, b in zip(block, keys[0], strict=True))
    for n in range(1, 11):
        state = bytes(box[state[(i + 4 * (i % 4)) % 16]] for i in range(16))
        if n < 10:
            mixed = bytearray()
            for c in range(0, 16, 4):
                column = state[c : c + 4]
                every = column[0] ^ column[1] ^ column[2] ^ column[3]
                mixed += bytes(column[i] ^ every ^ _double(column[i] ^ column[(i + 1) % 4]) for i in range(4))
            state = bytes(mixed)
        state = bytes(a ^ b for a, b in zip(state, keys[n], strict=True))
    return state


def key_stream(key: bytes, counter: int, size: int) -> bytes:
    """RFC 3711 §4.1.1."""
    blocks = (aes128(key, ((counter + i) % (1 << 128)).to_bytes(16, "big")) for i in range(-(-size // 16)))
    return b"".join(blocks)[:size]


def derive(key: bytes, salt: bytes, label: int, size: int) -> bytes:
    """RFC 3711 §4.3.1, key derivation rate 0."""
    return key_stream(key, (int.from_bytes(salt, "big") ^ label << 48) << 16, size)


def protect(master: bytes, packet: bytes, counter: int = 0, tag_bytes: int = 10) -> bytes:
    """The SRTP packet of an RTP packet without extension. master: key and salt, 30 bytes; counter: the roll-over counter."""
    key, salt = master[:16], master[16:]
    session_key, auth_key, session_salt = (derive(key, salt, label, n) for label, n in ((0, 16), (1, 20), (2, 14)))
    ssrc, sequence = int.from_bytes(packet[8:12], "big"), int.from_bytes(packet[2:4], "big")
    start = int.from_bytes(session_salt, "big") << 16 ^ ssrc << 64 ^ (counter << 16 | sequence) << 16
    stream = key_stream(session_key, start, len(packet) - 12)
    locked = packet[:12] + bytes(a ^ b for a, b in zip(packet[12:], stream, strict=True))
    return locked + hmac.digest(auth_key, locked + counter.to_bytes(4, "big"), "sha1")[:tag_bytes]
