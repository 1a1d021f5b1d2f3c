"""Makes the files of tests/data/pcap again: `python -m tests.media.make_pcap_data`."""

import struct
from pathlib import Path

from callqa.sip.media.pcap import write_pcap
from tests.media.captures import Talk, fragments, in_time, pcap, pcapng, wrapped

FOLDER = Path(__file__).parent.parent / "data" / "pcap"


def files() -> dict[str, bytes]:
    talk = Talk(frames=10)
    six = Talk(
        frames=10, caller_at=("2001:db8::1", 5060), callee_at=("2001:db8::2", 5060),
        caller_rtp=("2001:db8::1", 30000), callee_rtp=("2001:db8::2", 40000),
    )  # fmt: skip
    invite, *rest = talk.all()
    whole = write_pcap(talk.all())
    blocks = pcapng(talk.all())
    no_interface = blocks.replace(struct.pack("<II", 1, 32), struct.pack("<II", 0x0BAD, 32))
    return {
        "ethernet_vlan.pcapng": pcapng([wrapped(f, "vlan") for f in talk.all()]),
        "cooked_us_big_endian.pcap": pcap([wrapped(f, "cooked") for f in talk.all()], ">", nanoseconds=False),
        "ipv6.pcap": write_pcap(six.all()),
        "fragments.pcap": write_pcap([*fragments(invite, 128), *in_time(rest)]),
        "bad_cut.pcap": whole[: len(whole) // 2 + 7],
        "bad_length.pcap": whole[:32] + b"\xff\xff\xff\x7f" + whole[36:],
        "bad_no_interface.pcapng": no_interface,
        "bad_header_only.pcap": whole[:24],
        "bad_short.pcap": whole[:9],
        "bad_gzip.pcap": b"\x1f\x8b\x08\x00" + bytes(20),
    }


if __name__ == "__main__":
    for name, data in files().items():
        (FOLDER / name).write_bytes(data)
