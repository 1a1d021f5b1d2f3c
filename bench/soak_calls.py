"""The kinds of calls of the soak. Each is a coroutine that lives one call through and says whether it was answered."""

import asyncio
import itertools
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from parties import Dialog, Party, Unexpected, credentials
from recording import media_lines, session_body
from signalling import Address, sdp
from signalling import field as header
from soak_media import Media, Talk

HOTLINE = "96510"
TALK_S = 0.8
UNACKNOWLEDGED_S = 30.0  # the recorder gives up at 32 s (RFC 3261 §13.3.1.4); what is sent after that is nobody's
TAIL_S = 0.1  # from the last frame to the BYE


@dataclass
class World:
    """Everything a call story can use."""

    server: Address
    tcp_port: int
    trunk: Party
    trunk_host: str
    phones: list["Phone"]
    media: Media
    calls: dict[int, "Story"] = field(default_factory=dict)

    def free_phone(self) -> "Phone | None":
        """A phone that neither talks nor is about to."""
        return next((p for p in self.phones if p.busy_with is None), None)


@dataclass
class Story:
    """One call. number: its caller, or the number dialled; how phones and far ends behave is read from here."""

    n: int
    kind: str
    world: World
    rings: str = "answer"  # what phones, or the far end, do: answer, busy, decline, ring
    rung: asyncio.Queue[Dialog] = field(default_factory=asyncio.Queue)
    claimed: bool = False
    talks: tuple[Talk, ...] = ()
    answered: bool = False
    outcome: str = ""
    dialogs: list[Dialog] = field(default_factory=list)

    @property
    def number(self) -> str:
        """138 and eight digits: which call it is, wherever it is seen."""
        return f"138{self.n:08d}"

    def talk(self, call: Dialog, leg: int) -> Talk:
        """A leg begins to talk."""
        assert call.media is not None
        return self.world.media.talk(self.n, leg, call.media)


def number_of(text: str) -> int | None:
    """The call a number belongs to."""
    found = re.search(r"138(\d{8})", text)
    return int(found[1]) if found else None


class Phone:
    """One seat's phone: rings as the call's story says, talks to one at a time."""

    def __init__(self, extension: str, password: str, party: Party) -> None:
        self.extension, self.password, self.party = extension, password, party
        self.busy_with: int | None = None
        self.calls: dict[int, Story] = {}
        self._registered = itertools.count(1)
        party.on_invite = self._ring

    def _ring(self, dialog: Dialog) -> None:
        n = number_of(header(dialog.invite, "From"))
        story = self.calls.get(n) if n is not None else None
        if story is None or self.busy_with is not None or story.rings == "busy":
            self._refuse(dialog, "486 Busy Here")
        elif story.rings == "decline":
            self._refuse(dialog, "603 Decline")
        elif story.rings == "answer" and not story.claimed:
            story.claimed, self.busy_with = True, story.n
            dialog.on_over = self.free
            dialog.reply("180 Ringing")
            self.party.answer(dialog, story.world.media.address(1))
            story.rung.put_nowait(dialog)
        else:
            dialog.reply("180 Ringing")
            dialog.on_over = lambda: self.party.forget(dialog)

    def _refuse(self, dialog: Dialog, status: str) -> None:
        dialog.reply(status)
        self.party.forget(dialog)

    def free(self) -> None:
        """On hook."""
        self.busy_with = None

    async def register(self, *, password: str = "", expires_s: int = 120) -> str:
        """REGISTER with digest; the last status line. A wrong password shows in it."""
        call_id = f"register-{self.extension}-{self.party.address[1]}-{next(self._registered)}"
        server = self.party.server
        uri = f"sip:{server[0]}:{server[1]}"
        aor = f"<sip:{self.extension}@{server[0]}>"
        dialog = Dialog(self.party, call_id, f"{aor};tag=r", aor, uri)
        self.party.dialogs[call_id] = dialog
        fields = [
            f"From: {dialog.local}",
            f"To: {aor}",
            f"Call-ID: {call_id}",
            f"Contact: <{self.party.uri(self.extension)}>",
        ]
        fields.append(f"Expires: {expires_s}")
        self.party.send_request("REGISTER", uri, [*fields, "CSeq: 1 REGISTER"])
        challenge = await dialog.wait("SIP/2.0 401", "REGISTER")
        given = credentials(
            "REGISTER", uri, header(challenge, "WWW-Authenticate"), self.extension, password or self.password
        )
        self.party.send_request("REGISTER", uri, [*fields, "CSeq: 2 REGISTER", given])
        answer = await dialog.wait("SIP/2.0 ", "REGISTER", 30)
        self.party.forget(dialog)
        return answer.splitlines()[0]


# -- a citizen calls ----------------------------------------------------------------------------------------------------


async def _ring_in(story: Story, party: Party | None = None, *, offer: bool = True) -> Dialog:
    body = sdp(story.world.media.address(0), 8) if offer else ""
    dialog = (party or story.world.trunk).start(f"soak-{story.n}", story.number, HOTLINE, body)
    dialog.offered = dialog.offered or sdp(story.world.media.address(0), 8)
    story.dialogs.append(dialog)
    return dialog


async def _connect(story: Story, dialog: Dialog) -> Dialog | None:
    """Until both ends talk; the agent's end, or None where all seats were busy just then."""
    try:
        ok = await dialog.wait("SIP/2.0 200", "INVITE")
    except Unexpected as e:
        if "486" in str(e):
            story.outcome = "all busy"
            return None
        raise
    dialog.connect(ok)
    dialog.ack()
    agent = await story.rung.get()
    story.dialogs.append(agent)
    await agent.wait("ACK ")
    story.answered = True
    story.talk(dialog, 0)
    story.talk(agent, 1)
    return agent


async def _talk(seconds: float = TALK_S) -> None:
    await asyncio.sleep(seconds)


async def _stop_talking(story: Story) -> None:
    story.talks = story.talks or story.world.media.silence(story.n)
    await asyncio.sleep(TAIL_S)


async def _hang_up(story: Story, by: Dialog, other: Dialog) -> None:
    await _stop_talking(story)
    by.request("BYE")
    await by.wait("SIP/2.0 200", "BYE")
    await other.wait("BYE ")
    for dialog in (by, other):
        dialog.on_over()


async def answered(story: Story, party: Party | None = None) -> None:
    """Talk; the citizen or the agent hangs up."""
    citizen = await _ring_in(story, party)
    agent = await _connect(story, citizen)
    if agent is None:
        return
    await _talk()
    await _hang_up(story, *((citizen, agent) if story.n % 3 else (agent, citizen)))


async def over_tcp(story: Story) -> None:
    """The trunk calls on a TCP connection of its own."""
    party = await Party(story.world.trunk_host, story.world.server).connect(story.world.tcp_port)
    try:
        await answered(story, party)
    finally:
        party.close()


async def late_offer(story: Story) -> None:
    """INVITE without SDP; our answer goes with the ACK."""
    citizen = await _ring_in(story, offer=False)
    ok = await citizen.wait("SIP/2.0 200", "INVITE")
    citizen.connect(ok)
    citizen.request("ACK", cseq=citizen.cseq, body=citizen.offered)
    agent = await story.rung.get()
    story.dialogs.append(agent)
    await agent.wait("ACK ")
    story.answered = True
    story.talk(citizen, 0)
    story.talk(agent, 1)
    await _talk()
    await _hang_up(story, citizen, agent)


async def _refused(story: Story, *statuses: str) -> None:
    citizen = await _ring_in(story)
    answer = await citizen.wait("SIP/2.0 ", "INVITE")
    while re.match(r"SIP/2\.0 1", answer):
        answer = await citizen.wait("SIP/2.0 ", "INVITE")
    story.outcome = answer.split(" ")[1]
    if story.outcome not in (*statuses, "486"):
        raise Unexpected(answer.splitlines()[0])


async def busy(story: Story) -> None:
    """Every phone is busy."""
    story.rings = "busy"
    await _refused(story, "486")


async def declined(story: Story) -> None:
    """Every phone declines."""
    story.rings = "decline"
    await _refused(story, "480", "603")


async def unanswered(story: Story) -> None:
    """Rings until the time is over."""
    story.rings = "ring"
    await _refused(story, "480")


async def cancelled(story: Story) -> None:
    """The citizen gives up while it rings."""
    story.rings = "ring"
    citizen = await _ring_in(story)
    try:
        await citizen.wait("SIP/2.0 180", "INVITE")
    except Unexpected:
        story.outcome = "all busy"
        return
    await asyncio.sleep(0.2)
    citizen.cancel(citizen.branch)
    final = await citizen.wait("SIP/2.0 4", "INVITE")  # 486: the phones took other calls just then
    story.outcome = final.split(" ")[1]


async def hold(story: Story) -> None:
    """The agent holds and takes the call back; nobody talks meanwhile."""
    citizen = await _ring_in(story)
    agent = await _connect(story, citizen)
    if agent is None:
        return
    talks = story.world.media.talks(story.n)
    await _talk(0.5)
    for direction, paused in (("sendonly", True), ("sendrecv", False)):
        agent.request("INVITE", body=agent.offered + f"a={direction}\r\n")
        await agent.wait("SIP/2.0 200", "INVITE")
        agent.ack()
        for talk in talks:
            talk.paused = paused
        await _talk(0.5)
    await _hang_up(story, citizen, agent)


async def reinvite(story: Story) -> None:
    """Both sides refresh the session with the same SDP."""
    citizen = await _ring_in(story)
    agent = await _connect(story, citizen)
    if agent is None:
        return
    for end in (citizen, agent):
        await _talk(0.4)
        end.request("INVITE", body=end.offered)
        await end.wait("SIP/2.0 200", "INVITE")
        end.ack()
    await _talk(0.4)
    await _hang_up(story, citizen, agent)


async def lost_bye(story: Story) -> None:
    """Both sides are gone without a word; the recorder notices by the silence and ends both legs."""
    citizen = await _ring_in(story)
    agent = await _connect(story, citizen)
    if agent is None:
        return
    await _talk()
    await _stop_talking(story)
    for end in (citizen, agent):
        await end.wait("BYE ", within_s=20)
    agent.on_over()


async def deaf_to_bye(story: Story) -> None:
    """The agent's phone does not hear the first two BYE."""
    citizen = await _ring_in(story)
    agent = await _connect(story, citizen)
    if agent is None:
        return
    agent.deaf_byes = 2
    await _talk()
    await _hang_up(story, citizen, agent)


async def lost_ack(story: Story) -> None:
    """The first 200 is not acknowledged; the next one is."""
    citizen = await _ring_in(story)
    try:
        await citizen.wait("SIP/2.0 200", "INVITE")
    except Unexpected:
        story.outcome = "all busy"
        return
    agent = await _connect(story, citizen)
    assert agent is not None
    await _talk()
    await _hang_up(story, citizen, agent)


async def never_acknowledged(story: Story) -> None:
    """No ACK ever: the recorder gives the call up after 32 s."""
    citizen = await _ring_in(story)
    try:
        citizen.connect(await citizen.wait("SIP/2.0 200", "INVITE"))
    except Unexpected:
        story.outcome = "all busy"
        return
    agent = await story.rung.get()
    story.dialogs.append(agent)
    story.answered = True
    story.talk(citizen, 0)
    story.talk(agent, 1)
    await _talk(UNACKNOWLEDGED_S)
    await _stop_talking(story)
    await agent.wait("BYE ", within_s=15)
    agent.on_over()


async def transferred(story: Story) -> None:
    """The agent gives the call to another seat (REFER); where that one is taken meanwhile, the call stays where it is."""
    citizen = await _ring_in(story)
    agent = await _connect(story, citizen)
    if agent is None:
        return
    await _talk(0.4)
    other = story.world.free_phone()
    if other is None:
        await _hang_up(story, citizen, agent)
        return
    talk = story.world.media.talks(story.n)[1]
    talk.paused = True  # he listens to what becomes of it
    story.claimed = False
    server = f"{agent.party.server[0]}:{agent.party.server[1]}"
    agent.request("REFER", fields=(f"Refer-To: <sip:{other.extension}@{server}>",))
    try:
        await agent.wait("SIP/2.0 202", "REFER")
        taking = await asyncio.wait_for(story.rung.get(), 3)
    except (Unexpected, TimeoutError):
        story.outcome = "the other seat was taken"
        talk.paused = False
        await _hang_up(story, citizen, agent)
        return
    story.dialogs.append(taking)
    await taking.wait("ACK ")
    if not agent.over:
        await agent.wait("BYE ")
    assert taking.media is not None
    talk.go_on(taking.media)
    await _talk(0.4)
    await _hang_up(story, citizen, taking)


async def recorded_by_others(story: Story) -> None:
    """Recording session (RFC 7866): an SBC sends both sides of a call of its own."""
    media = story.world.media
    pair = (media.address(0), media.address(1))
    body, kind = session_body(story.number, "8001", pair, 8)
    client = story.world.trunk
    dialog = client.start(f"soak-src-{story.n}", story.number, "recorder", body, ("Require: siprec",), kind)
    story.dialogs.append(dialog)
    ok = await dialog.wait("SIP/2.0 200", "INVITE")
    dialog.connect(ok)
    dialog.ack()
    story.answered = True
    for leg, target in enumerate(media_lines(ok)):
        media.talk(story.n, leg, target)
    await _talk()
    await _stop_talking(story)
    dialog.request("BYE")
    await dialog.wait("SIP/2.0 200", "BYE")


# -- an agent calls -----------------------------------------------------------------------------------------------------


async def _call_out(story: Story, number: str) -> tuple[Phone, Dialog] | None:
    """Dial with digest; None when no phone is free."""
    phone = story.world.free_phone()
    if phone is None:
        story.outcome = "no phone free"
        return None
    phone.busy_with = story.n
    body = sdp(story.world.media.address(1), 8)
    dialog = phone.party.start(f"soak-out-{story.n}", phone.extension, number, body)
    dialog.on_over = phone.free
    story.dialogs.append(dialog)
    challenge = await dialog.wait("SIP/2.0 401", "INVITE")
    given = credentials("INVITE", dialog.target, header(challenge, "WWW-Authenticate"), phone.extension, phone.password)
    dialog.request("INVITE", body=body, fields=(given,))
    return phone, dialog


async def outbound(story: Story) -> None:
    """The agent calls a citizen, who answers."""
    called = await _call_out(story, story.number)
    if called is None:
        return
    _, agent = called
    agent.connect(await agent.wait("SIP/2.0 200", "INVITE"))
    agent.ack()
    citizen = await story.rung.get()
    story.dialogs.append(citizen)
    await citizen.wait("ACK ")
    story.answered = True
    story.talk(citizen, 0)
    story.talk(agent, 1)
    await _talk()
    await _hang_up(story, *((agent, citizen) if story.n % 2 else (citizen, agent)))


async def _outbound_refused(story: Story, rings: str, number: str) -> None:
    story.rings = rings
    called = await _call_out(story, number)
    if called is None:
        return
    phone, agent = called
    answer = await agent.wait("SIP/2.0 ", "INVITE")
    while re.match(r"SIP/2\.0 (1|401)", answer):
        answer = await agent.wait("SIP/2.0 ", "INVITE")
    story.outcome = answer.split(" ")[1]
    phone.free()


async def outbound_busy(story: Story) -> None:
    """The citizen is busy."""
    await _outbound_refused(story, "busy", story.number)


async def outbound_forbidden(story: Story) -> None:
    """No dial rule has that number."""
    await _outbound_refused(story, "busy", f"00{story.number}")


async def outbound_cancelled(story: Story) -> None:
    """The agent gives up while it rings."""
    story.rings = "ring"
    called = await _call_out(story, story.number)
    if called is None:
        return
    phone, agent = called
    await agent.wait("SIP/2.0 18", "INVITE")
    agent.cancel(agent.branch)
    await agent.wait("SIP/2.0 487", "INVITE")
    phone.free()


# Forty calls in this proportion, over and over.
KINDS: dict[str, tuple[Callable[[Story], Awaitable[None]], int]] = {
    "answered": (answered, 9),
    "transferred": (transferred, 2),
    "recorded_by_others": (recorded_by_others, 2),
    "over_tcp": (over_tcp, 3),
    "late_offer": (late_offer, 1),
    "busy": (busy, 2),
    "declined": (declined, 1),
    "cancelled": (cancelled, 3),
    "unanswered": (unanswered, 1),
    "hold": (hold, 2),
    "reinvite": (reinvite, 2),
    "lost_bye": (lost_bye, 2),
    "deaf_to_bye": (deaf_to_bye, 1),
    "lost_ack": (lost_ack, 2),
    "outbound": (outbound, 4),
    "outbound_busy": (outbound_busy, 1),
    "outbound_forbidden": (outbound_forbidden, 1),
    "outbound_cancelled": (outbound_cancelled, 1),
}


def kind_of(n: int) -> str:
    """Which kind call n is; one in a hundred is never acknowledged."""
    if n % 100 == 50:
        return "never_acknowledged"
    order = [kind for kind, (_, times) in KINDS.items() for _ in range(times)]
    return order[n * 7 % len(order)]  # 7: neighbours differ


def story_of(kind: str) -> Callable[[Story], Awaitable[None]]:
    """The coroutine of a kind."""
    return never_acknowledged if kind == "never_acknowledged" else KINDS[kind][0]
