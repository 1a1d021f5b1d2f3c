"""The Kamailio configuration printed in docs/recorder-down.md does what the page says: callqa first, the other when it
does not answer, and callqa again when it is back. Kamailio runs with the page's text; only addresses and times differ."""

import asyncio
import re
from itertools import count
from pathlib import Path

import pytest

from tests.conftest import need_tool
from tests.ports import own_port
from tests.recorder.harness import Home, make_desk, until

pytestmark = pytest.mark.slow

PAGE = Path(__file__).resolve().parents[2] / "docs" / "recorder-down.md"
INVITE = (
    "INVITE sip:96510@127.0.0.1:{proxy} SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:{port};branch=z9hG4bK-{n}\r\n"
    "Max-Forwards: 70\r\nFrom: <sip:13871206358@127.0.0.1>;tag=t{n}\r\nTo: <sip:96510@127.0.0.1>\r\n"
    "Call-ID: c{n}@127.0.0.1\r\nCSeq: 1 INVITE\r\nContact: <sip:x@127.0.0.1:{port}>\r\nContent-Length: 0\r\n\r\n"
)


class Peer(asyncio.DatagramProtocol):
    """A UDP party. answers: whether it replies 486 to INVITE and 200 to OPTIONS, as a living one would."""

    def __init__(self, *, answers: bool) -> None:
        self.answers = answers
        self.heard: list[str] = []

    def connection_made(self, transport) -> None:  # type: ignore[no-untyped-def]  # asyncio's own
        self.transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        text = data.decode()
        self.heard.append(text)
        method = text.split(" ", 1)[0]
        if not self.answers or method not in ("INVITE", "OPTIONS"):
            return
        kept = re.findall(r"^(?:Via|From|Call-ID|CSeq|Record-Route): .*$", text, re.MULTILINE | re.IGNORECASE)
        to = re.search(r"^To: (.*)$", text, re.MULTILINE | re.IGNORECASE)
        assert to is not None
        status = "486 Busy Here" if method == "INVITE" else "200 OK"
        lines = [f"SIP/2.0 {status}", *(k.strip() for k in kept), f"To: {to[1].strip()};tag=peer", "Content-Length: 0"]
        self.transport.sendto(("\r\n".join(lines) + "\r\n\r\n").encode(), addr)

    def about(self, n: int) -> list[str]:
        """First lines of what it heard of the n-th call."""
        return [text.partition("\r\n")[0] for text in self.heard if f"\r\nCall-ID: c{n}@" in text]


async def listen(port: int, *, answers: bool) -> Peer:
    peer = Peer(answers=answers)
    await asyncio.get_running_loop().create_datagram_endpoint(lambda: peer, local_addr=("127.0.0.1", port))
    return peer


def configuration(folder: Path, proxy: int) -> str:
    """The page's own text with the test's addresses, its list file, and a probe every second."""
    (text,) = re.findall(r"```kamailio\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    for old, new in (
        ("udp:192.0.2.10:5060", f"udp:127.0.0.1:{proxy}"),
        ("/etc/kamailio/dispatcher.list", str(folder / "dispatcher.list")),
        ('"ds_ping_interval", 5', '"ds_ping_interval", 1'),
    ):
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    modules = next(Path("/usr/lib").glob("*/kamailio/modules"), None)
    return re.sub(r'mpath="[^"]*"', f'mpath="{modules}/"', text)


def targets(first: int, second: int) -> str:
    (text,) = re.findall(r"```text\n(1 sip:.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    return text.replace("192.0.2.20:5060", f"127.0.0.1:{first}").replace("192.0.2.30:5060", f"127.0.0.1:{second}")


async def story(folder: Path) -> None:
    kamailio = need_tool("kamailio")
    home = Home(folder, make_desk(["8001"]))
    proxy, caller_port, spare_port = own_port(), own_port(), own_port()
    (folder / "dispatcher.list").write_text(targets(home.port, spare_port))
    (folder / "kamailio.cfg").write_text(configuration(folder, proxy))
    spare, caller = await listen(spare_port, answers=True), await listen(caller_port, answers=False)
    with (folder / "kamailio.log").open("wb") as log:
        server = await asyncio.create_subprocess_exec(
            kamailio, "-f", str(folder / "kamailio.cfg"), "-DD", "-m", "32", "-M", "4", "-Y", str(folder),
            stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log,
        )  # fmt: skip

    def invite(n: int) -> None:
        text = INVITE.format(proxy=proxy, port=caller_port, n=n)
        caller.transport.sendto(text.encode(), ("127.0.0.1", proxy))

    try:
        await until("the proxy to probe", lambda: any(line.startswith("OPTIONS") for line in spare.heard))
        invite(1)  # callqa is down
        await until("the call at the second way", lambda: spare.about(1))
        await home.start()

        numbers = count(100)

        def back() -> bool:  # a call is refused by callqa (it comes from no trunk of its), not by the spare
            invite(next(numbers))
            return any(text.startswith("SIP/2.0 403") for text in caller.heard)

        await until("calls at callqa again", back)
        invite(2)
        await until("callqa's own answer", lambda: any("403" in line for line in caller.about(2)))
        assert spare.about(2) == []
    finally:
        if server.returncode is None:
            server.terminate()
        await server.wait()
        home.stop()
        for peer in (spare, caller):
            peer.transport.close()


def test_the_route_in_the_document_fails_over_and_comes_back(tmp_path: Path) -> None:
    asyncio.run(story(tmp_path))
