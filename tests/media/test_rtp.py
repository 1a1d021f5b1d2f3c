from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callqa.errors import ProtocolError
from callqa.sip.media.rtp import RtpPacket, build_rtp, parse_rtp

DATA = Path(__file__).parents[1] / "data" / "rtp"

packets = st.builds(
    RtpPacket,
    st.integers(0, 127),
    st.booleans(),
    st.integers(0, 0xFFFF),
    st.integers(0, 0xFFFF_FFFF),
    st.integers(0, 0xFFFF_FFFF),
    st.binary(max_size=400),
)


@given(packets)
def test_a_packet_comes_back_from_its_bytes(packet):
    assert parse_rtp(build_rtp(packet)) == packet


@given(st.binary(max_size=300))
def test_any_bytes_give_a_packet_or_our_error(data):
    try:
        packet = parse_rtp(data)
    except ProtocolError:
        return
    assert len(packet.payload) <= len(data) - 12


@given(st.integers(0, 255), st.binary(min_size=11, max_size=120))
def test_any_header_bits_give_a_packet_or_our_error(first, rest):
    """All of padding, extension and contributing sources, on packets too short for them."""
    with suppress(ProtocolError):
        parse_rtp(bytes([first]) + rest)


@pytest.mark.parametrize("name", ["plain", "csrc", "extension", "padding", "all_three", "empty_payload"])
def test_good_packets(name):
    packet = parse_rtp((DATA / f"{name}.bin").read_bytes())
    assert (packet.sequence, packet.timestamp, packet.ssrc) == (4660, 160_000, 0xDECADE)
    assert packet.payload == (b"" if name == "empty_payload" else bytes(range(160)))


@pytest.mark.parametrize("path", sorted(DATA.glob("bad_*.bin")), ids=lambda p: p.stem)
def test_bad_packets_say_what_is_wrong(path):
    with pytest.raises(ProtocolError, match=r"^RTP .* (needs|is|has) "):
        parse_rtp(path.read_bytes())


def test_every_bad_packet_has_a_line_in_the_readme():
    readme = (DATA / "README.md").read_text(encoding="utf-8")
    assert [p.name for p in sorted(DATA.glob("*.bin")) if f"`{p.name}`" not in readme] == []
