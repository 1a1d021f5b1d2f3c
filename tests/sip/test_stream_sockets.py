"""TCP and TLS with real sockets: a phone that registers, is rung and hung up on one connection of a real recorder."""

import asyncio
import socket
import ssl
import subprocess
from pathlib import Path

import pytest

from callqa.desk import DeskTrunk, save_desk
from callqa.errors import ConfigError
from callqa.sip.process.transport import bind_sip_stream
from callqa.sip.wire.auth import answer_challenge, parse_challenge
from callqa.sip.wire.framing import StreamFramer
from callqa.sip.wire.headers import Headers, parse_name_addr
from callqa.sip.wire.message import Message, Request, Response, parse_message, reply, serialise
from callqa.sip.wire.sdp import OUR_CODECS, MediaDirection, build_sdp
from tests.conftest import need_tool
from tests.ports import own_port
from tests.recorder.harness import LIMIT_S, Home, citizen, frames, make_desk, password, until


class Wire:
    """One connection to the recorder, driven by hand."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, transport: str) -> None:
        self.reader, self.writer, self.transport = reader, writer, transport
        self.framer = StreamFramer()
        self.waiting: list[Message] = []
        self.cseq = 0

    @classmethod
    async def open(cls, port: int, context: ssl.SSLContext | None = None, host: str = "127.0.0.1") -> "Wire":
        reader, writer = await asyncio.open_connection(host, port, ssl=context)
        return cls(reader, writer, "TLS" if context else "TCP")

    async def close(self) -> None:
        self.writer.close()
        await self.writer.wait_closed()

    async def next(self) -> Message:
        while not self.waiting:
            data = await asyncio.wait_for(self.reader.read(65536), LIMIT_S)
            assert data, "the recorder closed the connection"
            self.waiting += [parse_message(m) for m in self.framer.feed(data)]
        return self.waiting.pop(0)

    async def request(self, method: str, *fields: tuple[str, str]) -> Response:
        self.cseq += 1
        headers = Headers.of(
            ("Via", f"SIP/2.0/{self.transport} 192.168.1.7:5060;branch=z9hG4bK{self.cseq};rport"), ("Max-Forwards", "70"),
            ("From", "<sip:8001@callqa>;tag=a"), ("To", "<sip:8001@callqa>"), ("Call-ID", "stream"), ("CSeq", f"{self.cseq} {method}"), *fields,
        )  # fmt: skip
        self.writer.write(serialise(Request(method, "sip:callqa", headers)))
        answer = await self.next()
        assert isinstance(answer, Response)
        return answer

    async def register(self) -> int:
        contact = ("Contact", f"<sip:8001@192.168.1.7:5060;transport={self.transport.lower()}>")
        refused = await self.request("REGISTER", contact)
        challenge = parse_challenge(refused.headers.first("WWW-Authenticate") or "")
        made = answer_challenge(
            challenge, method="REGISTER", uri="sip:callqa", user="8001", password=password("8001"), cnonce="c"
        )
        return (await self.request("REGISTER", contact, ("Authorization", str(made)))).status

    def answer(self, request: Request, status: int, body: bytes = b"") -> None:
        fields = (("Contact", f"<sip:8001@192.168.1.7:5060;transport={self.transport.lower()}>"),)
        self.writer.write(serialise(reply(request, status, to_tag="phone", fields=fields, body=body)))


def certificate(folder: Path, *others: str) -> Path:
    """A certificate of 127.0.0.1 and other addresses with its key."""
    return certificate_of(folder, *(f"IP:{h}" for h in ("127.0.0.1", *others)))


def certificate_of(folder: Path, *names: str) -> Path:
    """A certificate of these (DNS:x, IP:x) with its key."""
    path = folder / "sip.pem"
    subprocess.run(
        [need_tool("openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", "/CN=127.0.0.1", "-addext", f"subjectAltName={','.join(names)}", "-keyout", path, "-out", folder / "only.pem"],
        check=True, capture_output=True,
    )  # fmt: skip
    path.write_bytes(path.read_bytes() + (folder / "only.pem").read_bytes())
    return path


async def call_story(home: Home, wire: Wire) -> None:
    assert await wire.register() == 200
    media = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with media:
        media.bind(("127.0.0.1", 0))
        caller = await citizen()
        call = await caller.call(home.server, "96510", frames(1, 30), "PCMA", {}, caller="13800000001")
        invite = await wire.next()
        assert isinstance(invite, Request) and invite.via.transport == wire.transport
        wire.answer(invite, 180)
        port = media.getsockname()[1]
        body = build_sdp("127.0.0.1", port, OUR_CODECS[:1], session_id=1, version=1, direction=MediaDirection.SENDRECV)
        wire.answer(invite, 200, body)
        ack = await wire.next()
        assert isinstance(ack, Request) and ack.method == "ACK"
        assert await call.answered
        await call.played
        call.hang_up()
        bye = await wire.next()
        assert isinstance(bye, Request) and bye.method == "BYE"
        assert parse_name_addr(bye.headers.first("Contact") or "").uri.params == (
            ("transport", wire.transport.lower()),
        )
        wire.answer(bye, 200)
        (sidecar,) = await until("the sidecar", home.sidecars)
        assert sidecar.seat_extension == "8001"
        assert [s.packets for s in sidecar.streams if s.channel == 0] == [30], "the citizen was heard whole"
        await caller.close()
    await wire.close()


@pytest.mark.parametrize(
    ("secure", "listen"), [(False, "127.0.0.1"), (True, "127.0.0.1"), (False, "::")], ids=["tcp", "tls", "all_versions"]
)
def test_a_phone_on_one_connection(tmp_path: Path, secure: bool, listen: str) -> None:
    port = own_port()
    ways: dict[str, object] = {"tcp_port": port, "listen_host": listen}
    context = None
    if secure:
        path = certificate(tmp_path)
        ways = {"tls_port": port, "tls_certificate": str(path)}
        context = ssl.create_default_context(cafile=str(path))
    home = Home(tmp_path, make_desk(["8001"]), **ways)

    async def story() -> None:
        await home.start()
        rude = await Wire.open(port, context)
        rude.writer.write(b"INVITE sip:1@a SIP/2.0\r\nContent-Length: 99999999\r\n\r\n")
        assert await asyncio.wait_for(rude.reader.read(), LIMIT_S) == b"", "a stream without frame is closed"
        await rude.close()
        await call_story(home, await Wire.open(port, context))

    try:
        asyncio.run(story())
    finally:
        assert home.stop() == 0
    assert "Traceback" not in home.log.read_text()


def test_ipv4_and_ipv6_on_one_address(tmp_path: Path) -> None:
    port = own_port()
    home = Home(tmp_path, make_desk(["8001"]), listen_host="::", tcp_port=port)

    async def story() -> None:
        await home.start()
        for host in ("127.0.0.1", "::1"):
            wire = await Wire.open(port, host=host)
            assert (await wire.request("OPTIONS")).status == 200
            await wire.close()
            with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM) as s:
                s.bind((host, 0))
                s.settimeout(LIMIT_S)
                via = f"Via: SIP/2.0/UDP [{host}]" if ":" in host else f"Via: SIP/2.0/UDP {host}"
                text = (
                    f"OPTIONS sip:a SIP/2.0\r\n{via}:{s.getsockname()[1]};branch=z9hG4bKx\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:a@b>\r\n"
                    f"Call-ID: {host}\r\nCSeq: 1 OPTIONS\r\n\r\n"
                )
                s.sendto(text.encode(), (host, home.port))
                loop = asyncio.get_running_loop()
                answer = parse_message(await loop.run_in_executor(None, s.recv, 65536))
                assert isinstance(answer, Response) and answer.status == 200

    try:
        asyncio.run(story())
    finally:
        assert home.stop() == 0
    assert "Traceback" not in home.log.read_text()


# -- a trunk that we reach by TLS --------------------------------------------------------------------------------------

TLS_TRUNK = "127.0.0.7"


async def asked_by_tls(home: Home, pem: Path, until_told: bool) -> list[Message]:
    """What a trunk with that certificate gets until it was asked for OPTIONS, or a fault was told."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pem)
    got: list[Message] = []
    over: list[asyncio.StreamWriter] = []

    async def trunk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        framer = StreamFramer()
        while data := await reader.read(65536):
            for message in (parse_message(m) for m in framer.feed(data)):
                got.append(message)
                assert isinstance(message, Request)
                writer.write(serialise(reply(message, 200, to_tag="t")))
        writer.close()
        over.append(writer)

    server = await asyncio.start_server(trunk, TLS_TRUNK, home.settings.sip.listen_port, ssl=context)
    async with server:
        await home.start()
        await until("the trunk to be asked, or a fault", lambda: home.journal("fault") if until_told else got)
        assert await asyncio.to_thread(home.stop) == 0
        if got:
            await until("the connection to end", lambda: over)
            await over[0].wait_closed()
    return got


@pytest.mark.parametrize(
    ("names", "domain", "fault"),
    [
        (("DNS:ims.example",), "ims.example", ""),
        (("DNS:ims.example",), "ims.example:5061", ""),
        ((f"IP:{TLS_TRUNK}",), "", ""),
        ((f"IP:{TLS_TRUNK}",), "ims.example", ""),  # the account's domain is another one, the address fits
        (("DNS:other.example", "IP:127.0.0.1"), "ims.example", "没有写明它的名字"),
        (("DNS:ims.example",), "", "没有写明它的名字"),
    ],
)
def test_a_trunk_whose_certificate_has_its_domain_or_address(
    tmp_path: Path, names: tuple[str, ...], domain: str, fault: str
) -> None:
    """We take no TLS ourselves: tls_port is 0."""
    pem = certificate_of(tmp_path, *names)
    home = Home(tmp_path, None, tls_authorities=str(pem))
    trunk = DeskTrunk(
        name="密", addresses=(), host=TLS_TRUNK, port=home.port, transport="tls", domain=domain, keepalive_s=1
    )
    save_desk(home.settings.desk_path, make_desk(["8001"]).model_copy(update={"trunks": (trunk,), "dial_plan": ()}))
    try:
        got = asyncio.run(asked_by_tls(home, pem, bool(fault)))
    finally:
        assert home.stop() == 0
    told = [f for f in (str(e.facts["text"]) for e in home.journal("fault")) if "TLS" in f]
    if fault:
        assert not got and told and all(fault in f and f"“{TLS_TRUNK}”" in f and domain in f for f in told)
    else:
        assert isinstance(got[0], Request) and got[0].method == "OPTIONS" and not told
    assert "Traceback" not in home.log.read_text()


def test_authorities_that_cannot_be_read_are_a_fault_where_a_trunk_needs_them(tmp_path: Path) -> None:
    home = Home(tmp_path, None, tls_authorities="nowhere.pem")
    trunk = DeskTrunk(name="密", addresses=(), host=TLS_TRUNK, port=home.port, transport="tls", keepalive_s=1)
    save_desk(home.settings.desk_path, make_desk(["8001"]).model_copy(update={"trunks": (trunk,), "dial_plan": ()}))
    try:
        assert not asyncio.run(asked_by_tls(home, certificate_of(tmp_path, f"IP:{TLS_TRUNK}"), True))
    finally:
        assert home.stop() == 0
    assert any("sip.tls_authorities" in str(e.facts["text"]) for e in home.journal("fault"))


def test_a_port_in_use_and_a_bad_certificate_are_told(tmp_path: Path) -> None:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen()
        with pytest.raises(ConfigError, match="tls_port"):
            bind_sip_stream("127.0.0.1", s.getsockname()[1], "tls_port")
    home = Home(tmp_path, make_desk(["8001"]), tls_port=own_port(), tls_certificate="nowhere.pem")
    process = home.spawn()
    assert process.wait(LIMIT_S) != 0
    assert "tls_certificate" in home.log.read_text()
