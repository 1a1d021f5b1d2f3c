"""SIP parties for many calls at once: a trunk and phones on asyncio sockets, as plain text. Shares no code with the product.

A party answers by itself whatever a polite peer answers (BYE, CANCEL, OPTIONS, INFO, re-INVITE); everything also lands in its dialog's
inbox, where a story waits for what it wants to see. Nothing is sent again: what loopback does not lose needs no timers, and what
a story drops on purpose is the recorder's to repeat.
"""

import asyncio
import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass, field

from signalling import Address, all_fields, media_of, sdp
from signalling import field as header

WAIT_S = 20.0


class Unexpected(Exception):
    """A story did not see what it waited for."""


@dataclass
class Dialog:
    """One end of one call."""

    party: "Party"
    call_id: str
    local: str
    remote: str
    target: str
    inbox: asyncio.Queue[str] = field(default_factory=asyncio.Queue)
    cseq: int = 0
    invite: str = ""  # the peer's INVITE while it is not answered
    media: Address | None = None  # where the recorder wants our audio
    offered: str = ""  # our SDP
    deaf_byes: int = 0  # so many BYE we do not hear
    over: bool = False
    branch: str = ""
    on_over: Callable[[], None] = lambda: None

    async def wait(self, start: str, method: str = "", within_s: float = WAIT_S) -> str:
        """The next message that starts so; others are skipped, a failure of what is waited for raises."""
        try:
            async with asyncio.timeout(within_s):
                while True:
                    message = await self.inbox.get()
                    ours = not method or header(message, "CSeq").endswith(method)
                    if message.startswith(start) and ours:
                        return message
                    if ours and start.startswith("SIP/2.0 2") and re.match(r"SIP/2\.0 [3-6]", message):
                        raise Unexpected(message.splitlines()[0])
        except TimeoutError:
            raise Unexpected(f"waited {within_s:.0f} s for {start} {method}") from None

    def request(
        self, method: str, *, body: str = "", cseq: int = 0, fields: tuple[str, ...] = (), kind: str = "application/sdp"
    ) -> None:
        """Send a request of this dialog."""
        if not cseq:
            self.cseq += 1
        base = [f"From: {self.local}", f"To: {self.remote}", f"Call-ID: {self.call_id}"]
        base += [f"CSeq: {cseq or self.cseq} {method}", f"Contact: <{self.party.uri()}>", *fields]
        self.branch = self.party.send_request(method, self.target, base, body, kind=kind)

    def ack(self) -> None:
        """The ACK of a 2xx."""
        self.request("ACK", cseq=self.cseq)

    def connect(self, ok: str) -> None:
        """Take what a 2xx says."""
        self.remote = header(ok, "To")
        found = re.search(r"<(.*?)>", header(ok, "Contact"))
        self.target = found[1] if found else self.target
        self.media = media_of(ok)

    def cancel(self, branch: str) -> None:
        """CANCEL our INVITE."""
        base = [f"From: {self.local}", f"To: {self.remote}", f"Call-ID: {self.call_id}", f"CSeq: {self.cseq} CANCEL"]
        self.party.send_request("CANCEL", self.target, base, branch=branch)

    def reply(self, status: str, *, body: str = "") -> None:
        """Answer the INVITE that waits."""
        self.party.reply(self.invite, status, body=body)


class Party:
    """One SIP socket. on_invite(dialog) is called for a new call; it may reply later."""

    def __init__(self, host: str, server: Address, on_invite: Callable[[Dialog], None] = lambda dialog: None) -> None:
        self.host, self.server, self.on_invite = host, server, on_invite
        self.dialogs: dict[str, Dialog] = {}
        self.transport_name = "UDP"
        self.address: Address = (host, 0)
        self._send: Callable[[bytes], None] = lambda data: None
        self._close: Callable[[], None] = lambda: None
        self._count = 0

    async def open(self, port: int = 0) -> "Party":
        """Bind."""
        party = self

        class Datagrams(asyncio.DatagramProtocol):
            def datagram_received(self, data: bytes, addr: Address) -> None:
                party.take(data.decode())

        transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(Datagrams, (self.host, port))
        self.address = transport.get_extra_info("sockname")
        self._send = lambda data: transport.sendto(data, self.server)
        self._close = transport.close
        return self

    async def connect(self, port: int) -> "Party":
        """One TCP connection to the recorder instead."""
        reader, writer = await asyncio.open_connection(self.host_of_server, port, local_addr=(self.host, 0))
        self.transport_name, self.address = "TCP", writer.get_extra_info("sockname")
        self._send = writer.write

        async def read() -> None:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = re.search(rb"(?im)^(?:Content-Length|l)\s*:\s*(\d+)", head)
                self.take((head + await reader.readexactly(int(length[1]) if length else 0)).decode())

        reading = asyncio.get_running_loop().create_task(read())
        reading.add_done_callback(lambda task: task.cancelled() or task.exception())

        def close() -> None:
            reading.cancel()
            writer.close()

        self._close = close
        return self

    @property
    def host_of_server(self) -> str:
        return self.server[0]

    def close(self) -> None:
        """Close the socket."""
        self._close()

    def uri(self, user: str = "party") -> str:
        """Where this party is reached."""
        suffix = ";transport=tcp" if self.transport_name == "TCP" else ""
        return f"sip:{user}@{self.address[0]}:{self.address[1]}{suffix}"

    def send_raw(self, data: bytes) -> None:
        """Send whatever."""
        self._send(data)

    def send_request(
        self,
        method: str,
        uri: str,
        fields: list[str],
        body: str = "",
        branch: str = "",
        *,
        kind: str = "application/sdp",
    ) -> str:
        """Send one request; its branch."""
        self._count += 1
        branch = branch or f"z9hG4bKs{self.address[1]}x{self._count}"
        via = f"Via: SIP/2.0/{self.transport_name} {self.address[0]}:{self.address[1]};branch={branch};rport"
        named = [f"Content-Type: {kind}"] if body else []
        head = [f"{method} {uri} SIP/2.0", via, "Max-Forwards: 70", *fields, *named, f"Content-Length: {len(body)}"]
        self._send(("\r\n".join(head) + "\r\n\r\n" + body).encode())
        return branch

    def reply(self, request: str, status: str, *, body: str = "") -> None:
        """Answer a request."""
        copied = [f"{n}: {v}" for n in ("Via", "From", "To", "Call-ID", "CSeq") for v in all_fields(request, n)]
        tag = f";tag=t{self.address[1]}"
        copied = [line + tag if line.startswith("To:") and ";tag=" not in line else line for line in copied]
        kind = ["Content-Type: application/sdp"] if body else []
        head = [f"SIP/2.0 {status}", *copied, f"Contact: <{self.uri()}>", *kind, f"Content-Length: {len(body)}"]
        self._send(("\r\n".join(head) + "\r\n\r\n" + body).encode())

    def start(
        self,
        call_id: str,
        caller: str,
        called: str,
        body: str,
        fields: tuple[str, ...] = (),
        kind: str = "application/sdp",
    ) -> Dialog:
        """Send an INVITE."""
        target = f"sip:{called}@{self.server[0]}:{self.server[1]}"
        local = f"<{self.uri(caller)}>;tag=f{call_id[:40]}"
        dialog = Dialog(self, call_id, local, f"<sip:{called}@{self.server[0]}>", target)
        self.dialogs[call_id] = dialog
        dialog.offered = body
        dialog.request("INVITE", body=body, fields=fields, kind=kind)
        return dialog

    def forget(self, dialog: Dialog) -> None:
        """The call is over for us."""
        self.dialogs.pop(dialog.call_id, None)

    def take(self, message: str) -> None:
        """One message from the recorder."""
        if not message.strip():
            return
        method = message.partition(" ")[0]
        call_id = header(message, "Call-ID")
        dialog = self.dialogs.get(call_id)
        if method == "INVITE" and dialog is None:
            self._ring(message, call_id)
            return
        if dialog is None:
            if method in ("BYE", "CANCEL", "OPTIONS"):
                self.reply(message, "481 Gone" if method != "OPTIONS" else "200 OK")
            return
        if method == "BYE":
            if dialog.deaf_byes:
                dialog.deaf_byes -= 1
                return
            self.reply(message, "200 OK")
            dialog.over = True
            dialog.on_over()
        elif method == "CANCEL":
            self.reply(message, "200 OK")
            if dialog.invite:
                dialog.reply("487 Cancelled")
                dialog.invite = ""
                dialog.on_over()
        elif method == "INVITE" and dialog.media is not None:
            self.reply(message, "200 OK", body=dialog.offered)
        elif method in ("OPTIONS", "INFO", "UPDATE", "NOTIFY"):
            self.reply(message, "200 OK")
        elif message.startswith("SIP/2.0 ") and header(message, "CSeq").endswith("INVITE"):
            self._acknowledge_failure(dialog, message)
        dialog.inbox.put_nowait(message)

    def _acknowledge_failure(self, dialog: Dialog, message: str) -> None:
        if re.match(r"SIP/2\.0 [3-6]", message):
            via = re.search(r"branch=([^;\s]+)", header(message, "Via"))
            number = header(message, "CSeq").split()[0]
            base = [f"From: {dialog.local}", f"To: {header(message, 'To')}", f"Call-ID: {dialog.call_id}"]
            self.send_request("ACK", dialog.target, [*base, f"CSeq: {number} ACK"], branch=via[1] if via else "")

    def _ring(self, message: str, call_id: str) -> None:
        contact = re.search(r"<(.*?)>", header(message, "Contact"))
        to = header(message, "To") + f";tag=t{self.address[1]}"
        dialog = Dialog(self, call_id, to, header(message, "From"), contact[1] if contact else "", invite=message)
        dialog.media = None
        self.dialogs[call_id] = dialog
        self.on_invite(dialog)

    def answer(self, dialog: Dialog, media: Address) -> None:
        """200 with our SDP."""
        dialog.offered = sdp(media, 8)
        dialog.media = media_of(dialog.invite)
        dialog.reply("200 OK", body=dialog.offered)
        dialog.invite = ""


def credentials(method: str, uri: str, challenge: str, user: str, password: str) -> str:
    """The Authorization field for a Digest challenge (MD5, auth)."""
    given = dict(re.findall(r'(\w+)="([^"]*)"', challenge))
    ha1 = _md5(f"{user}:{given['realm']}:{password}")
    response = _md5(f"{ha1}:{given['nonce']}:00000001:bench:auth:{_md5(method + ':' + uri)}")
    return (
        f'Authorization: Digest username="{user}", realm="{given["realm"]}", nonce="{given["nonce"]}", '
        f'uri="{uri}", algorithm=MD5, qop=auth, nc=00000001, cnonce="bench", response="{response}"'
    )


def _md5(text: str) -> str:
    return hashlib.md5(text.encode()).hexdigest()
