"""The citizens of the demo: one endpoint behind the allow-listed trunk address that calls in and answers the 回访."""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from callqa.demo.data import DemoCall
from callqa.demo.endpoint import AutoAnswer, Endpoint, Policy, Refuse
from callqa.demo.endpoint_call import EndpointCall
from callqa.errors import CallqaError
from callqa.matching import canonical_number
from callqa.sip.events import Address
from callqa.sip.wire.message import Request

CALLS = Path(__file__).parent / "calls"
PICK_UP_AFTER_S = 1.5
LINGER_S = 1.0  # a citizen hangs up a moment after the last word
APART_S = 0.3  # between two calls, so that their phones do not race for one ring


class Citizens:
    """Everybody outside. connected: how many of their calls were answered and carried to the end."""

    def __init__(self, at: Address, server: Address, hotline: str, tell: Callable[[str], None]) -> None:
        self.at = at
        self.server = server
        self.hotline = hotline
        self.tell = tell
        self.connected = 0

    async def live(self, calls: Sequence[DemoCall], dial_out: Callable[[], None]) -> None:
        """Place the inbound calls and have the seat dial out; come back when every call is over."""
        outbound = {c.number: c for c in calls if c.outbound}

        def pick_up(invite: Request) -> Policy:
            call = outbound.get(canonical_number(invite.uri))
            if call is None:
                return Refuse(404)
            return AutoAnswer(after_s=PICK_UP_AFTER_S, payload=_voice(call))

        endpoint = Endpoint(*self.at, on_invite=pick_up, keep_media=False)
        await endpoint.start()
        try:
            if outbound:
                dial_out()
            placed = []
            for call in calls:
                if not call.outbound:
                    placed.append(self._carry(call, await self._place(endpoint, call)))
                    await asyncio.sleep(APART_S)
            answered = [self._called(endpoint, call) for call in outbound.values()]
            await asyncio.gather(*placed, *answered)
        finally:
            await endpoint.close()

    async def _place(self, endpoint: Endpoint, call: DemoCall) -> EndpointCall:
        headers = {"X-Ticket-Id": call.ticket_no} if call.ticket_header else {}
        return await endpoint.call(self.server, self.hotline, _voice(call), "PCMU", headers, caller=call.number)

    async def _called(self, endpoint: Endpoint, call: DemoCall) -> None:
        await self._carry(call, await endpoint.incoming.get())

    async def _carry(self, demo: DemoCall, call: EndpointCall) -> None:
        if not await call.answered:
            raise CallqaError(f"{demo.number} 的电话没有接通（{call.status}）")
        self.tell(f"    {demo.number} {'被回访' if demo.outbound else '来电'}，已接通")
        over: list[asyncio.Future[Any]] = [call.played, call.ended]
        await asyncio.wait(over, return_when=asyncio.FIRST_COMPLETED)
        if not (call.played.done() and call.played.result()):
            raise CallqaError(f"{demo.number} 的电话没有讲完就断了（{call.ended.result()}）")
        await asyncio.sleep(LINGER_S)
        call.hang_up()
        self.connected += 1
        self.tell(f"    {demo.number} 讲完，挂机")


def _voice(call: DemoCall) -> bytes:
    return (CALLS / f"{call.code}.citizen.ul").read_bytes()
