"""暂停录音 with a real recorder and phones: what is not kept, what is relayed all the same, and what a crash leaves."""

import asyncio
import json
import socket

import pytest

from callqa.demo.endpoint import AutoAnswer
from callqa.desk import DeskRouting
from callqa.journal import JournalKind
from callqa.live import LiveReply, parse_reply
from callqa.sip.events import DigitPressed, PauseAsked
from callqa.sip.media.spool import DigitMark, PacketRecord, PausedMark, ResumedMark, read_records
from callqa.sip.process.pause import BY_TIME, Pauses
from callqa.units import Channel
from tests.recorder.harness import LIMIT_S, Home, citizen, frames, make_desk, phone, until
from tests.recorder.test_watch import World


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    home = Home(tmp_path_factory.mktemp("pause"), make_desk(["8001"], pause_allowed=True))
    asyncio.run(home.start())
    yield home
    assert home.stop() == 0
    assert "Traceback" not in home.log.read_text()


async def order(home: Home, op: str, call_id: str, reason: str = "银行卡号") -> LiveReply:
    return await asyncio.to_thread(ask, home, {"op": op, "call_id": call_id, "actor": "li", "reason": reason})


def ask(home: Home, command: dict) -> LiveReply:
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(LIMIT_S)
        s.connect(str(home.settings.live_socket))
        s.sendall(json.dumps(command).encode() + b"\n")
        with s.makefile("rb") as lines:
            while (reply := parse_reply(lines.readline())) is None:
                pass
    return reply


TALK_FRAMES = 3000  # a minute: the tests hang up when they have seen what they want


class Talk:
    """A call in progress: both sides send frames that are all different until it is hung up."""

    def __init__(self, home: Home, number: str, seed: int) -> None:
        self.home, self.number = home, number
        self.said, self.answered = frames(seed, TALK_FRAMES), frames(seed + 1, TALK_FRAMES)

    async def __aenter__(self) -> "Talk":
        self.talker = await phone(self.home, "8001", AutoAnswer(0.02, self.answered, "PCMA"))
        self.caller = await citizen()
        self.call = await self.caller.call(self.home.server, "96510", self.said, "PCMA", caller=self.number)
        assert await self.call.answered
        self.agent = self.talker.incoming.get_nowait()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.talker.close()
        await self.caller.close()

    @property
    def call_id(self) -> str:
        (call,) = [c for c in self.home.board().calls if c.number == self.number]
        return call.call_id

    async def heard(self, n_frames: int) -> None:
        """Until both sides heard so many more frames through the relay."""
        wanted = min(self.call.heard_count, self.agent.heard_count) + n_frames
        await until("frames", lambda: min(self.call.heard_count, self.agent.heard_count) >= wanted)

    async def sidecar(self):
        found = await until("the sidecar", lambda: [s for s in self.home.sidecars() if s.from_number == self.number])
        return found[0]

    def kept(self, sidecar) -> tuple[list[bool], list[bool]]:
        """Of the frames of either side that the other heard: whether the master holds them."""
        data = (self.home.settings.recordings_dir / sidecar.recording.path).read_bytes()
        audio = data[data.index(b"data") + 8 :]
        return tuple(
            [frame.payload in audio[side::2] for frame in other.heard]
            for side, other in enumerate((self.agent, self.call))
        )


def spool_of(home: Home, call_id: str):
    return list(read_records((home.settings.spool_dir / f"{call_id}.spool").read_bytes()))


def paused_gaps(sidecar, channel):
    return [(g.start_ms, g.end_ms) for g in sidecar.gaps if g.channel == channel and g.kind == "paused"]


def test_what_is_said_in_a_pause_is_relayed_but_nowhere_kept(home):
    async def story():
        async with Talk(home, "13800000001", 10) as talk:
            await talk.heard(20)
            call_id = talk.call_id
            assert (await order(home, "pause", call_id)).ok
            assert (await order(home, "pause", call_id)).ok, "already so"
            (call,) = home.board().calls
            assert call.paused and abs(home.board().at_ms - call.paused_since_ms) < LIMIT_S * 1000
            await talk.heard(30)
            assert (await order(home, "resume", call_id)).ok
            assert not home.board().calls[0].paused
            await talk.heard(20)
            talk.call.hang_up()
            sidecar = await talk.sidecar()
            assert talk.answered.startswith(talk.call.heard_payload())
            assert talk.said.startswith(talk.agent.heard_payload())

            records = spool_of(home, call_id)
            marks = [r for r in records if isinstance(r, PausedMark | ResumedMark)]
            assert [type(m) for m in marks] == [PausedMark] * (len(marks) - 1) + [ResumedMark]
            assert (marks[0].by, marks[0].reason) == ("li", "银行卡号")
            during = [
                r for r in records if isinstance(r, PacketRecord) and marks[0].at_ns < r.arrival_ns < marks[-1].at_ns
            ]
            assert during == []
            for side, kept in enumerate(talk.kept(sidecar)):
                missing = [k for k, is_kept in enumerate(kept) if not is_kept]
                assert len(missing) >= 25 and kept[-1] and missing == list(range(missing[0], missing[-1] + 1))
                ((start_ms, end_ms),) = paused_gaps(sidecar, side)
                assert 0 <= end_ms - start_ms - len(missing) * 20 <= 1, (
                    "as long as what is missing; both ends are rounded outwards"
                )
                assert [s.lost for s in sidecar.streams] == [0, 0]
            (note,) = sidecar.pauses
            assert (note.by, note.reason) == ("li", "银行卡号")
            lines = [e for e in home.journal() if e.call_id == call_id]
            asked = [e for e in lines if e.kind in (JournalKind.RECORDING_PAUSED, JournalKind.RECORDING_RESUMED)]
            assert [(e.kind.value, e.facts["by"]) for e in asked] == [
                ("recording_paused", "li"),
                ("recording_resumed", "li"),
            ]
            assert asked[0].facts["reason"] == "银行卡号"
            assert (await order(home, "pause", call_id)).text == "这通电话已经结束"

    asyncio.run(story())


def test_hanging_up_in_a_pause_still_gives_a_whole_recording(home):
    async def story():
        async with Talk(home, "13800000002", 20) as talk:
            await talk.heard(15)
            assert (await order(home, "pause", talk.call_id)).ok
            await talk.heard(20)
            talk.call.hang_up()
            sidecar = await talk.sidecar()
            assert not sidecar.recovered
            for side in (0, 1):
                ((_, end_ms),) = paused_gaps(sidecar, side)
                assert end_ms == sidecar.recording.duration_ms
            assert sidecar.pauses[0].until_ms is None
            assert "recording_resumed" not in [e.kind for e in home.journal() if e.call_id == sidecar.call_id]

    asyncio.run(story())


async def inform(call, *fields: tuple[str, str]) -> int:
    """INFO from one of the phones; the status of its answer."""
    endpoint, done = call._endpoint, asyncio.get_running_loop().create_future()
    request = call.leg.dialog.request("INFO", fields=fields)
    hop = call.leg.dialog.next_hop
    endpoint.core.transactions.request(
        request, hop, endpoint.core.local(hop), endpoint.now,
        on_response=lambda response, *_: done.done() or done.set_result(response.status),
        on_timeout=lambda _: done.set_result(408),
    )  # fmt: skip
    endpoint.flush()
    return await asyncio.wait_for(done, LIMIT_S)


def test_a_phone_pauses_and_resumes_by_info(home):
    async def story():
        async with Talk(home, "13800000005", 50) as talk:
            await talk.heard(10)
            assert await inform(talk.agent, ("Record", "off")) == 200
            await until("the pause", lambda: home.board().calls[0].paused)
            assert await inform(talk.agent, ("Record", "on")) == 200
            await until("its end", lambda: not home.board().calls[0].paused)
            talk.call.hang_up()
            sidecar = await talk.sidecar()
            assert [(p.by, p.reason) for p in sidecar.pauses] == [("8001", "话机按键")]

    asyncio.run(story())


def test_keys_sent_beside_the_audio_are_not_kept_in_a_pause():
    world = World()
    world.book.pauses.policy = DeskRouting(pause_allowed=True)
    for key, pause in (("5", True), ("7", False), ("9", None)):
        world.take(DigitPressed("C1", world.now, Channel.CITIZEN, key, 100))
        if pause is not None:
            world.take(PauseAsked("C1", world.now, pause, "8001"))
    assert [m.digit for m in read_records(world.disk.data) if isinstance(m, DigitMark)] == ["5", "9"]


def test_who_asks_for_a_call_that_is_not_there_or_not_answered_is_told(home):
    assert ask(home, {"op": "pause", "call_id": "NONE", "actor": "li", "reason": "x"}).text == "这通电话已经结束"
    assert ask(home, {"op": "resume", "call_id": "NONE", "actor": "li"}).text == "这通电话已经结束"
    assert not ask(home, {"op": "pause", "call_id": "N" * 100, "actor": "li", "reason": "x"}).ok


def test_a_crash_in_a_pause_is_known_after_the_restart(tmp_path):
    home = Home(tmp_path, make_desk(["8001"], pause_allowed=True))

    async def story():
        await home.start()
        async with Talk(home, "13800000003", 30) as talk:
            await talk.heard(15)
            call_id = talk.call_id
            assert (await order(home, "pause", call_id)).ok
            # The mark is written again once a second: the second one is on the disk.
            await until("two marks", lambda: sum(isinstance(r, PausedMark) for r in spool_of(home, call_id)) >= 2)
            home.kill()
            await home.start()
            sidecar = await talk.sidecar()
        assert sidecar.recovered and sidecar.pauses[0].until_ms is None
        for side in (0, 1):
            ((start_ms, end_ms),) = paused_gaps(sidecar, side)
            assert end_ms - start_ms >= 400 and end_ms == sidecar.recording.duration_ms

    try:
        asyncio.run(story())
    finally:
        assert home.stop() == 0


def test_a_pause_that_the_routing_does_not_allow_is_refused_and_told(tmp_path):
    home = Home(tmp_path, make_desk(["8001"]))

    async def story():
        await home.start()
        async with Talk(home, "13800000004", 40) as talk:
            reply = await order(home, "pause", talk.call_id)
            assert not reply.ok and "线路设置不允许暂停录音" in reply.text
            assert any("要求暂停录音，但线路设置不允许" in f.text for f in home.board().faults)
            await talk.heard(20)
            talk.call.hang_up()
            sidecar = await talk.sidecar()
            assert all(all(kept) for kept in talk.kept(sidecar))

    try:
        asyncio.run(story())
    finally:
        assert home.stop() == 0


class FakeCall:
    """A call whose marks are only collected."""

    call_id, media_over, pause_reason = "C", False, ("", "")

    def __init__(self) -> None:
        self.answered_ns, self.paused_ns, self.kept, self.marks = 1, None, True, []

    def keep(self, kept):
        self.kept = kept

    def mark(self, mark):
        self.marks.append(mark)

    def at_ms(self, at_ns):
        return at_ns // 1_000_000


class Hands:
    """Clock, faults and journal of a test."""

    def __init__(self) -> None:
        self.now_ns, self.told, self.noted = 1_000_000_000, [], []

    def monotonic_ns(self):
        return self.now_ns

    def tell(self, text, **_):
        self.told.append(text)

    def note(self, kind, _call, at_ms, **facts):
        self.noted.append((kind, at_ms, facts))


@pytest.fixture
def hands():
    return Hands()


@pytest.fixture
def pauses(hands):
    pauses = Pauses(hands, hands, hands.note)
    pauses.policy = DeskRouting(pause_allowed=True, pause_longest_s=30)
    return pauses


def test_a_forgotten_pause_ends_by_itself_and_is_told(pauses, hands):
    call = FakeCall()
    assert pauses.pause(call, "8001", "银行卡号") == ""
    for _ in range(29):
        hands.now_ns += 1_000_000_000
        assert not pauses.sweep([call])
    assert not call.kept and len(call.marks) == 30, "written again each second"
    hands.now_ns += 1_000_000_000
    assert pauses.sweep([call])
    assert call.kept and call.paused_ns is None
    assert isinstance(call.marks[-1], ResumedMark) and call.marks[-1].by == BY_TIME
    assert hands.told == ["录音暂停满 30 秒，已自动继续"]
    assert [(k.value, at, f["by"]) for k, at, f in hands.noted] == [
        ("recording_paused", 1000, "8001"), ("recording_resumed", 31_000, BY_TIME),
    ]  # fmt: skip


def test_a_pause_needs_an_answered_call_that_is_not_over(pauses, hands):
    call = FakeCall()
    call.answered_ns = None
    assert "还没有接通" in pauses.pause(call, "8001", "x")
    call.answered_ns, call.media_over = 1, True
    assert "已经结束" in pauses.pause(call, "8001", "x") and "已经结束" in pauses.resume(call, "8001")
    assert (call.marks, hands.noted) == ([], [])


def test_going_on_is_allowed_even_where_pausing_no_longer_is(pauses):
    call = FakeCall()
    pauses.pause(call, "8001", "x")
    pauses.policy = DeskRouting()
    assert pauses.pause(call, "8001", "x") != ""
    assert pauses.resume(call, "8001") == "" and call.kept
