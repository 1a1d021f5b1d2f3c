"""A scripted SIP peer with its own small parser: a trunk or a phone, an independent opinion of what SIP is.

It retransmits and acknowledges as RFC 3261 §17 says, answers what it is asked, and knows of each of its calls (`Talk`) how
far it got. Nothing of the product is used here.
"""

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.simulate.connections import End
from tests.simulate.loop import SECOND_NS
from tests.simulate.message import Framer, Message, param, parse, uri_of
from tests.simulate.network import Address
from tests.simulate.peer_media import PeerMedia, Talk
from tests.simulate.wider import By

if TYPE_CHECKING:
    from tests.simulate.world import World

T1_NS = SECOND_NS // 2
GIVE_UP_NS = 64 * T1_NS
TLS_PORT = 5061
MULTIPART = "multipart/mixed;boundary=cut"
_METADATA = """<?xml version='1.0' encoding='UTF-8'?>
<recording xmlns='urn:ietf:params:xml:ns:recording:1'>
 <session session_id='s-{session}'/>
 <participant participant_id='p-c'><nameID aor='sip:+86{number}@pstn.example'/></participant>
 <participant participant_id='p-a'><nameID aor='sip:8001@pbx.example'/></participant>
 <stream stream_id='1' session_id='s-{session}'><label>1</label></stream>
 <stream stream_id='2' session_id='s-{session}'><label>2</label></stream>
 <participantstreamassoc participant_id='p-c'><send>1</send></participantstreamassoc>
 <participantstreamassoc participant_id='p-a'><send>2</send></participantstreamassoc>
</recording>"""


@dataclass(slots=True)
class _Ask:
    """A request of ours that has no final answer."""

    text: str
    talk: Talk | None
    on_response: Callable[[Message], None]
    method: str
    begun_ns: int
    provisional: bool = False
    done: bool = False
    went_by: End | None = None


class Peer(PeerMedia):
    """One address. on_invite: what to do with a call that comes in, as (peer, talk)."""

    def __init__(self, world: "World", address: Address, user: str, password: str = "", by: By = "udp") -> None:
        self.world = world
        self.work = world.work
        self.net = world.net
        self.address = address
        self.user = user
        self.password = password
        self.talks: dict[str, Talk] = {}
        self.on_invite: Callable[[Peer, Talk], None] = lambda peer, talk: None
        self.registered_status = 0
        self._asks: dict[str, _Ask] = {}
        self._answered: dict[str, str] = {}  # branch + method → our last response
        self._n = 0
        self._register_cseq = 0
        self.by = by
        self.way = "" if by == "udp" else f";transport={by}"
        self._connection: End | None = None
        self._ports = 40_000
        if by == "udp":
            world.net.at[address] = self.receive
        else:
            world.net.accepting[address] = self._take_connection

    # -- out --------------------------------------------------------------------------------------------------------

    def _token(self) -> str:
        self._n += 1
        return f"{self.user}x{self._n}"

    def send(self, text: str) -> None:
        if self.by == "udp":
            self.net.send_sip(text.encode(), self.address, self.world.server)
            return
        connection = self.connection()
        if connection is None:  # nobody there: asked again later
            self.net.last_sip_ns = self.work.now_ns
            return
        self.net.note_sip(text.encode(), self.address, self.world.server)
        ping = "\r\n\r\n" if self.net.rng.random() < 0.05 else ""  # RFC 5626 §3.5.1
        connection.send((ping + text).encode())

    def connection(self) -> End | None:
        """The one that is open, or a new one; None where nobody takes it."""
        if self._connection is None or not self._connection.is_open:
            port = TLS_PORT if self.by == "tls" else self.world.server[1]
            self._ports += 1
            made = self.net.connect((self.address[0], self._ports), (self.world.server[0], port))
            if made is not None:
                self._take_connection(made)
            self._connection = made
        return self._connection

    def _take_connection(self, end: End) -> None:
        framer = Framer(self.world.wrong)
        self._connection = end

        def receive(data: bytes) -> None:
            for message in framer.feed(data):
                self.receive(message, self.world.server)

        end.receive = receive

    def request(
        self, method: str, uri: str, from_: str, to: str, call_id: str, cseq: int, *lines: str, body: str = "",
        branch: str = "",
    ) -> tuple[str, str]:  # fmt: skip
        """The text of a request and its branch."""
        branch = branch or f"z9hG4bK{self._token()}"
        head = [
            f"{method} {uri} SIP/2.0",
            f"Via: SIP/2.0/{self.by.upper()} {self.address[0]}:{self.address[1]};branch={branch};rport",
            "Max-Forwards: 70", f"From: {from_}", f"To: {to}", f"Call-ID: {call_id}", f"CSeq: {cseq} {method}",
            f"Contact: <sip:{self.user}@{self.address[0]}:{self.address[1]}{self.way}>", *lines,
        ]  # fmt: skip
        if body:
            head.append(f"Content-Type: {'application/sdp' if body.startswith('v=') else MULTIPART}")
        return "\r\n".join([*head, f"Content-Length: {len(body.encode())}", "", body]), branch

    def ask(
        self, text: str, branch: str, method: str, talk: Talk | None, on_response: Callable[[Message], None]
    ) -> None:
        """Send a request until it is answered or 32 s have passed."""
        ask = _Ask(text, talk, on_response, method, self.work.now_ns)
        self._asks[branch] = ask
        self.send(text)
        ask.went_by = self._connection
        self.work.after(T1_NS, self._again, branch, ask, T1_NS)

    def _again(self, branch: str, ask: _Ask, after_ns: int) -> None:
        if ask.done or (ask.method == "INVITE" and ask.provisional):
            return
        if self.work.now_ns - ask.begun_ns >= GIVE_UP_NS:
            self._drop(branch, ask)
            return
        if (
            self.by == "udp" or ask.went_by is None or not ask.went_by.is_open
        ):  # a connection loses nothing while it lasts
            self.send(ask.text)
            ask.went_by = self._connection
        longer = 2 * after_ns if ask.method == "INVITE" else min(2 * after_ns, 4 * SECOND_NS)
        self.work.after(longer, self._again, branch, ask, longer)

    def _drop(self, branch: str, ask: _Ask) -> None:
        ask.done = True
        self._asks.pop(branch, None)
        dialling = ask.method == "INVITE" and ask.talk is not None and ask.talk.state == "calling"
        if ask.talk is not None and (dialling or ask.method == "BYE"):
            self._over(ask.talk, f"{ask.method} not answered")

    def respond(self, message: Message, status: int, talk: Talk | None = None, body: str = "", *lines: str) -> str:
        """Answer a request; the text, for sending it again."""
        f = message.fields
        to = f["to"][0]
        if talk is not None and "tag=" not in to:
            to = f"{to};tag={param(talk.our, 'tag')}"
        elif "tag=" not in to and status != 100:
            to = f"{to};tag={self.user}"
        head = [
            f"SIP/2.0 {status} X", *(f"Via: {v}" for v in f["via"]), f"From: {f['from'][0]}", f"To: {to}",
            f"Call-ID: {f['call-id'][0]}", f"CSeq: {f['cseq'][0]}",
            *(f"Record-Route: {v}" for v in f.get("record-route", ())),
            f"Contact: <sip:{self.user}@{self.address[0]}:{self.address[1]}{self.way}>", *lines,
        ]  # fmt: skip
        if body:
            head.append("Content-Type: application/sdp")
        text = "\r\n".join([*head, f"Content-Length: {len(body)}", "", body])
        self._answered[message.branch + message.method] = text
        self.send(text)
        return text

    # -- in ---------------------------------------------------------------------------------------------------------

    def receive(self, data: bytes, source: Address) -> None:
        message = parse(data)
        if message is None:
            self.world.wrong("a peer was sent what is no SIP message", data[:80].decode("latin-1"))
            return
        for name in ("via", "from", "to", "call-id", "cseq"):
            if name not in message.fields:
                self.world.wrong(f"a SIP message without {name}", data[:80].decode("latin-1"))
                return
        if not message.method:
            self._receive_response(message)
            return
        known = self._answered.get(message.branch + message.method)
        if known is not None and message.method != "ACK":
            self.send(known)
            return
        talk = self.talks.get(message.first("call-id"))
        if message.method == "ACK":
            self._acknowledged(talk, message)
        elif message.method == "INVITE" and talk is None:
            self._invited(message)
        elif message.method == "CANCEL":
            self._cancelled(talk, message)
        elif talk is None or (message.method == "BYE" and talk.state == "over" and not talk.bye_done):
            self.respond(message, 200 if message.method == "OPTIONS" else 481)
        elif message.method == "BYE":
            self.respond(message, 200, talk)
            talk.bye_done = True
            self._over(talk, "they sent BYE")
        elif message.method == "INVITE":
            self._reinvited(talk, message)
        else:
            self.respond(message, 200, talk)

    def _receive_response(self, message: Message) -> None:
        if message.asked == "CANCEL":  # shares its INVITE's branch
            return
        ask = self._asks.get(message.branch)
        talk = self.talks.get(message.first("call-id"))
        if ask is None:
            if message.asked == "INVITE" and 200 <= message.status < 300 and talk is not None and talk.to_ack:
                self.send(talk.to_ack)  # our ACK was lost
            elif message.asked == "INVITE" and 200 <= message.status < 300:
                self.world.wrong("a 200 to an INVITE that was never sent", message.first("call-id"))
            elif message.asked == "INVITE" and message.status >= 300:
                self._ack_refusal(message)
            return
        if message.status < 200:
            ask.provisional = True
            if ask.method == "INVITE" and ask.talk is not None:
                ask.on_response(message)
            return
        if ask.method == "INVITE" and message.status >= 300:
            self._ack_refusal(message)
        if not ask.done:
            ask.done = True
            del self._asks[message.branch]
            ask.on_response(message)

    def _ack_refusal(self, message: Message) -> None:
        f = message.fields
        head = [
            f"ACK sip:{self.world.server[0]} SIP/2.0", f"Via: {f['via'][0]}", "Max-Forwards: 70",
            f"From: {f['from'][0]}", f"To: {f['to'][0]}", f"Call-ID: {f['call-id'][0]}",
            f"CSeq: {f['cseq'][0].split()[0]} ACK", "Content-Length: 0", "", "",
        ]  # fmt: skip
        self.send("\r\n".join(head))

    # -- calls that come in -----------------------------------------------------------------------------------------

    def _invited(self, message: Message) -> None:
        f = message.fields
        talk = Talk(
            -1, f["call-id"][0], f"{f['to'][0]};tag={self._token()}", f["from"][0], uri_of(message.first("contact"))
        )
        talk.caller, talk.state = False, "ringing"
        talk.invite_fields = f
        talk.invite = message.body
        self.talks[talk.call_id] = talk
        talk.attempt = self.world.attempt_of(message.fields, talk)
        self._take_sdp(talk, message.body)
        self.on_invite(self, talk)

    def _message(self, talk: Talk) -> Message:
        return Message("INVITE", 0, talk.invite_fields, talk.invite)

    def ring(self, talk: Talk) -> None:
        if talk.state == "ringing":
            self.respond(self._message(talk), 180, talk)

    def answer(self, talk: Talk) -> None:
        if talk.state != "ringing":
            return
        talk.state = "answered"
        self.world.phone_answered(self, talk)
        talk.ok_sent = self.respond(self._message(talk), 200, talk, self.sdp(talk))
        self.start_voice(talk)
        self._repeat_ok(talk, T1_NS, self.work.now_ns)

    def _repeat_ok(self, talk: Talk, after_ns: int, begun_ns: int) -> None:
        def again() -> None:
            if talk.state != "answered":
                return
            if self.work.now_ns - begun_ns >= GIVE_UP_NS:
                self.hang_up(talk)
                return
            self.send(talk.ok_sent)
            self._repeat_ok(talk, min(2 * after_ns, 4 * SECOND_NS), begun_ns)

        self.work.after(after_ns, again)

    def refuse(self, talk: Talk, status: int) -> None:
        if talk.state == "ringing":
            self._refused(talk, self.respond(self._message(talk), status, talk), f"we refused with {status}")

    def _refused(self, talk: Talk, text: str, why: str) -> None:
        """Sent again until its ACK."""
        talk.state = "refused"
        begun_ns = self.work.now_ns

        def again(after_ns: int) -> None:
            if talk.state != "refused":
                return
            if self.work.now_ns - begun_ns >= GIVE_UP_NS:
                self._over(talk, why + ", never acknowledged")
                return
            self.send(text)
            self.work.after(after_ns, again, min(2 * after_ns, 4 * SECOND_NS))

        talk.notes.append(why)
        self.work.after(T1_NS, again, 2 * T1_NS)

    def _cancelled(self, talk: Talk | None, message: Message) -> None:
        if talk is None:
            self.respond(message, 481)
            return
        self.respond(message, 200, talk)
        if talk.state == "ringing":
            self._refused(talk, self.respond(self._message(talk), 487, talk), "they cancelled")

    def _acknowledged(self, talk: Talk | None, message: Message) -> None:
        if talk is None:
            return
        if talk.state == "answered":
            talk.state, talk.connected_ns = "talking", self.work.now_ns
            if talk.hangs_up:
                self.hang_up(talk)
        elif talk.state == "refused":
            self._over(talk, talk.notes[-1])

    def _reinvited(self, talk: Talk, message: Message) -> None:
        if not talk.caller and message.branch == param(talk.invite_fields["via"][0], "branch"):
            return  # the first INVITE once more, before it had any answer
        if talk.state not in ("talking", "answered"):
            self.respond(message, 481, talk)
            return
        before = talk.remote
        if message.body:
            self._take_sdp(talk, message.body)
        if before is not None and talk.remote != before and not talk.caller:
            if self.world.attempts[talk.attempt].consult is not None:
                talk.home = before
                self._moves(talk, 0)
            elif talk.remote == talk.home:  # the citizen hung up meanwhile: the question goes on
                self._moves(talk, talk.before)
        self.respond(message, 200, talk, self.sdp(talk))

    def _moves(self, talk: Talk, attempt: int) -> None:
        talk.spells += 1
        self.world.moves(self, talk, attempt)
        if talk.sends:
            talk.sends = False
            self.start_voice(talk)

    # -- calls that go out ------------------------------------------------------------------------------------------

    def call(self, attempt: int, number: str, shown: str, *lines: str) -> Talk:
        call_id = f"a{attempt}-{self._token()}@{self.address[0]}"
        server = self.world.server[0]
        talk = Talk(
            attempt, call_id, f"<sip:{shown}@{self.address[0]}>;tag={self._token()}", f"<sip:{number}@{server}>"
        )
        talk.target = f"sip:{number}@{server}"
        self.talks[call_id] = talk
        self._dial(talk, lines)
        return talk

    def record(self, attempt: int, number: str) -> Talk:
        """A recording session (RFC 7866) of a citizen with that number and seat 8001: two streams."""
        call_id = f"r{attempt}-{self._token()}@{self.address[0]}"
        me = f"<sip:{self.user}@{self.address[0]}>"
        talk = Talk(attempt, call_id, f"{me};tag={self._token()}", f"<sip:recorder@{self.world.server[0]}>")
        talk.target = f"sip:recorder@{self.world.server[0]}"
        talk.twin = Talk(attempt, call_id, talk.our, talk.their, caller=False)
        self.talks[call_id] = talk
        self._dial(talk, ("Require: siprec",), self._session(talk, number))
        return talk

    def _session(self, talk: Talk, number: str) -> str:
        """The body: an offer with two m= lines, and who speaks on which."""
        assert talk.twin is not None
        ends = []
        for label, stream in enumerate((talk, talk.twin), 1):
            offer = self.sdp(stream, "sendonly").partition("m=audio")
            ends.append(f"m=audio{offer[2]}a=label:{label}\r\n")
        return (
            f"--cut\r\nContent-Type: application/sdp\r\n\r\n{offer[0]}{''.join(ends)}\r\n--cut\r\n"
            "Content-Type: application/rs-metadata+xml\r\nContent-Disposition: recording-session\r\n\r\n"
            f"{_METADATA.format(number=number, session=talk.attempt)}\r\n--cut--\r\n"
        )

    def _dial(self, talk: Talk, lines: tuple[str, ...], body: str = "") -> None:
        body = body or self.sdp(talk)
        text, branch = self.request(
            "INVITE", talk.target, talk.our, talk.their, talk.call_id, talk.cseq, *lines, body=body
        )
        talk.invite_branch = branch

        def responded(message: Message) -> None:
            self._invite_response(talk, message, lines)

        self.ask(text, branch, "INVITE", talk, responded)

    def _invite_response(self, talk: Talk, message: Message, lines: tuple[str, ...]) -> None:
        if message.status < 200:
            talk.got_provisional = True
            if message.status > 100 and message.body:
                self._take_sdp(talk, message.body)
            if talk.gave_up:
                self._cancel(talk)
            return
        if message.status == 401 and self.password and talk.cseq == 1:
            talk.cseq = 2
            credentials = self.credentials(message, "INVITE", talk.target)
            if credentials and not talk.gave_up:
                self._dial(talk, (*lines, credentials))
                return
        if message.status >= 300:
            talk.final = message.status
            self._over(talk, f"refused with {message.status}")
            return
        talk.their = message.first("to")
        talk.target = uri_of(message.first("contact"))
        _first, _, second = message.body.partition("m=audio")[2].partition("m=audio")
        self._take_sdp(talk, message.body)
        if talk.twin is not None and second:
            self._take_sdp(talk.twin, f"{message.body.partition('m=audio')[0]}m=audio{second}")
        text, _ = self.request("ACK", talk.target, talk.our, talk.their, talk.call_id, talk.cseq)
        talk.to_ack = text
        self.send(text)
        if talk.state == "over":
            return
        talk.final = 200
        talk.state = "talking"
        if talk.gave_up or talk.hangs_up:  # the 200 won the race against our CANCEL
            self.hang_up(talk)
        else:
            self.start_voice(talk)
            if talk.twin is not None:
                self.start_voice(talk.twin)

    def give_up(self, talk: Talk) -> None:
        """CANCEL, as soon as it may be sent; hang up where it is too late."""
        if talk.state == "calling" and not talk.gave_up:
            talk.gave_up = True
            if talk.got_provisional:
                self._cancel(talk)
        elif talk.state == "talking":
            self.hang_up(talk)

    def _cancel(self, talk: Talk) -> None:
        if talk.ending_ns:
            return
        talk.ending_ns = self.work.now_ns
        their = talk.their.split(";tag=")[0]
        text, branch = self.request(
            "CANCEL", talk.target, talk.our, their, talk.call_id, talk.cseq, branch=talk.invite_branch
        )
        ask = _Ask(text, None, lambda message: None, "CANCEL", self.work.now_ns)
        key = branch + "CANCEL"
        self._asks_cancel(key, ask, T1_NS)
        self.send(text)
        self.work.after(GIVE_UP_NS, self._cancel_over, talk)

    def _asks_cancel(self, key: str, ask: _Ask, after_ns: int) -> None:
        """CANCEL shares its INVITE's branch: it is sent a few times whatever comes."""
        if self.work.now_ns - ask.begun_ns < 4 * SECOND_NS:
            self.work.after(after_ns, self._cancel_again, key, ask, 2 * after_ns)

    def _cancel_again(self, key: str, ask: _Ask, after_ns: int) -> None:
        self.send(ask.text)
        self._asks_cancel(key, ask, after_ns)

    def _cancel_over(self, talk: Talk) -> None:
        if talk.state == "calling":
            self._over(talk, "the INVITE had no answer after CANCEL")

    def hold(self, talk: Talk, direction: str) -> None:
        """Re-INVITE with that direction; whoever is told 491 lets it be."""
        if talk.state != "talking" or talk.hangs_up:
            return
        talk.cseq += 1
        text, branch = self.request(
            "INVITE", talk.target, talk.our, talk.their, talk.call_id, talk.cseq, body=self.sdp(talk, direction)
        )
        cseq = talk.cseq
        talk.has_held = talk.has_held or direction != "sendrecv"

        def responded(message: Message) -> None:
            if not 200 <= message.status < 300:
                return
            ack, _ = self.request("ACK", talk.target, talk.our, talk.their, talk.call_id, cseq)
            talk.to_ack = ack
            self.send(ack)
            self._take_sdp(talk, message.body)
            talk.held = direction != "sendrecv"
            if talk.held:
                talk.sends = False
            else:
                self.start_voice(talk)

        self.ask(text, branch, "INVITE", None, responded)

    def inside(self, talk: Talk, method: str, *lines: str) -> None:
        """A request inside the dialog whose answer does not matter."""
        if talk.state != "talking" or talk.hangs_up:
            return
        talk.cseq += 1
        text, branch = self.request(method, talk.target, talk.our, talk.their, talk.call_id, talk.cseq, *lines)
        self.ask(text, branch, method, None, lambda message: None)

    def hang_up(self, talk: Talk) -> None:
        """BYE; a callee whose 200 has no ACK yet waits for it."""
        talk.hangs_up = True
        self._silence(talk)
        if talk.state not in ("talking", "answered") or talk.bye_done:
            return
        if talk.state == "answered" and self.work.now_ns - talk.ending_ns < GIVE_UP_NS and not talk.ending_ns:
            talk.ending_ns = self.work.now_ns
            return
        talk.bye_done = True
        talk.cseq += 1
        text, branch = self.request("BYE", talk.target, talk.our, talk.their, talk.call_id, talk.cseq)
        self.ask(text, branch, "BYE", talk, lambda message: self._over(talk, f"BYE got {message.status}"))

    def end(self, talk: Talk) -> None:
        """Whatever state it is in, this side wants it over."""
        if talk.state == "calling":
            self.give_up(talk)
        elif talk.state == "ringing":
            self.refuse(talk, 480)
        else:
            self.hang_up(talk)

    def _silence(self, talk: Talk) -> None:
        talk.sends = False
        if talk.twin is not None:
            talk.twin.sends = False

    def _over(self, talk: Talk, why: str) -> None:
        self._silence(talk)
        if talk.state != "over":
            talk.state, talk.over_ns = "over", self.work.now_ns
            talk.notes.append(why)

    # -- registration -----------------------------------------------------------------------------------------------

    def register(self, expires_s: int = 600, credentials: str = "") -> None:
        server = self.world.server[0]
        self._register_cseq += 1
        me = f"<sip:{self.user}@{server}>"
        lines = (f"Expires: {expires_s}", *((credentials,) if credentials else ()))
        text, branch = self.request(
            "REGISTER", f"sip:{server}", f"{me};tag=r{self.user}", me, f"reg-{self.user}", self._register_cseq, *lines
        )

        def responded(message: Message) -> None:
            self.registered_status = message.status
            if message.status == 401 and not credentials:
                found = self.credentials(message, "REGISTER", f"sip:{server}")
                if found:
                    self.register(expires_s, found)

        self.ask(text, branch, "REGISTER", None, responded)

    def credentials(self, message: Message, method: str, uri: str) -> str:
        """The Authorization line for a challenge, RFC 2617 with MD5."""
        said = dict(re.findall(r'(\w+)="?([^",]+)"?', message.first("www-authenticate").partition(" ")[2]))
        if said.get("algorithm", "MD5") != "MD5":
            return ""

        def md5(text: str) -> str:
            return hashlib.md5(text.encode()).hexdigest()

        ha1, ha2 = md5(f"{self.user}:{said['realm']}:{self.password}"), md5(f"{method}:{uri}")
        response = md5(f"{ha1}:{said['nonce']}:00000001:c0ffee:auth:{ha2}")
        return (
            f'Authorization: Digest username="{self.user}", realm="{said["realm"]}", nonce="{said["nonce"]}", '
            f'uri="{uri}", response="{response}", algorithm=MD5, qop=auth, nc=00000001, cnonce="c0ffee"'
        )
