"""Transfers through a real recorder: one call is one file, left the citizen throughout, right whoever had the call."""

import asyncio

import pytest

from callqa.demo.endpoint import AutoAnswer, Endpoint, Refuse, RingForever
from callqa.demo.endpoint_call import EndpointCall
from callqa.journal import JournalKind
from callqa.sip.legs.leg import Leg
from callqa.sip.legs.transaction import Transaction
from tests.recorder.harness import Home, citizen, frames, inner_gaps, make_desk, phone, talked_out, until

FRAME_BYTES = 160


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    home = Home(tmp_path_factory.mktemp("transfer"), make_desk(["8001", "8002", "8003"]))
    asyncio.run(home.start())
    yield home
    assert home.stop() == 0
    assert "Traceback" not in home.log.read_text()


def ask(endpoint: Endpoint, leg: Leg, method: str, *fields: tuple[str, str]) -> None:
    hop = leg.dialog.next_hop
    request = leg.dialog.request(method, fields=fields)
    endpoint.core.transactions.request(request, hop, endpoint.core.local(hop), endpoint.now)
    endpoint.flush()


def refer(endpoint: Endpoint, call: EndpointCall, to: str) -> list[str]:
    """Ask for a transfer; what the NOTIFYs say comes into the list."""
    told: list[str] = []

    def notified(leg: Leg, t: Transaction, now: float) -> bool:
        if t.request.method == "NOTIFY":
            told.append(t.request.body.decode().strip().removeprefix("SIP/2.0 "))
            endpoint.core.transactions.reply(t, 200, now)
        return t.request.method == "NOTIFY"

    assert call.leg is not None
    call.leg.on_request = notified
    ask(endpoint, call.leg, "REFER", ("Refer-To", to))
    return told


def sides(home: Home, sidecar) -> tuple[bytes, bytes]:
    master = (home.settings.recordings_dir / sidecar.recording.path).read_bytes()
    audio = master[master.index(b"data") + 8 :]
    return audio[0::2], audio[1::2]


def of_number(home: Home, number: str):
    return [s for s in home.sidecars() if number in (s.from_number, s.to_number)]


async def close(*endpoints: Endpoint) -> None:
    """Phones sign off, so that the next story's seat has no other phone that rings unheard."""
    for endpoint in endpoints:
        if endpoint.host == "127.0.0.1":
            await endpoint.unregister()
        await endpoint.close()


def test_a_call_that_was_transferred_is_one_recording_with_both_agents_on_the_right(home):
    async def story():
        said, first, then = frames(11, 250), frames(12, 40), frames(13, 40)
        one = await phone(home, "8001", AutoAnswer(0.02, first, "PCMA"))
        caller = await citizen()
        call = await caller.call(home.server, "96510", said, "PCMA", caller="13800000101")
        assert await call.answered
        his = one.incoming.get_nowait()
        two = await phone(home, "8002", AutoAnswer(0.02, then, "PCMA"))
        await until("all of the first", lambda: first[-FRAME_BYTES:] in call.heard_payload())
        told = refer(one, his, f"<sip:8002@{home.server[0]}>")
        assert await his.ended == "remote"
        hers = await two.incoming.get()
        await until("all of the second", lambda: then[-FRAME_BYTES:] in call.heard_payload())
        assert [c.seat_extension for c in home.board().calls] == ["8002"]
        hers.hang_up()
        (sidecar,) = await until("the sidecar", lambda: of_number(home, "13800000101"))
        left, right = sides(home, sidecar)
        assert first in right and then in right and right.index(first) < right.index(then)
        sent = said[: call.sent_count * FRAME_BYTES]
        assert left.startswith(sent[: 100 * FRAME_BYTES]) or sent[: 100 * FRAME_BYTES] in left
        assert told == ["100 Trying", "200 OK"] or told[-1] == "200 OK"
        (moved,) = sidecar.transfers
        assert (moved.kind, moved.to, moved.seat_extension, moved.by) == ("blind", "8002", "8002", "8001")
        assert sidecar.seat_extension == "8002" and len(sidecar.sip_call_ids) == 3
        assert not sidecar.faults and {g.kind for g in sidecar.gaps if g.channel == 0} <= {"no_media"}
        assert sidecar.answered_at_ms < moved.at_ms < sidecar.ended_at_ms
        (line,) = home.journal(JournalKind.CALL_TRANSFERRED)
        assert (line.at_ms, line.call_id, line.facts["to"], line.facts["by"]) == (
            moved.at_ms,
            sidecar.call_id,
            "8002",
            "8001",
        )
        assert then in hers.payload and hers.heard_payload() in said, "she hears him, from where he was"
        await close(one, two, caller)

    asyncio.run(story())


def test_a_failed_transfer_leaves_one_recording_without_a_seam(home):
    async def story():
        said, first = frames(21, 80), frames(22, 80)
        one = await phone(home, "8001", AutoAnswer(0.02, first, "PCMA"))
        caller = await citizen()
        call = await caller.call(home.server, "96510", said, "PCMA", caller="13800000102")
        assert await call.answered
        his = one.incoming.get_nowait()
        two = await Endpoint("127.0.0.1", on_invite=lambda _: Refuse(status=486)).start()
        assert await two.register(home.server, "8002", "pw-8002") == 200
        told = refer(one, his, f"<sip:8002@{home.server[0]}>")
        await until("the refusal", lambda: told and told[-1] == "486 Busy Here")
        await talked_out(call, his)
        call.hang_up()
        (sidecar,) = await until("the sidecar", lambda: of_number(home, "13800000102"))
        left, right = sides(home, sidecar)
        assert said in left and first in right and not sidecar.transfers and not inner_gaps(sidecar)
        await close(one, two, caller)

    asyncio.run(story())


def test_a_consult_call_is_a_recording_of_its_own_and_its_far_end_joins_the_citizens(home):
    async def story():
        said, first, asked = frames(31, 3000), frames(32, 30), frames(33, 3000)
        one = await phone(home, "8001", AutoAnswer(0.02, first, "PCMA"))
        caller = await citizen()
        call = await caller.call(home.server, "96510", said, "PCMA", caller="13800000103")
        assert await call.answered
        his = one.incoming.get_nowait()
        await his.played
        assert await his.hold() == 200
        two = await phone(home, "8002", AutoAnswer(0.02, asked, "PCMA"))
        consult = await one.call(home.server, "8002", frames(34, 25), "PCMA", caller="8001")
        assert await consult.answered
        hers = await two.incoming.get()
        await consult.played
        d = consult.leg.dialog
        named = f"{d.call_id}%3Bto-tag%3D{d.remote_tag}%3Bfrom-tag%3D{d.local_tag}".replace("@", "%40")
        told = refer(one, his, f"<sip:8002@{home.server[0]}?Replaces={named}>")
        assert await his.ended == "remote" and await consult.ended == "remote"
        assert told[-1] == "200 OK" and not hers.ended.done()
        await until("a second of her at the citizen's", lambda: call.heard_payload()[-50 * FRAME_BYTES :] in asked)
        said_to_him = call.heard_payload()[-50 * FRAME_BYTES :]
        hers.hang_up()
        assert await call.ended == "remote"
        (sidecar,) = await until("the sidecar", lambda: of_number(home, "13800000103"))
        (consults,) = await until("the consult's", lambda: of_number(home, "8002"))
        _left, right = sides(home, sidecar)
        theirs, ours = sides(home, consults)
        assert first in right and frames(34, 25) in ours
        assert asked[: 20 * FRAME_BYTES] in theirs and said_to_him in asked and said_to_him in right
        assert (sidecar.related, consults.related) == ((consults.call_id,), (sidecar.call_id,))
        assert [(t.kind, t.to, t.by) for t in sidecar.transfers] == [("attended", "8002", "8001")]
        assert sidecar.seat_extension == "8002" and consults.seat_extension == "8001" and not consults.transfers
        assert "held" in {g.kind for g in sidecar.gaps} and not sidecar.faults and not consults.faults
        await close(one, two, caller)

    asyncio.run(story())


def test_a_call_that_a_colleague_picked_up_while_it_rang_is_recorded_as_hers(home):
    async def story():
        said, hers = frames(51, 60), frames(52, 60)
        one = await Endpoint("127.0.0.1", on_invite=lambda _: RingForever()).start()
        assert await one.register(home.server, "8001", "pw-8001") == 200
        caller = await citizen()
        call = await caller.call(home.server, "96510", said, "PCMA", caller="13800000105")
        rings = await one.incoming.get()
        await until("the board", lambda: [s for s in home.board().seats if s.ringing])
        two = await phone(home, "8002", AutoAnswer(0.02, b"", "PCMA"))
        d = rings.leg.dialog
        named = f"{d.call_id};to-tag={d.remote_tag};from-tag={d.local_tag};early-only"
        picked = await two.call(home.server, "8001", hers, "PCMA", {"Replaces": named}, caller="8002")
        assert await picked.answered and await call.answered
        assert await rings.ended
        await talked_out(call, picked)
        call.hang_up()
        (sidecar,) = await until("the sidecar", lambda: of_number(home, "13800000105"))
        left, right = sides(home, sidecar)
        assert said in left and hers in right and not inner_gaps(sidecar) and not sidecar.faults
        assert sidecar.seat_extension == "8002" and not sidecar.transfers and sidecar.direction == "inbound"
        assert picked.leg.dialog.call_id in sidecar.sip_call_ids
        (answered,) = [e for e in home.journal(JournalKind.CALL_ANSWERED) if e.call_id == sidecar.call_id]
        assert answered.facts["seat_extension"] == "8002"
        await close(one, two, caller)

    asyncio.run(story())


def test_a_mark_is_in_the_sidecar_when_it_comes_in_time_and_in_the_journal_always(home):
    async def story():
        one = await phone(home, "8001", AutoAnswer(0.02, frames(41, 20), "PCMA"))
        caller = await citizen()
        call = await caller.call(home.server, "96510", frames(42, 20), "PCMA", caller="13800000104")
        assert await call.answered
        his = one.incoming.get_nowait()
        for code in ("*135", "*13#"):
            marking = await one.call(home.server, code, b"", "PCMA", caller="8001")
            assert await marking.answered is (code == "*135")
        await asyncio.gather(his.played, call.played)
        call.hang_up()
        (sidecar,) = await until("the sidecar", lambda: of_number(home, "13800000104"))
        late = await one.call(home.server, "*131", b"", "PCMA", caller="8001")
        assert await late.answered
        lines = await until("both lines", lambda: home.journal(JournalKind.CALL_MARKED)[1:])
        marks = home.journal(JournalKind.CALL_MARKED)
        assert lines and [(e.call_id, e.facts["code"], e.facts["seat_extension"]) for e in marks] == [
            (sidecar.call_id, "5", "8001"), (sidecar.call_id, "1", "8001"),
        ]  # fmt: skip
        assert [(m.at_ms, m.code) for m in sidecar.marks] == [(marks[0].at_ms, "5")]
        await close(one, caller)

    asyncio.run(story())
