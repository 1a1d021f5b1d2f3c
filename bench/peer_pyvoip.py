"""pyVoIP as a recorder of calls: a phone that answers every call and writes what it reads to a WAV, the way its manual shows it.

    python bench/peer_pyvoip.py '{"port": …, "sip_port": …, "folder": …}'      (the recorder; ends with the end of its input)

One leg only (a recording extension): pyVoIP bridges nothing. Its decoder gives 8 bits a sample; the judge looks for every frame
in that form.
"""

import json
import os
import re
import subprocess
import sys
import threading
import time
import wave
from importlib.util import find_spec
from pathlib import Path

from judge import decode_alaw, read_wave
from load import Flow, Load
from signalling import Address, Agent, field

TRUNK_HOST, HOST = "127.0.0.2", "127.0.0.1"
FRAME = 160
CALLS_PER_S = 20
PLACE_LIMIT_S = 60.0


class PyVoip:
    """One pyVoIP process, and the PBX in front of it."""

    name = "pyVoIP"
    heard_as = bytes(((decode_alaw(code) >> 8) + 128) & 0xFF for code in range(256))
    legs = 1

    def __init__(self, folder: Path, calls: int) -> None:
        self.folder, self.calls = folder, calls
        self.cpu_s = 0.0
        self.process: subprocess.Popen[str] | None = None

    @staticmethod
    def missing() -> str:
        """Why it cannot run here, or ""."""
        return "" if find_spec("pyVoIP") else "pyVoIP 没有安装（extra phones）"

    def start(self) -> None:
        """Start, and let it register at us."""
        self.pbx = Agent(TRUNK_HOST, (HOST, 0))
        probe = Agent(HOST, (HOST, 0))
        sip_port = probe.address[1]
        probe.socket.close()
        self.pbx.server = (HOST, sip_port)
        config = {"port": self.pbx.address[1], "sip_port": sip_port, "folder": str(self.folder)}
        with (self.folder / "pyvoip.log").open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, __file__, json.dumps(config)],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True,
            )  # fmt: skip
        challenge = 'WWW-Authenticate: Digest realm="bench",nonce="n0",algorithm=MD5'
        self._answer_register("401 Unauthorized", challenge)
        self._answer_register("200 OK", "Expires: 3600")
        self._cpu_before = self._cpu()

    def _answer_register(self, status: str, more: str) -> None:
        request = self.pbx.wait("REGISTER ")
        head = [f"{n}: {field(request, n)}" for n in ("Via", "From", "To", "Call-ID", "CSeq")]
        head[2] += ";tag=pbx"
        text = "\r\n".join([f"SIP/2.0 {status}", *head, more, "Contact: <sip:rec@127.0.0.1>", "Content-Length: 0"])
        self.pbx.socket.sendto((text + "\r\n\r\n").encode(), self.pbx.server)

    def place(self, load: Load, frames: int) -> None:
        """Call it; it answers each a second later."""
        begun = time.monotonic()
        media = load.addresses[0]
        for call in range(self.calls):
            self.pbx.invite(_number(call), "rec", media, 8)
            time.sleep(max(0.0, begun + (call + 1) / CALLS_PER_S - time.monotonic()))
        self.dialogs: dict[int, tuple[str, Address]] = {}
        deadline = time.monotonic() + PLACE_LIMIT_S
        while len(self.dialogs) < self.calls and time.monotonic() < deadline:
            try:
                ok = self.pbx.wait("SIP/2.0 200", "INVITE")
            except (SystemExit, TimeoutError):
                break  # it answers no more; those calls are lost
            call = int(field(ok, "Call-ID").rpartition("138")[2])
            if call in self.dialogs:
                continue
            port = int(re.findall(r"(?m)^m=audio (\d+)", ok)[0])
            self.dialogs[call] = (field(ok, "To"), (HOST, port))
            self._say("ACK", call)
            load.add(Flow(call, 0, frames, 8, (HOST, port)))

    def hang_up(self) -> None:
        """BYE for every call, and a moment for the files."""
        for call in self.dialogs:
            self._say("BYE", call)
            time.sleep(0.005)
        time.sleep(2.0)
        self.cpu_s = self._cpu() - self._cpu_before

    def _say(self, method: str, call: int) -> None:
        to, (host, _) = self.dialogs[call]
        number = _number(call)
        fields = [f"From: <{self.pbx.contact(number)}>;tag=c{number}", f"To: {to}", f"Call-ID: bench-{number}"]
        fields.append(f"CSeq: {1 if method == 'ACK' else 2} {method}")
        self.pbx.request(method, f"sip:rec@{host}:{self.pbx.server[1]}", fields)

    def stop(self, *, kill: bool = False) -> None:
        """End the process; its threads would not end by themselves."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(30)
            self.process = None
            self.pbx.socket.close()

    def rss_mb(self) -> float:
        """Memory at its peak."""
        assert self.process is not None
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024

    def recording(self, call: int) -> tuple[bytes, ...]:
        """The one channel of a call, 8 bits a sample."""
        return read_wave(self.folder / f"{_number(call)}.wav").channels[0], b""

    def _cpu(self) -> float:
        assert self.process is not None
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _number(call: int) -> str:
    return f"138{call:08d}"


def serve(port: int, sip_port: int, folder: Path) -> None:
    """The recorder itself."""
    from pyVoIP.VoIP import CallState, VoIPCall, VoIPPhone

    def record(call: VoIPCall) -> None:
        number = call.request.headers["From"]["number"]
        call.answer()
        with wave.open(str(folder / f"{number}.wav"), "wb") as out:
            out.setnchannels(1)
            out.setsampwidth(1)
            out.setframerate(8000)
            while call.state is CallState.ANSWERED:
                out.writeframes(call.read_audio(FRAME, blocking=True))

    phone = VoIPPhone(
        TRUNK_HOST, port, "rec", "secret", myIP=HOST, callCallback=record, sipPort=sip_port, rtpPortLow=40_000, rtpPortHigh=49_000
    )  # fmt: skip
    phone.start()
    sys.stdin.read()


if __name__ == "__main__":
    threading.stack_size(256 << 10)  # three threads a call
    config = json.loads(sys.argv[1])
    serve(config["port"], config["sip_port"], Path(config["folder"]))
