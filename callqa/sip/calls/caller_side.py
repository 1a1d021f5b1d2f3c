"""What a caller is told and hears before anybody answers him, and whether he is still there.

Rules: as long as nothing is played, he gets 180 and may still be connected with any codec he offered. For a prompt or a
trunk's early media his codec is fixed first, by 183 with our SDP, or by 200 where the site wants prompts only after the answer
(`early_prompts` off) or where he sent no offer, since 183 can then carry no answer. That 200 is none in the call's
sense: nobody took the call. It counts as answered, and is recorded, from the moment when somebody is connected; who hangs up
before is 呼损, and what was heard until then is not part of the recording. Once he hears us, ringing is a tone we play.
One who waits gets a provisional response every minute (RFC 3261 §13.3.1.1), a reliable one where he can confirm it (RFC 3262),
or after a 200 an OPTIONS in the dialog: so that one whose network died does not hold his place in the queue.
"""

from typing import TYPE_CHECKING

from callqa.sip.calls.routing import NO_CODEC
from callqa.sip.events import Address, PromptStarted, PromptStopped
from callqa.sip.legs.leg import Leg, LegState
from callqa.sip.legs.timers import Alarm
from callqa.sip.wire.message import Response
from callqa.sip.wire.sdp import EVENTS, OUR_CODECS, Codecs, Session, agreed_codecs, common_codecs

if TYPE_CHECKING:
    from callqa.sip.calls.bridge import BridgeCall

REMIND_EVERY_S = 60.0
REPEAT_AFTER_S = 1.5
PROMPT_MOST_S = 120.0  # a prompt whose end is never told is over then
RINGBACK, MUSIC, NOTICE = "ringback", "music", "notice"
_GONE = frozenset({408, 481})


class CallerSide:
    """The caller's leg until somebody answers."""

    def __init__(self, call: "BridgeCall") -> None:
        self._call = call
        self._core = call.core
        self._leg = call.caller
        self._offer: Session | None = None
        self._hears = False  # his codec is fixed: we can play to him
        self._rings = False  # 180 was sent
        self._playing: tuple[str, bool] | None = None
        self._started = False  # what is playing was reported
        self._sounded = False  # a prompt was reported, and no end of all prompts since
        self._agreed = True  # False: his answer to our offer is awaited
        self._answers_options = False
        self._said: tuple[int, bytes] | None = None  # our last provisional response
        self._prompt_alarm: Alarm | None = None
        self._alarm: Alarm | None = None

    def take(self, offer: Session | None) -> Codecs:
        """Note the caller's offer; what he can be connected with."""
        self._offer = self._leg.session = offer
        self._agreed = offer is not None
        self._leg.codecs = common_codecs(offer) if offer else OUR_CODECS
        return self._leg.codecs

    # -- what he hears ----------------------------------------------------------------------------------------------

    def ring_back(self, now: float) -> None:
        """It rings at the other end."""
        if self._hears:
            self.play(RINGBACK, now, loop=True)
        elif not self._rings:
            self._rings = True
            self._say(180, b"", now)

    def pass_on(self, leg: Leg, session: Session, now: float) -> bool:
        """Let him hear the early media of one who is called; False when that cannot be done."""
        agreed = agreed_codecs(leg.codecs, session)
        if not agreed or (self._offer is None and not self._hears):
            return False
        self.silence(now)
        leg.session = session
        self._call.change_media(leg, now)
        if not self._hears:
            self._hears, self._leg.codecs = True, agreed
            self._say(183, self._leg.sdp(agreed, answering=self._offer), now)
        return True

    def play(self, prompt: str, now: float, *, loop: bool = False) -> None:
        """Play a prompt, instead of what plays now. Its end is told by `BridgeCall.prompt_over`."""
        if self._playing == (prompt, loop):
            return
        self._fix_codec(now)
        if self._prompt_alarm is not None:
            self._prompt_alarm.cancel()
        self._playing, self._started = (prompt, loop), False
        self._start(now)

    def silence(self, now: float) -> None:
        """Play nothing more."""
        if self._prompt_alarm is not None:
            self._prompt_alarm.cancel()
        if self._sounded:
            self._sounded = False
            self._core.emit(PromptStopped(self._call.call_id, now, self._leg.channel))
        self._playing = None

    def over(self, prompt: str) -> bool:
        """A prompt came to its end; False when it is not the one that plays."""
        if self._playing != (prompt, False):
            return False
        if self._prompt_alarm is not None:
            self._prompt_alarm.cancel()
        self._playing = None
        return True

    @property
    def ready(self) -> bool:
        """Whether he can be connected: not while his answer to the offer in our 200 is on its way."""
        return self._agreed or not self._hears

    def media(self, now: float) -> None:
        """His media changed. The answer to our offer in a 200 comes with his ACK: only then can anything be played."""
        leg = self._leg
        if not self._agreed and self._hears:
            said = leg.session
            leg.codecs = agreed_codecs(leg.codecs, said) if said is not None else _with_events(leg.codecs)
            self._agreed = True
            if not leg.codecs:
                self._core.fault(now, NO_CODEC.reason, leg.dialog.observed, self._call.call_id)
                self._call.refuse(NO_CODEC, now)
                return
        self._call.change_media(leg, now)
        self._start(now)

    def _start(self, now: float) -> None:
        if self._playing is None or self._started or not self._agreed:
            return
        self._started = self._sounded = True
        prompt, loop = self._playing
        self._core.emit(PromptStarted(self._call.call_id, now, self._leg.channel, prompt, loop, self._file(prompt)))
        if not loop:
            self._prompt_alarm = self._core.timers.at(
                now + PROMPT_MOST_S, lambda at: self._call.prompt_over(prompt, at)
            )

    def _file(self, prompt: str) -> str:
        routing = self._core.desk.routing
        named = {NOTICE: routing.notice, MUSIC: routing.queue_music}
        return named.get(prompt, f"{prompt.replace(':', '-')}.wav" if prompt.startswith("position:") else "")

    def _fix_codec(self, now: float) -> None:
        if self._hears:
            return
        self._hears, leg, offer = True, self._leg, self._offer
        if offer is None:
            leg.accept(leg.sdp(leg.codecs), now)
            self._remind_later(now)
            return
        leg.codecs = _with_events(leg.codecs)
        if self._core.desk.routing.early_prompts:
            self._say(183, leg.sdp(leg.codecs, leg.direction_for(offer), offer), now)
            # Were it lost, he would hear nothing until the first reminder.
            self._core.timers.at(now + REPEAT_AFTER_S, self._repeat)
        else:
            leg.accept(leg.sdp(leg.codecs, leg.direction_for(offer), offer), now)
            self._remind_later(now)
        self._call.change_media(leg, now)

    # -- what he is told --------------------------------------------------------------------------------------------

    def connect(self, agreed: Codecs, now: float) -> None:
        """Somebody answered with these codecs: 200, unless he got it for the prompts."""
        self._stop(now)
        leg = self._leg
        if not self._hears or leg.codecs[0] != agreed[0]:  # some networks answer otherwise than their early media was
            leg.codecs = agreed
        if leg.state is LegState.EARLY:
            leg.accept(leg.sdp(leg.codecs, leg.direction_for(self._offer), self._offer), now)

    def refuse(self, status: int, now: float) -> None:
        """Nobody takes the call: the status, or BYE after a 200."""
        self._stop(now)
        if self._leg.state is LegState.EARLY:
            self._leg.refuse(status, now)
        else:
            self._leg.end(now)

    def gone(self, now: float) -> None:
        """He is not there any more."""
        self._stop(now)

    def _stop(self, now: float) -> None:
        self.silence(now)
        if self._alarm is not None:
            self._alarm.cancel()

    def _say(self, status: int, body: bytes, now: float) -> None:
        self._said = (status, body)
        self._leg.ring(status, body, now)
        self._remind_later(now)

    def _repeat(self, now: float) -> None:
        if self._leg.state is LegState.EARLY and self._said is not None and self._leg.called is not None:
            self._leg.called.repeat(*self._said, now)

    def _remind_later(self, now: float) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm = self._core.timers.at(now + REMIND_EVERY_S, self._remind)

    def _remind(self, now: float) -> None:
        self._remind_later(now)
        if self._leg.state is LegState.EARLY and self._said is not None and self._leg.called is not None:
            self._leg.called.remind(*self._said, now)
        elif self._leg.talks:
            self._ask(now)

    def _ask(self, now: float) -> None:
        """Whether he is there. Silence counts only from one who answered before: some peers know no OPTIONS in a dialog."""
        leg = self._leg

        def on_response(response: Response, _source: Address, at: float) -> None:
            self._answers_options = True
            if response.status in _GONE:
                on_timeout(at)

        def on_timeout(at: float) -> None:
            if self._answers_options and leg.talks and self._call.callee is None and not self._call.over:
                leg.end(at)
                self._call.leg_lost(leg, at)

        hop = leg.dialog.next_hop
        self._core.transactions.request(
            leg.dialog.request("OPTIONS"), hop, self._core.local(hop), now,
            on_response=on_response, on_timeout=on_timeout,
        )  # fmt: skip


def _with_events(codecs: Codecs) -> Codecs:
    """The first voice codec, and telephone-event."""
    return (codecs[0], *(c for c in codecs[1:] if c[1] == EVENTS))
