"""How long a recorder takes from its start to the first call it answers: a call is tried until a 200 to its INVITE comes.

The same INVITE is sent every RESEND_S until the recorder says anything, as a trunk would send it again that gets no answer. Seat
phones take the first that rings and are busy for the rest. Shares no code with the product.
"""

import select
import time
from collections.abc import Callable

from signalling import Agent, field, media_of, sdp

RESEND_S = 0.02
LIMIT_S = 30.0


def first_answer_s(begun: float, trunk: Agent, phones: Agent, ask: Callable[[], None]) -> tuple[float, str]:
    """(seconds from `begun`, time.monotonic(), to the first 200, that 200). ask: sends the INVITE through the trunk's socket."""
    ask()
    heard = taken = False
    while time.monotonic() < begun + LIMIT_S:
        ready, _, _ = select.select([trunk.socket, phones.socket], [], [], RESEND_S)
        if not ready and not heard:
            trunk.again()
        if phones.socket in ready:
            taken |= _ring(phones, phones.socket.recv(65_536).decode(), taken=taken)
        if trunk.socket in ready:
            message = trunk.socket.recv(65_536).decode()
            if message.startswith("SIP/2.0 200") and field(message, "CSeq").endswith("INVITE"):
                return time.monotonic() - begun, message
            if message.startswith("SIP/2.0 1"):
                heard = True
            elif message.startswith("SIP/2.0 "):
                raise SystemExit(f"the first call after the restart got {message}")
    raise SystemExit(f"no call was answered {LIMIT_S:.0f} s after the restart")


def _ring(phones: Agent, message: str, *, taken: bool) -> bool:
    """A seat phone: whether it took the call now."""
    if message.startswith(("CANCEL ", "BYE ")):
        phones.reply(message, "200 OK")
    if not message.startswith("INVITE "):
        return False
    extension = message.split(" ", 2)[1].removeprefix("sip:").partition("@")[0]
    if taken:
        phones.reply(message, "486 Busy Here", tag=extension)
        return False
    media_of(message)  # it must be a call with audio
    body = sdp(phones.address, 8 if " 8" in message.partition("m=audio")[2] else 0)
    phones.reply(message, "200 OK", tag=extension, contact=phones.contact(extension), body=body)
    return True
