"""Run the story of one seed and say what was wrong with it."""

import gc
import hashlib
import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from tests.simulate import invariants
from tests.simulate.hostile import send_hostile
from tests.simulate.loop import SECOND_NS
from tests.simulate.peer import Peer, Talk
from tests.simulate.plan import BlowPlan, CallPlan, ConsultPlan, Plan, draw
from tests.simulate.world import Attempt, Ears, World

PATIENCE_S = 3.0  # nobody listens longer to a dead line
SETTLE_S = 33.0  # 64 T1 and a little
AGAIN_S = 70.0  # the finalizer's second try after a disk trouble


@dataclass(frozen=True, slots=True)
class Told:
    """How one story went. hash: of all that was delivered and of all files at the end."""

    seed: int
    violations: tuple[str, ...]
    hash: str
    calls: int
    answered: int
    crashes: int
    power_cuts: int
    packets: int
    events: int


def tell(plan: Plan | int, trace: Callable[[str], None] | None = None) -> Told:
    """Run one story from its plan or seed."""
    if isinstance(plan, int):
        plan = draw(plan)
    collecting = gc.isenabled()
    gc.disable()  # objects of a killed life are swept between stories, not in them
    world = World(plan, trace)
    ears = Ears(world)
    logger = logging.getLogger("callqa")
    before = (logger.level, logger.propagate, list(logger.handlers))
    logger.handlers, logger.propagate = [ears], False
    logger.setLevel(logging.WARNING)
    try:
        _play(world)
        invariants.check(world)
    finally:
        logger.handlers, logger.propagate = before[2], before[1]
        logger.setLevel(before[0])
        if collecting:
            gc.enable()
    return Told(
        plan.seed,
        tuple(world.violations),
        _hash(world),
        len(world.attempts),
        sum(1 for a in world.attempts.values() if a.ok_ns),
        sum(1 for b in world.blows if not b.power),
        sum(1 for b in world.blows if b.power),
        world.net.packets,
        world.work.events,
    )


def _hash(world: World) -> str:
    digest = hashlib.sha256(f"{world.net.crc} {world.net.packets} {world.work.events}".encode())
    for folder in sorted(world.disk.folders):
        for name, inode in sorted(world.disk.folders[folder].items()):
            digest.update(f"{folder}/{name} {len(inode.data)} ".encode())
            digest.update(inode.data)
    return digest.hexdigest()[:32]


def _play(world: World) -> None:
    plan, work = world.plan, world.work
    start_ns = work.now_ns
    world.start()
    if not plan.saved_registrations:
        for phone in world.phones:
            work.after(10_000_000, phone.register)
    lead_s = 0.3 if plan.saved_registrations else 0.8

    def at(seconds: float, call: Callable[..., object], *args: object) -> None:
        work.at_ns(start_ns + int((lead_s + seconds) * SECOND_NS), call, *args)

    for i, call in enumerate(plan.calls):
        at(call.at_s, _begin, world, i, call)
    for blow in (plan.blow, plan.second_blow):
        if blow is not None:
            if blow.power:  # the worker has read what the disk has not got yet
                at(blow.at_s - world.rng.choice((0.01, 0.1, 0.5)), world.read_journal)
            at(blow.at_s, _strike, world, blow)
    if plan.trouble is not None:
        t = plan.trouble
        at(t.at_s, world.trouble_begins, t.errno, t.where)
        at(t.at_s + t.for_s, world.trouble_ends)
    for when_s, seconds in plan.steps:
        at(when_s, world.step_clock, seconds)
    if plan.stops_at_s is not None:
        at(plan.stops_at_s, world.tell_to_stop)
        for later_s in (3.0, 9.0, 16.0):  # the stop may take its graces
            at(plan.stops_at_s + later_s, world.start)
    if plan.hostile:
        send_hostile(world, at, plan.last_s)
    for _ in range(2):
        at(world.rng.uniform(0, plan.last_s + 2), world.read_journal)
    end_s = plan.last_s + lead_s + PATIENCE_S
    if plan.second_blow is not None:
        end_s = max(end_s, plan.second_blow.at_s + lead_s + 1)
    if plan.trouble is not None:
        end_s = max(end_s, plan.trouble.at_s + plan.trouble.for_s + lead_s)
    work.run_until(start_ns + int(end_s * SECOND_NS))
    for peer in (world.trunk, *world.phones):
        for talk in peer.talks.values():
            if talk.state != "over":
                peer.end(talk)
    _let_settle(world)
    if plan.trouble is not None or plan.child_dies:
        work.run_until(work.now_ns + int(AGAIN_S * SECOND_NS))
    if world.run is None:
        world.start()
        work.run_until(work.now_ns + 3 * SECOND_NS)
    invariants.check_at_rest(world)
    _stop(world)
    left_over = plan.trouble is not None or plan.child_dies > 0  # may be left for the next start
    if left_over or plan.seed % 4 == 0:
        once = invariants.calls_in_journal(world)
        world.at_peace = True
        world.start()
        work.run_until(work.now_ns + 3 * SECOND_NS)
        _stop(world)
        if not left_over and invariants.calls_in_journal(world) != once:
            world.wrong("a start with nothing to do changes nothing", "the journal has more of a call than before")
    world.read_journal()


def _let_settle(world: World) -> None:
    """64 T1 after the last SIP message, which must come to an end."""
    for _ in range(5):
        world.work.run_until(max(world.net.last_sip_ns, world.work.now_ns - 30 * SECOND_NS) + int(SETTLE_S * SECOND_NS))
        if world.work.now_ns - world.net.last_sip_ns >= int(SETTLE_S * SECOND_NS):
            return
    world.wrong("talk comes to an end", "there is SIP for minutes after every call was over")


def _stop(world: World) -> None:
    run = world.run
    if run is None:
        world.wrong("the recorder runs", "it is gone before it was told to stop")
        return
    world.tell_to_stop()
    world.work.run_until(world.work.now_ns + 20 * SECOND_NS, lambda: world.run is None)
    invariants.check_stopped(world, run)


def _strike(world: World, blow: BlowPlan) -> None:
    run = world.run
    strike = world.cut_power if blow.power else world.kill
    if run is None:
        return
    if blow.in_operation is None:
        strike(blow.back_after_s)
        return
    run.files.kill_in = blow.in_operation
    run.files.on_killed = partial(strike, blow.back_after_s)


def _begin(world: World, i: int, plan: CallPlan) -> None:
    attempt = Attempt(i, plan.inbound)
    if plan.inbound:
        caller, number, shown = world.trunk, "02784770000", attempt.key
        for _n, phone in enumerate(world.phones):
            phone.on_invite = _phone_acts
        world.begin(caller, attempt, number, shown)
    else:
        caller = world.phones[plan.seat % len(world.phones)]
        world.trunk.on_invite = _phone_acts
        world.begin(caller, attempt, attempt.key, caller.user)
    talk = attempt.caller
    assert talk is not None
    if plan.gives_up_s is not None:
        _later(world, plan.gives_up_s, caller.give_up, talk)
    _watch_answer(world, caller, talk, plan, 0)
    _later(world, world.plan.ring_timeout_s + plan.talk_s + PATIENCE_S, caller.end, talk)


def _watch_answer(world: World, caller: Peer, talk: Talk, plan: CallPlan, tries: int) -> None:
    """What the caller does from the moment on that he is answered."""
    if talk.state == "over" or tries > 4000:
        return
    if talk.state != "talking":
        world.work.after(20_000_000, _watch_answer, world, caller, talk, plan, tries + 1)
        return
    _talk(world, caller, talk, plan)


def _talk(world: World, peer: Peer, talk: Talk, plan: CallPlan) -> None:
    mine = "caller" if talk.caller else "callee"
    if plan.ends in (mine, "both"):
        _later(world, plan.talk_s, peer.end, talk)
    else:
        _later(world, plan.talk_s + PATIENCE_S, peer.end, talk)
    for hold in plan.holds:
        if hold.by_caller == talk.caller:
            _later(world, hold.after_s, peer.hold, talk, hold.direction)
            _later(world, hold.after_s + hold.for_s, peer.hold, talk, "sendrecv")
    if peer in world.phones:
        _seat_does(world, peer, talk, plan)
    if plan.new_stream_after_s is not None:
        _later(world, plan.new_stream_after_s, _new_stream, world, talk, plan.jump)
    if plan.vanish_after_s is not None and talk.caller:
        _later(world, plan.vanish_after_s, _go_silent, world, talk)
    if not plan.speaks:
        talk.sends = False


def _seat_does(world: World, peer: Peer, talk: Talk, plan: CallPlan) -> None:
    """What only an agent does in a call."""
    if plan.pauses is not None:
        after_s, for_s = plan.pauses
        _later(world, after_s, peer.inside, talk, "INFO", "Record: off")
        _later(world, after_s + for_s, peer.inside, talk, "INFO", "Record: on")
    if plan.consult is not None and not talk.caller and talk.attempt == 0:
        _later(world, plan.consult.after_s, peer.hold, talk, "sendonly")
        _later(world, plan.consult.after_s + 0.15, _ask_colleague, world, peer, talk, plan.consult)
    first = sum(1 for t in world.attempts[talk.attempt].callees if t.state in ("talking", "answered", "over")) <= 1
    if plan.transfer is not None and first and not talk.caller:
        t = plan.transfer
        refer_to = f"Refer-To: <sip:{t.to}@{world.server[0]}>"
        _later(world, t.after_s, peer.inside, talk, "REFER", refer_to)
        if t.leaves_at_once:
            _later(world, t.after_s + 0.1, peer.hang_up, talk)


def _ask_colleague(world: World, peer: Peer, talk: Talk, consult: ConsultPlan) -> None:
    """The seat's second call, and what comes of it. He asks once, also when the call comes to his phone a second time."""
    if talk.state != "talking" or talk.hangs_up:
        return
    attempt = Attempt(len(world.plan.calls), False, consult=(peer.user, consult.to))
    if attempt.number in world.attempts:
        peer.hold(talk, "sendrecv")
        return
    world.attempts[attempt.number] = attempt
    world.say(f"{peer.user} asks {consult.to}: call {attempt.number}")
    second = attempt.caller = peer.call(attempt.number, consult.to, peer.user)
    world.by_sip_call_id[second.call_id] = attempt
    _later(world, 3.0, peer.end, second)

    def watch(tries: int) -> None:
        if second.state == "talking" and consult.joins_after_s is not None:
            _later(world, consult.joins_after_s, _join, world, peer, talk, second, consult)
        elif second.state == "over":
            peer.hold(talk, "sendrecv")
        elif tries < 200:
            _later(world, 0.02, watch, tries + 1)

    watch(0)


def _join(world: World, peer: Peer, talk: Talk, second: Talk, consult: ConsultPlan) -> None:
    if second.state != "talking" or second.hangs_up:
        return
    their, our = (tag.partition("tag=")[2] for tag in (second.their, second.our))
    named = f"{second.call_id.replace('@', '%40')}%3Bto-tag%3D{their}%3Bfrom-tag%3D{our}"
    peer.inside(talk, "REFER", f"Refer-To: <sip:{consult.to}@{world.server[0]}?Replaces={named}>")
    if consult.leaves_at_once:
        _later(world, 0.1, peer.hang_up, talk)
        _later(world, 0.12, peer.hang_up, second)


def _colleague_acts(peer: Peer, talk: Talk, consult: ConsultPlan) -> None:
    """The phone that is asked."""
    world = peer.world
    _later(world, 0.01, peer.ring, talk)
    if consult.answer_after_s is not None:
        _later(world, 0.02 + consult.answer_after_s, peer.answer, talk)
    _later(world, world.plan.ring_timeout_s + 4 * PATIENCE_S, peer.end, talk)


def _go_silent(world: World, talk: Talk) -> None:
    """No media any more, from nobody: the recorder has to end the call."""
    attempt = world.attempts[talk.attempt]
    for t in (attempt.caller, *attempt.callees):
        if t is not None:
            t.sends = False


def _new_stream(world: World, talk: Talk, jump: int) -> None:
    """Another source (SSRC), or the same with a jump of its clock."""
    voice = talk.voice
    if voice is None:
        return
    if jump:
        voice.timestamp = voice.timestamp + jump & 0xFFFFFFFF
    else:
        voice.ssrc = world.rng.getrandbits(32)
        voice.timestamp, voice.sequence = world.rng.getrandbits(32), world.rng.getrandbits(16)
    voice.begins.append(voice.number)
    voice.marker = True


def _phone_acts(peer: Peer, talk: Talk) -> None:
    world = peer.world
    if talk.attempt < 0:
        return
    if talk.attempt == len(world.plan.calls):
        consult = world.plan.calls[0].consult
        assert consult is not None
        _colleague_acts(peer, talk, consult)
        return
    plan = world.plan.calls[talk.attempt]
    _later(world, 0.002 + world.rng.random() * 0.03, peer.ring, talk)
    if plan.transfer is not None and world.attempts[talk.attempt].ok_ns:  # the call comes a second time
        if plan.transfer.answer_after_s is not None:
            _later(world, 0.04 + plan.transfer.answer_after_s, _answer, world, peer, talk, plan)
        _later(world, world.plan.ring_timeout_s + plan.talk_s + 3 * PATIENCE_S, peer.end, talk)
        return
    mine = not plan.inbound or peer is world.phones[plan.seat % len(world.phones)]
    if plan.answer_after_s is not None and (mine or plan.two_answer):
        jitter_s = 0.0 if mine else world.rng.random() * 0.01
        _later(world, 0.003 + plan.answer_after_s + jitter_s, _answer, world, peer, talk, plan)
    elif plan.refuse and plan.answer_after_s is None:
        _later(world, 0.1 + world.rng.random(), peer.refuse, talk, plan.refuse)
    _later(world, world.plan.ring_timeout_s + plan.talk_s + 3 * PATIENCE_S, peer.end, talk)


def _answer(world: World, peer: Peer, talk: Talk, plan: CallPlan) -> None:
    if talk.state == "ringing":
        peer.answer(talk)
        _talk(world, peer, talk, plan)


def _later(world: World, seconds: float, call: Callable[..., object], *args: object) -> None:
    world.work.after(int(seconds * SECOND_NS), call, *args)
