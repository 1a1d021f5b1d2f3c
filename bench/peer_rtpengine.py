"""rtpengine (Debian's, in user space) as a recorder of calls: relays, and writes every packet to one pcap a call. Media only: the
signalling that a recorder needs beside it is not here and not in its CPU.

Driven over its ng protocol (bencoded dictionaries in datagrams). A pcap has no timeline of its own: channel_bytes lays each packet
out by its RTP timestamp, both legs by the arrival of their packets, which is more than rtpengine itself does for a listener.
"""

import os
import shutil
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from judge import FRAME_BYTES, RATE_HZ
from load import Flow, Load
from signalling import Address, media_of, sdp

HOST = "127.0.0.1"
PROGRAM = "rtpengine"
PORTS = (30_000, 39_999)
WAIT_S = 5.0
SILENCE = b"\xd5"
_RTP = struct.Struct(">BBHII")
_ETHERNET_BYTES, _UDP_BYTES = 14, 8


def encode(value: Any) -> bytes:
    """Bencode."""
    if isinstance(value, dict):
        return b"d" + b"".join(encode(k) + encode(v) for k, v in sorted(value.items())) + b"e"
    if isinstance(value, list):
        return b"l" + b"".join(encode(v) for v in value) + b"e"
    if isinstance(value, int):
        return b"i%de" % value
    text = value.encode()
    return b"%d:%s" % (len(text), text)


def decode(data: bytes, at: int = 0) -> tuple[Any, int]:
    """(value, where it ends)."""
    kind = data[at : at + 1]
    if kind == b"i":
        end = data.index(b"e", at)
        return int(data[at + 1 : end]), end + 1
    if kind in (b"l", b"d"):
        items, at = [], at + 1
        while data[at : at + 1] != b"e":
            item, at = decode(data, at)
            items.append(item)
        return (dict(zip(items[::2], items[1::2], strict=True)) if kind == b"d" else items), at + 1
    colon = data.index(b":", at)
    end = colon + 1 + int(data[at:colon])
    return data[colon + 1 : end].decode("utf-8", "replace"), end


class Rtpengine:
    """One rtpengine process."""

    name = "rtpengine"
    heard_as = None
    legs = 2

    def __init__(self, folder: Path, calls: int) -> None:
        self.folder, self.calls = folder, calls
        self.process: subprocess.Popen[bytes] | None = None
        self.cpu_s = 0.0
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.settimeout(WAIT_S)
        self._cookie = 0

    @staticmethod
    def missing() -> str:
        """Why it cannot run here, or ""."""
        return "" if shutil.which(PROGRAM) else "rtpengine 没有安装（Debian：apt install rtpengine-daemon）"

    def start(self) -> None:
        """Start, and wait until it answers a ping."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.bind((HOST, 0))
            self._ng: Address = s.getsockname()
        command = [
            PROGRAM, "--foreground", "--log-stderr", "--log-level=3", "--table=-1", f"--interface={HOST}",
            f"--listen-ng={HOST}:{self._ng[1]}", f"--port-min={PORTS[0]}", f"--port-max={PORTS[1]}",
            f"--recording-dir={self.folder}", "--recording-method=pcap", "--recording-format=eth", "--config-file=none",
        ]  # fmt: skip
        if _may_have_real_time():  # as the recorder
            command += ["--scheduling=rr", "--priority=1"]
        with (self.folder / "rtpengine.log").open("wb") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        deadline = time.monotonic() + WAIT_S
        self._socket.settimeout(0.1)
        while time.monotonic() < deadline:
            try:
                self._ask(command="ping")
                self._socket.settimeout(WAIT_S)
                return
            except (TimeoutError, ConnectionError):
                continue
        raise SystemExit((self.folder / "rtpengine.log").read_text(encoding="utf-8", errors="replace"))

    def place(self, load: Load, frames: int) -> None:
        """Offer and answer of every call; both legs are to talk."""
        self._cpu_before = self._cpu()
        for call in range(self.calls):
            common = {
                "call-id": f"bench-{call}",
                "from-tag": "c",
                "ICE": "remove",
                "record-call": "on",
                "flags": ["trust-address"],
            }
            offer = self._ask(command="offer", sdp=sdp(load.addresses[0], 8), **common)
            answer = self._ask(command="answer", sdp=sdp(load.addresses[1], 8), **common, **{"to-tag": "a"})
            load.add(Flow(call, 1, frames, 8, _target(offer)))
            load.add(Flow(call, 0, frames, 8, _target(answer)))

    def hang_up(self) -> None:
        """End every call."""
        for call in range(self.calls):
            self._ask(**{"command": "delete", "call-id": f"bench-{call}", "from-tag": "c", "delete-delay": 0})
        self.cpu_s = self._cpu() - self._cpu_before

    def stop(self, *, kill: bool = False) -> None:
        """End the process."""
        if self.process is not None:
            (self.process.kill if kill else self.process.terminate)()
            self.process.wait(30)
            self.process = None

    def rss_mb(self) -> float:
        """Memory at its peak."""
        assert self.process is not None
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024

    def recording(self, call: int) -> tuple[bytes, ...]:
        """Both channels of one call, A-law."""
        (path,) = self.folder.glob(f"pcaps/bench-{call}-*.pcap")
        return channel_bytes(path, (0x1000_0000 + 4 * call, 0x1000_0000 + 4 * call + 2))

    def _cpu(self) -> float:
        assert self.process is not None
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def _ask(self, **message: Any) -> dict[str, Any]:
        self._cookie += 1
        cookie = b"%d " % self._cookie
        self._socket.sendto(cookie + encode(message), self._ng)
        while True:
            data = self._socket.recv(65_536)
            if data.startswith(cookie):
                break
        answer: dict[str, Any] = decode(data, len(cookie))[0]
        if answer["result"] not in ("ok", "pong"):
            raise SystemExit(f"rtpengine: {answer}")
        return answer


def _may_have_real_time() -> bool:
    script = "import os; os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))"
    return subprocess.run([sys.executable, "-c", script], stderr=subprocess.DEVNULL, check=False).returncode == 0


def _target(answer: dict[str, Any]) -> Address:
    return media_of("\r\n\r\n" + answer["sdp"])


def packets(path: Path) -> list[tuple[float, bytes]]:
    """(capture time in seconds, RTP packet) of a pcap of Ethernet, IPv4, UDP; a torn last record is left out."""
    data = path.read_bytes()
    found, at = [], 24
    while at + 16 <= len(data):
        seconds, micros, size, _ = struct.unpack_from("<IIII", data, at)
        packet = data[at + 16 : at + 16 + size]
        if len(packet) < size:
            break
        ip = packet[_ETHERNET_BYTES:]
        found.append((seconds + micros / 1e6, ip[(ip[0] & 15) * 4 + _UDP_BYTES :]))
        at += 16 + size
    return found


def channel_bytes(path: Path, ssrcs: tuple[int, int]) -> tuple[bytes, ...]:
    """A-law of both legs on one timeline."""
    placed: list[tuple[float, dict[int, bytes]]] = []
    for ssrc in ssrcs:
        frames: dict[int, bytes] = {}
        first_ts, began = None, float("inf")
        for at_s, packet in packets(path):
            if len(packet) < _RTP.size or _RTP.unpack_from(packet)[4] != ssrc:
                continue
            ts = _RTP.unpack_from(packet)[3]
            first_ts = ts if first_ts is None else first_ts
            n = (ts - first_ts + 0x8000_0000) % 0x1_0000_0000 - 0x8000_0000
            frames[n] = packet[_RTP.size :]
            began = min(began, at_s - n / RATE_HZ)
        placed.append((began, frames))
    start = min(began for began, _ in placed)
    channels = []
    for began, frames in placed:
        lead = 0 if not frames else round((began - start) * RATE_HZ) - min(0, *frames)
        channel = bytearray(SILENCE * (lead + max(frames, default=0) + FRAME_BYTES))
        for n, payload in frames.items():
            channel[lead + n : lead + n + len(payload)] = payload
        channels.append(bytes(channel))
    return tuple(channels)
