"""One seat phone of the demo: pyVoIP (GPL-3, extra `phones`), in a process of its own.

    python -m callqa.demo.phones '{"extension": "8001", "password": …, "server": …, "port": …, "sip_port": …,
                                   "answers": {"13871206358": "D01.agent.ul"}}'

It registers with digest, rings on every call, answers those whose caller is in `answers` and plays that
file's ready-made G.711 µ-law payload. Lines on standard input such as `{"call": "15327180426", "play": "D13.agent.ul"}` make
it call out; a line `{"stop": true}` or the end of input makes it unregister and end. It says what it does on
standard output, one JSON object a line.

pyVoIP's own encoder loses bits (it takes 8-bit samples) and is wrong for A-law, so it is replaced by the
identity: what is written are µ-law bytes, and they go out unchanged. It does not do RTCP, hold or transfer.
Its RTP ports are the system's choice and bound at once: it draws a number by itself, gives those of ringing calls
to others, and binds when the call is answered, when the port may long be somebody else's.
"""

import json
import socket
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pyVoIP.RTP
from pyVoIP.VoIP import CallState, VoIPCall, VoIPPhone

FRAME = 160
NOTHING_TO_SEND = b"\x80" * FRAME  # what pyVoIP hands to its encoder when its buffer is empty
ULAW_SILENCE = b"\xff" * FRAME
CALLS = Path(__file__).parent / "calls"


_bound: dict[int, socket.socket] = {}  # RTP ports of calls that are not answered yet


class _Phone(VoIPPhone):
    """Its calls have a port each, from the first message on."""

    def request_port(self, blocking: bool = True) -> int:
        bound = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        bound.bind((self.myIP, 0))
        port = int(bound.getsockname()[1])
        _bound[port] = bound
        self.assignedPorts.append(port)
        return port


def _start_on_its_port(client: pyVoIP.RTP.RTPClient) -> None:
    client.sin = client.sout = _bound.pop(client.inPort)
    client.sin.setblocking(False)
    for work in (client.recv, client.trans):
        threading.Thread(target=work, daemon=True).start()


def _payload_unchanged(_: pyVoIP.RTP.RTPClient, payload: bytes) -> bytes:
    return ULAW_SILENCE if payload == NOTHING_TO_SEND else payload


def _say(**facts: Any) -> None:
    sys.stdout.write(json.dumps(facts, ensure_ascii=False) + "\n")
    sys.stdout.flush()


class SeatPhone:
    """A phone that answers only the callers it expects; the others ring until the recorder cancels them."""

    def __init__(self, config: dict[str, Any]) -> None:
        self.extension: str = config["extension"]
        self.answers: dict[str, str] = config["answers"]
        self.phone = _Phone(
            config["server"],
            config["port"],
            self.extension,
            config["password"],
            myIP=config.get("host", "127.0.0.1"),
            callCallback=self.ring,
            sipPort=config["sip_port"],
        )

    def ring(self, call: VoIPCall) -> None:
        """pyVoIP calls this in a thread of its own, a second after the INVITE."""
        caller = call.request.headers["From"]["number"]
        play = self.answers.get(caller)
        if play is None:
            _say(event="ringing", extension=self.extension, caller=caller)
            return
        call.write_audio((CALLS / play).read_bytes())
        call.answer()
        _say(event="answered", extension=self.extension, caller=caller)
        self._until_over(call)

    def call(self, number: str, play: str) -> None:
        """Call out, play once the other side has answered, and wait until it hangs up."""
        call = self.phone.call(number)
        _say(event="calling", extension=self.extension, number=number)
        while not call.RTPClients and call.state is CallState.DIALING:
            time.sleep(0.005)  # pyVoIP has no event for this
        call.write_audio((CALLS / play).read_bytes())
        _say(event="connected", extension=self.extension, number=number)
        self._until_over(call)

    def _until_over(self, call: VoIPCall) -> None:
        while call.state is not CallState.ENDED:
            time.sleep(0.05)
        _say(event="ended", extension=self.extension)


def main(config: dict[str, Any]) -> None:
    """Register, then obey standard input until it ends."""
    setattr(pyVoIP.RTP.RTPClient, "encode_packet", _payload_unchanged)  # noqa: B010  mypy knows it as a method
    setattr(pyVoIP.RTP.RTPClient, "start", _start_on_its_port)  # noqa: B010
    seat = SeatPhone(config)
    seat.phone.start()
    _say(event="registered", extension=seat.extension)
    for line in sys.stdin:
        order = json.loads(line)
        if order.get("stop"):
            break
        threading.Thread(target=seat.call, args=(order["call"], order["play"]), daemon=True).start()
    seat.phone.stop()


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
