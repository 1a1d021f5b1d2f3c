"""转接: one side of an answered call is handed to somebody else, while the other side and the recording go on (RFC 3515).

Rules: only a seat's phone may REFER, from where that seat is registered; a trunk only where its setting allows (toll fraud).
The target is an extension or a number of the dial plan, anything else gets 403. One transfer of a call at a time (491), and
not without end. No citizen is dropped because a transfer failed: the old one keeps the call, or is called back. The new
side has an RTP port of its own, so that late packets of the old one reach nobody.
How: blind.py, joining.py (two calls of one seat), recall.py.
"""

from typing import TYPE_CHECKING

from callqa.errors import ProtocolError
from callqa.sip.calls.routing import Refusal, find_trunk
from callqa.sip.events import HangupParty
from callqa.sip.legs.leg import Leg, LegState
from callqa.sip.legs.session_timer import Fields
from callqa.sip.legs.transaction import Transaction
from callqa.sip.transfers.blind import BlindTransfer
from callqa.sip.transfers.change import Change
from callqa.sip.transfers.joining import Joining
from callqa.sip.transfers.progress import Progress
from callqa.sip.transfers.recall import Recall
from callqa.sip.transfers.refer import Refer, parse_refer, without_noise

if TYPE_CHECKING:
    from callqa.sip.calls.exchange import Exchange
    from callqa.sip.calls.talk import Talk

TRANSFERS_MOST = 30  # of one call; a phone that loops would ring the whole hall for hours
# A phone that hangs up by habit after its REFER may do so when the transfer has just failed: that ends no call.
HABIT_S = 2.0
_NO_PORT = Refusal(503, "没有空闲的媒体端口")


class Transfers:
    """All transfers of one call."""

    def __init__(self, call: "Talk", exchange: "Exchange") -> None:
        self._call = call
        self._exchange = exchange
        self._change: Change | None = None
        self._count = 0
        self._referred: set[Leg] = set()
        self._failed: tuple[Leg, float] | None = None

    @property
    def busy(self) -> bool:
        """Whether somebody is about to take over a side of the call."""
        return self._change is not None

    # -- REFER ------------------------------------------------------------------------------------------------------

    def refer(self, leg: Leg, t: Transaction, now: float) -> None:
        """Take a REFER of one side."""
        asked = self._not_allowed(leg) or _read(t)
        if isinstance(asked, Refusal):
            self._refuse(leg, t, asked, now)
        elif self._change is not None or not leg.talks or not self._call.answered or self._call.over:
            self._call.core.transactions.reply(t, 491, now)
        elif asked.replaces is not None:
            self._refer_to_dialog(leg, t, asked, now)
        else:
            self._blind(leg, t, asked, now)

    def _not_allowed(self, leg: Leg) -> Refusal | None:
        host = leg.dialog.observed[0]
        if leg.seat_extension is None:
            trunk = find_trunk(self._call.core.desk, host)
            if trunk is None or not trunk.refer_allowed:
                return Refusal(403, f"中继 {host} 要求转接，没有允许；确实需要时，请在中继设置里打开“允许对端转接”")
        elif not self._exchange.speaks_for(leg.seat_extension, leg.dialog.observed):
            return Refusal(403, f"{host} 不是分机 {leg.seat_extension} 注册的地址")
        if self._count >= TRANSFERS_MOST:
            return Refusal(403, f"这通电话已转接 {TRANSFERS_MOST} 次；请检查话机是否在循环转接")
        return None

    def _refuse(self, leg: Leg, t: Transaction, refusal: Refusal, now: float) -> None:
        who = f"分机 {leg.seat_extension} 的" if leg.seat_extension else ""
        self._call.core.fault(now, f"{who}转接没有办理：{refusal.reason}", leg.dialog.observed, self._call.call_id)
        # 480 to a request inside a dialog may be read as its end (RFC 5057 §5.1).
        self._call.core.transactions.reply(t, 486 if refusal.status == 480 else refusal.status, now)

    def _accept(self, leg: Leg, t: Transaction, asked: Refer, now: float) -> Progress:
        self._count += 1
        self._failed = None
        event = f"refer;id={t.request.cseq.number}" if leg in self._referred else "refer"
        self._referred.add(leg)
        fields: Fields = (("Contact", leg.dialog.contact), ("Refer-Sub", None if asked.subscribe else "false"))
        self._call.core.transactions.reply(t, 202, now, fields=fields)
        progress = Progress(leg, event, asked.subscribe)
        progress.tell(100, now)
        return progress

    def _blind(self, leg: Leg, t: Transaction, asked: Refer, now: float) -> None:
        number = without_noise(asked.number)
        targets = self._exchange.reach(number)
        port = None if isinstance(targets, Refusal) else self._call.take_port()
        if isinstance(targets, Refusal) or port is None:
            self._refuse(leg, t, targets if isinstance(targets, Refusal) else _NO_PORT, now)
            return
        progress = self._accept(leg, t, asked, now)
        transfer = BlindTransfer(self._call, leg, port, progress, number, self.settled)
        self._change = transfer
        transfer.start(targets, now)

    def _refer_to_dialog(self, leg: Leg, t: Transaction, asked: Refer, now: float) -> None:
        assert asked.replaces is not None
        other = self._exchange.leg_named(asked.replaces)
        consult = self._exchange.call_of(other) if other is not None else None
        own = other is not None and other is not leg and other.seat_extension == leg.seat_extension
        if other is None or consult is None or consult is self._call or not own:
            self._refuse(leg, t, Refusal(403, "要接到一起的另一路通话不是这个分机的，或已经结束"), now)
        elif consult.answered:
            self._join(leg, t, asked, consult, other, now)
        elif not other.called_us:
            self._refuse(leg, t, Refusal(403, "另一路通话还没有接听"), now)
        else:  # it still rings there: the consult call gives way, and the number is rung for this call
            consult.stop(now, HangupParty.AGENT, Refusal(487, "坐席改为直接转接"))
            self._blind(leg, t, Refer(consult.facts.to_number, None, asked.subscribe), now)

    def _join(self, leg: Leg, t: Transaction, asked: Refer, consult: "Talk", other: Leg, now: float) -> None:
        main, leaving, second, seconds = self._call, leg, consult, other
        if consult.begun < main.begun:
            main, leaving, second, seconds = consult, other, self._call, leg
        free = not main.transfers.busy and not second.transfers.busy
        if not free or not other.talks or not second.beside(seconds).talks:
            self._call.core.transactions.reply(t, 491, now)
            return
        port = main.take_port()
        if port is None:
            self._refuse(leg, t, _NO_PORT, now)
            return
        progress = self._accept(leg, t, asked, now)
        joining = Joining(main, leaving, second, seconds, port, progress, leg, main.transfers.settled)
        main.transfers.begin(joining)
        second.transfers.begin(joining)
        joining.start(now)

    # -- what goes on -----------------------------------------------------------------------------------------------

    def begin(self, change: Change) -> None:
        """A change of this call has begun."""
        self._change = change

    def end(self) -> None:
        """It is settled, and nothing has become of it here."""
        self._change = None

    def settled(self, leaving: Leg, port: int | None, now: float) -> None:
        """A change of this call is settled. port: it failed, and this port is left over."""
        self._change = None
        if port is None or self._call.over:
            return
        if leaving.state is not LegState.GONE:
            self._failed = (leaving, now)
            self._call.release_port(port)
        elif leaving.seat_extension is not None:
            self._call_back(leaving, port, now)
        else:
            self._call.leg_ended(leaving, now)

    def _call_back(self, gone: Leg, port: int, now: float) -> None:
        recall = Recall(self._call, self._exchange, gone, port, self.end)
        self._change = recall
        recall.start(now)

    def survives(self, leg: Leg, now: float) -> bool:
        """A leg of the call is over: whether the call goes on."""
        if self._change is not None:
            return self._change.survives(leg, now)
        if self._failed is None or self._failed[0] is not leg or now - self._failed[1] > HABIT_S:
            return False
        port = self._call.take_port()
        if port is None or leg.seat_extension is None:
            return False
        self._call_back(leg, port, now)
        return True

    def call_over(self, now: float) -> None:
        """The call has ended."""
        change, self._change = self._change, None
        if change is not None:
            change.call_over(self._call, now)

    def seat_taken(self, extension: str, now: float) -> None:
        """A seat answered another call."""
        if self._change is not None:
            self._change.seat_taken(extension, now)


def _read(t: Transaction) -> Refer | Refusal:
    try:
        return parse_refer(t.request)
    except ProtocolError:
        return Refusal(400, "话机的转接请求读不懂")
