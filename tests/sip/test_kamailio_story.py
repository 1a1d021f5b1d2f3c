"""Kamailio as the PBX in front, over UDP, TCP and TLS: it stays in the path (Record-Route), calls come in and go out through it.

What went over the wire is Kamailio's own trace (its module sipdump), not ours.
"""

import asyncio
import re
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from callqa.demo.endpoint import AutoAnswer, Endpoint
from callqa.demo.endpoint_call import EndpointCall
from callqa.desk import Desk, DeskTrunk, DialRule, save_desk
from callqa.sip.wire.message import Message, Request, parse_message
from tests.conftest import need_tool
from tests.ports import own_port
from tests.recorder.harness import LIMIT_S, TRUNK_HOST, Home, citizen, frames, make_desk, phone, until
from tests.sip.test_sipp_stories import in_order
from tests.sip.test_stream_sockets import certificate

pytestmark = pytest.mark.slow

PBX = "127.0.0.3"
CITIZEN_NUMBER = "13871206358"

CONFIG = """#!KAMAILIO
debug=1
log_stderror=yes
children=1
tcp_children=1
disable_tcp=no
enable_tls=yes
tcp_source_ipv4={pbx}
tcp_accept_aliases=yes
auto_aliases=no
dns=no
rev_dns=no
listen=udp:{pbx}:{udp}
listen=tcp:{pbx}:{tcp}
listen=tls:{pbx}:{tls}
mpath="{modules}"
loadmodule "tm.so"
loadmodule "sl.so"
loadmodule "rr.so"
loadmodule "pv.so"
loadmodule "maxfwd.so"
loadmodule "textops.so"
loadmodule "siputils.so"
loadmodule "tls.so"
loadmodule "sipdump.so"
modparam("tls", "certificate", "{certificate}")
modparam("tls", "private_key", "{certificate}")
modparam("tls", "tls_method", "TLSv1.2+")
modparam("tls", "verify_certificate", 0)
modparam("tls", "require_certificate", 0)
modparam("sipdump", "enable", 1)
modparam("sipdump", "folder", "{trace}")
request_route {{
    if (!mf_process_maxfwd_header("10")) {{ sl_send_reply("483", "Too Many Hops"); exit; }}
    if (is_method("OPTIONS") && !has_totag()) {{ sl_send_reply("200", "OK"); exit; }}
    if (has_totag()) {{
        if (!loose_route()) {{ sl_send_reply("404", "Not Here"); exit; }}
        t_relay();
        exit;
    }}
    if (is_method("CANCEL")) {{ if (t_check_trans()) {{ t_relay(); }} exit; }}
    record_route();
    if ($si == "{citizen}") {{ $du = "sip:{recorder}:{port};transport={transport}"; }}
    else {{ $du = "sip:{citizen}:{citizen_port}"; }}
    t_relay();
}}
"""


@dataclass(frozen=True, slots=True)
class Traced:
    """A message of the trace. got: Kamailio received it."""

    got: bool
    transport: str
    peer: tuple[str, int]
    message: Message

    def __str__(self) -> str:
        m = self.message
        return f"{'<' if self.got else '>'} {m.method if isinstance(m, Request) else f'{m.status} {m.cseq.method}'}"


_BLOCK = re.compile(rb"tag: (rcv|snd)\n.*?proto: (\w+).*?srcip: (\S+)\nsrcport: (\d+)\ndstip: (\S+)\ndstport: (\d+)\n~+\n(.*?)\|\|\|\|\|", re.S)  # fmt: skip


def read_trace(folder: Path) -> list[Traced]:
    found = []
    for path in sorted(folder.iterdir()):
        for tag, proto, srcip, srcport, dstip, dstport, text in _BLOCK.findall(path.read_bytes()):
            got = tag == b"rcv"
            peer = (srcip, srcport) if got else (dstip, dstport)
            found.append(Traced(got, proto.decode(), (peer[0].decode(), int(peer[1])), parse_message(text)))
    return found


class Pbx:
    """One Kamailio in the foreground."""

    def __init__(
        self, folder: Path, recorder_port: int, transport: str, citizen_port: int, template: str = CONFIG
    ) -> None:
        program = need_tool("kamailio")
        modules = next(
            (p for p in Path("/usr").glob("lib*/**/kamailio/modules") if (p / "tls.so").exists()), Path("/nowhere")
        )
        self.ports = {"udp": own_port(), "tcp": own_port(), "tls": own_port()}
        self.trace = folder / "trace"
        self.trace.mkdir()
        config = folder / "kamailio.cfg"
        config.write_text(
            template.format(
                pbx=PBX, modules=modules, certificate=folder / "sip.pem", trace=self.trace, citizen=TRUNK_HOST,
                recorder="127.0.0.1", port=recorder_port, transport=transport, citizen_port=citizen_port, **self.ports,
            )
        )  # fmt: skip
        self.log = folder / "kamailio.log"
        self._command = [program, "-DD", "-E", "-m", "64", "-M", "8", "-Y", str(folder), "-f", str(config)]

    async def start(self) -> None:
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(self._command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        probe = await Endpoint(TRUNK_HOST).start()
        deadline = time.monotonic() + LIMIT_S
        try:
            while await probe.options((PBX, self.ports["udp"])) != 200:
                assert self.process.poll() is None and time.monotonic() < deadline, self.log.read_text()
        finally:
            await probe.close()

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(LIMIT_S)


async def there_and_back(home: Home, caller: Endpoint, seat: Endpoint, call: EndpointCall, reply: bytes) -> None:
    """Play a call to its end, then one of the seat to the citizen; each is recorded. reply: what the seat says in the second."""
    assert await asyncio.wait_for(call.answered, LIMIT_S)
    await call.played
    seat.calls[0].hang_up()  # the recorder's BYE goes by the route that Kamailio recorded
    await asyncio.wait_for(call.ended, LIMIT_S)
    await until("the first sidecar", home.sidecars)
    back = await seat.call(home.server, CITIZEN_NUMBER, reply, "PCMA")
    assert await asyncio.wait_for(back.answered, LIMIT_S)
    await back.played
    caller.calls[-1].hang_up()
    await asyncio.wait_for(back.ended, LIMIT_S)
    await until("both sidecars", lambda: len(home.sidecars()) == 2)
    await seat.close()


async def story(home: Home, folder: Path, port: int, transport: str) -> tuple[list[Traced], Pbx]:
    caller = await citizen()
    caller.on_invite = lambda _: AutoAnswer(0.05, frames(4, 200), "PCMA")
    pbx = Pbx(folder, port, transport, caller.port)
    await pbx.start()
    try:
        save_desk(home.settings.desk_path, with_trunk(make_desk(["8001"]), pbx.ports[transport], transport))
        await home.start()
        seat = await phone(home, "8001", AutoAnswer(0.05, frames(2, 200), "PCMA"))
        call = await caller.call((PBX, pbx.ports["udp"]), "96510", frames(1, 100), "PCMA", caller=CITIZEN_NUMBER)
        await there_and_back(home, caller, seat, call, frames(3, 100))
    finally:
        home.stop()
        pbx.stop()
        await caller.close()
    return read_trace(pbx.trace), pbx


def with_trunk(desk: Desk, port: int, transport: str) -> Desk:
    trunk = DeskTrunk(name="kamailio", addresses=(PBX,), host=PBX, port=port, transport=transport)  # type: ignore[arg-type]
    rules = (DialRule(pattern=r"1\d{10}", trunk="kamailio"),)
    return desk.model_copy(update={"number": desk.number + 1, "trunks": (trunk,), "dial_plan": rules})


@pytest.mark.parametrize("transport", ["udp", "tcp", "tls"])
def test_calls_in_and_out_through_kamailio(tmp_path: Path, transport: str) -> None:
    need_tool("kamailio")
    pem = certificate(tmp_path, PBX)
    port = own_port()
    ways: dict[str, object] = {}
    if transport == "tcp":
        ways = {"tcp_port": port}
    elif transport == "tls":
        ways = {"tls_port": port, "tls_certificate": str(pem), "tls_authorities": str(pem)}
    home = Home(tmp_path, make_desk(["8001"]), **ways)
    port = port if ways else home.port
    wire, _ = asyncio.run(story(home, tmp_path, port, transport))
    with_recorder = [t for t in wire if t.peer[0] == "127.0.0.1"]
    assert {t.transport for t in with_recorder} == {transport}
    assert in_order(
        [str(t) for t in with_recorder], "> INVITE", "< 100 INVITE", "< 180 INVITE", "< 200 INVITE", "> ACK", "< BYE", "> 200 BYE",
        "< INVITE", "> 200 INVITE", "< ACK", "> BYE", "< 200 BYE",
    )  # fmt: skip
    byes = [t.message for t in with_recorder if str(t) == "< BYE"]
    assert all(f"{PBX}:" in (m.headers.first("Route") or "") for m in byes), "our BYE names the recorded route"
    inbound, outbound = home.sidecars()
    assert (inbound.direction, inbound.from_number, inbound.hangup_party) == ("inbound", CITIZEN_NUMBER, "agent")
    assert (outbound.direction, outbound.to_number, outbound.hangup_party) == ("outbound", CITIZEN_NUMBER, "citizen")
    for sidecar in (inbound, outbound):
        assert {s.channel: s.packets >= 90 for s in sidecar.streams} == {0: True, 1: True}
    assert "Traceback" not in home.log.read_text()
