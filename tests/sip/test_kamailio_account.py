"""Kamailio as a provider that wants us to register and that challenges every request of ours but ACK: inside calls too."""

import asyncio
import hashlib
from pathlib import Path

import pytest

from callqa.demo.endpoint import AutoAnswer
from callqa.desk import Desk, DeskTrunk, DialRule, save_desk
from callqa.sip.wire.message import Request
from tests.conftest import need_tool
from tests.recorder.harness import Home, citizen, frames, make_desk, phone, until
from tests.sip.test_kamailio_story import CITIZEN_NUMBER, CONFIG, PBX, Pbx, Traced, read_trace, there_and_back
from tests.sip.test_sipp_stories import in_order
from tests.sip.test_stream_sockets import certificate

pytestmark = pytest.mark.slow

ACCOUNT, REALM, SECRET = "02784770000", "ims.example", "provider-pw"
REFRESHED_S = 10  # the shortest session there is: refreshed after 5 s
ROUTE = """loadmodule "usrloc.so"
loadmodule "registrar.so"
loadmodule "auth.so"
request_route {{
    if (!mf_process_maxfwd_header("10")) {{ sl_send_reply("483", "Too Many Hops"); exit; }}
    if (is_method("OPTIONS") && !has_totag()) {{ sl_send_reply("200", "OK"); exit; }}
    if ($si == "{recorder}" && !is_method("ACK|CANCEL")) {{
        if (!pv_www_authenticate("REALM", "SECRET", "0")) {{ www_challenge("REALM", "1"); exit; }}
        consume_credentials();
    }}
    if (is_method("REGISTER")) {{ save("location"); exit; }}
    if (has_totag()) {{
        if (!loose_route()) {{ sl_send_reply("404", "Not Here"); exit; }}
        t_relay();
        exit;
    }}
    if (is_method("CANCEL")) {{ if (t_check_trans()) {{ t_relay(); }} exit; }}
    record_route();
    if ($si == "{citizen}") {{
        remove_hf("Allow");  # who calls seems to know no UPDATE: the first refresh is a re-INVITE, whose 200 says better
        if (!lookup("location")) {{ sl_send_reply("404", "Not Registered"); exit; }}
    }} else {{ $du = "sip:{citizen}:{citizen_port}"; }}
    t_relay();
}}
"""
PROVIDER = CONFIG.partition("request_route")[0] + ROUTE.replace("REALM", REALM).replace("SECRET", SECRET)


def with_account(desk: Desk, port: int) -> Desk:
    known = hashlib.md5(f"{ACCOUNT}:{REALM}:{SECRET}".encode()).hexdigest()
    trunk = DeskTrunk(
        name="IMS", addresses=(), host=PBX, port=port, register_here=True, username=ACCOUNT, domain=REALM, realm=REALM,
        ha1_md5=known,
    )  # fmt: skip
    rules = (DialRule(pattern=r"1[3-9]\d{9}", trunk="IMS"),)
    return desk.model_copy(update={"trunks": (trunk,), "dial_plan": rules})


async def story(home: Home, folder: Path) -> list[Traced]:
    caller = await citizen()
    caller.on_invite = lambda _: AutoAnswer(0.05, frames(4, 100), "PCMA")
    pbx = Pbx(folder, home.port, "udp", caller.port, PROVIDER)
    await pbx.start()
    try:
        save_desk(home.settings.desk_path, with_account(make_desk(["8001"]), pbx.ports["udp"]))
        await home.start()
        await until("the registration", lambda: (b := home.board()) and b.trunks[0].text == "已登记")
        seat = await phone(home, "8001", AutoAnswer(0.05, frames(2, 600), "PCMA"))
        timer = {"Session-Expires": f"{REFRESHED_S};refresher=uas"}
        front = (PBX, pbx.ports["udp"])
        call = await caller.call(
            front, ACCOUNT, frames(1, 550), "PCMA", timer, caller=CITIZEN_NUMBER
        )  # 11 s: refreshed twice
        await there_and_back(home, caller, seat, call, frames(3, 50))
    finally:
        home.stop()
        pbx.stop()
        await caller.close()
    return read_trace(pbx.trace)


def test_an_account_at_a_provider_that_challenges_every_request(tmp_path: Path) -> None:
    need_tool("kamailio")
    certificate(tmp_path, PBX)
    home = Home(tmp_path, None)
    wire = [t for t in asyncio.run(story(home, tmp_path)) if t.peer[0] == "127.0.0.1"]
    said = [str(t) for t in wire]
    assert in_order(
        said, "< REGISTER", "> 401 REGISTER", "< REGISTER", "> 200 REGISTER", "> INVITE", "< 200 INVITE", "> ACK"
    )
    for method in ("INVITE", "UPDATE", "BYE"):
        asked = [f"< {method}", f"> 401 {method}", f"< {method}", f"> 200 {method}"]
        assert in_order(said[said.index("< 200 INVITE") :], *asked), method
    ours = [t.message for t in wire if t.got and isinstance(t.message, Request) and t.message.method != "ACK"]
    for call_id in {m.call_id for m in ours}:
        numbers = [m.cseq.number for m in ours if m.call_id == call_id]
        assert numbers == sorted(numbers), "each again with the next number"
    assert said.count("> 401 BYE") == 1 and "Traceback" not in home.log.read_text()
    assert not [e for e in home.journal("fault") if "认证" in str(e.facts["text"])]
    inbound, outbound = home.sidecars()
    assert (inbound.direction, inbound.from_number, inbound.hangup_party) == ("inbound", CITIZEN_NUMBER, "agent")
    assert (outbound.direction, outbound.to_number, outbound.hangup_party) == ("outbound", CITIZEN_NUMBER, "citizen")
    assert {s.channel: s.packets >= 500 for s in inbound.streams} == {0: True, 1: True}, "one call from end to end"
