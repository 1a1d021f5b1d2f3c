"""One call of an endpoint: its futures, its media, hold, and what its leg tells."""

import asyncio
from typing import TYPE_CHECKING, Any, Literal

from callqa.demo.endpoint_rtp import SILENCE, EndpointRtp, HeardFrame
from callqa.errors import CallqaError
from callqa.sip.events import Address
from callqa.sip.legs.leg import Leg
from callqa.sip.legs.leg_owner import LegState
from callqa.sip.wire.message import Request, Response
from callqa.sip.wire.sdp import MediaDirection, Session, agreed_codecs

if TYPE_CHECKING:
    from callqa.demo.endpoint import Endpoint

CODECS: dict[str, tuple[int, str]] = {"PCMU": (0, "PCMU/8000"), "PCMA": (8, "PCMA/8000")}
CodecName = Literal["PCMU", "PCMA"]


class EndpointCall:
    """One call of an endpoint.

    answered: future, True when connected, False when it ended before. ended: future, who ended it: "remote", "local", "refused",
    "cancelled" or "lost". status: the SIP status of a refusal. played: future, done when the payload has been sent.
    """

    def __init__(self, endpoint: "Endpoint", rtp: EndpointRtp, payload: bytes, codec: CodecName) -> None:
        loop = asyncio.get_running_loop()
        self.answered: asyncio.Future[bool] = loop.create_future()
        self.ended: asyncio.Future[str] = loop.create_future()
        self.ringing: asyncio.Future[bool] = loop.create_future()
        self.played: asyncio.Future[bool] = loop.create_future()
        self.status = 0
        self.request: Request | None = None  # the INVITE of an incoming call
        self.leg: Leg | None = None
        self.codec = codec
        self.payload = payload
        self.held_by_remote = False
        self._endpoint = endpoint
        self.rtp = rtp
        rtp.on_played = lambda: settle(self.played, True)

    @property
    def heard(self) -> list[HeardFrame]:
        """Packets heard, in order of arrival (empty with keep_media=False)."""
        return self.rtp.heard

    @property
    def wire(self) -> list[bytes]:
        """The first RTP datagrams as they came, encrypted where the call is."""
        return self.rtp.wire

    @property
    def encrypted(self) -> bool:
        """Whether keys were agreed for this call."""
        return self.leg is not None and self.leg.terms.keys is not None

    @property
    def sent_count(self) -> int:
        """RTP packets sent."""
        return self.rtp.sent_count

    @property
    def began_at(self) -> float | None:
        """Loop time that frame 0 was due at; frame n is due 20 n ms later, even where the loop was late."""
        return self.rtp.began_at

    @property
    def heard_count(self) -> int:
        """RTP packets heard."""
        return self.rtp.heard_count

    def heard_payload(self) -> bytes:
        """Payload heard, in order of sequence number of arrival, telephone-events left out."""
        return b"".join(f.payload for f in self.heard if f.payload_type in SILENCE)

    def hang_up(self) -> None:
        """End the call: CANCEL, refusal or BYE."""
        if self.leg is not None:
            self.leg.end(self._endpoint.now)
            self._endpoint.flush()
        self.over("local")

    async def hold(self) -> int:
        """Put the other side on hold (a=sendonly); returns the status of the re-INVITE."""
        return await self._reinvite(MediaDirection.SENDONLY)

    async def unhold(self) -> int:
        """Take the other side back."""
        return await self._reinvite(MediaDirection.SENDRECV)

    async def _reinvite(self, direction: MediaDirection) -> int:
        leg, core = self.leg, self._endpoint.core
        if leg is None or leg.state is not LegState.CONFIRMED:
            raise CallqaError("通话没有接通，不能保持")
        done: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        def on_response(response: Response, source: Address, now: float) -> None:
            if response.status >= 200:
                if response.status < 300:
                    leg.acknowledge(leg.dialog, response.cseq.number)
                settle(done, response.status)

        request = leg.dialog.request("INVITE", body=leg.sdp(leg.codecs, direction))
        hop = leg.dialog.next_hop
        core.transactions.request(
            request,
            hop,
            core.local(hop),
            self._endpoint.now,
            on_response=on_response,
            on_timeout=lambda _: settle(done, 408),
        )
        self._endpoint.flush()
        return await done

    # -- what the leg tells -----------------------------------------------------------------------------------------

    def leg_provisional(self, leg: Leg, status: int, session: Session | None, now: float) -> None:
        self.status = status
        settle(self.ringing, True)

    def leg_answered(self, leg: Leg, session: Session | None, now: float) -> None:
        agreed = agreed_codecs(leg.codecs, session) if session else ()
        if session is None or not agreed:
            leg.end(now)
            self.over("refused")
            return
        leg.codecs, leg.session = agreed, session
        self.connect()

    def leg_refused(self, leg: Leg, status: int, now: float) -> None:
        self.status = status
        self.over("refused")

    def leg_cancelled(self, leg: Leg, now: float) -> None:
        self.over("cancelled")

    def leg_media(self, leg: Leg, now: float) -> None:
        if leg.session is not None:
            self.held_by_remote = leg.session.held
            self.rtp.remote = leg.session.remote
            self.rtp.agree(leg.terms)

    def leg_ended(self, leg: Leg, now: float) -> None:
        self.over("remote")

    def leg_lost(self, leg: Leg, now: float) -> None:
        self.over("lost")

    def connect(self) -> None:
        """Both sides agree: talk to where the other side hears."""
        assert self.leg is not None and self.leg.session is not None
        self.rtp.remote = self.leg.session.remote
        self.rtp.agree(self.leg.terms)
        self.status = 200
        settle(self.answered, True)
        self.rtp.play(self.payload, CODECS[self.codec][0])

    def over(self, how: str) -> None:
        """The call has ended, in one of the ways of `ended`."""
        self.rtp.close()
        settle(self.ringing, False)
        settle(self.answered, False)
        settle(self.played, False)
        settle(self.ended, how)


def settle(future: "asyncio.Future[Any]", value: object) -> None:
    """Give a future its value, unless it has one."""
    if not future.done():
        future.set_result(value)
