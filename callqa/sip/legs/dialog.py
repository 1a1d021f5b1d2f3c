"""Dialogs (RFC 3261 §12): who talks with whom under which tags, CSeq numbers, route set, target refresh.

Addresses are literals: there is no DNS. A next hop that is a name, or lies behind NAT, is replaced by the address that the
peer's messages really come from. A connection that the peer is seen on is used for what goes back to it.
"""

import ipaddress
from dataclasses import dataclass

from callqa.errors import ProtocolError
from callqa.sip.events import Address
from callqa.sip.wire.headers import Headers, Uri, param, parse_name_addr, parse_uri
from callqa.sip.wire.hop import hop, is_stream, transport_of, uri_transport, usual_port
from callqa.sip.wire.message import Request, Response, is_request_uri

DialogId = tuple[str, str]  # Call-ID, our tag


@dataclass(slots=True, eq=False)
class Dialog:
    """One dialog. local and remote: From/To values without tags. observed: where the peer's messages come from."""

    call_id: str
    local: str
    local_tag: str
    remote: str
    remote_tag: str
    target: str
    contact: str
    observed: Address
    routes: tuple[str, ...] = ()
    local_cseq: int = 0
    remote_cseq: int = -1
    behind_nat: bool = False  # a seat's phone: always answer to where it speaks from

    @property
    def key(self) -> DialogId:
        return (self.call_id, self.local_tag)

    def request(
        self,
        method: str,
        *,
        cseq: int | None = None,
        fields: tuple[tuple[str, str | None], ...] = (),
        body: bytes = b"",
        content_type: str = "application/sdp",
    ) -> Request:
        """A request inside the dialog, without Via. cseq: given for ACK, else the next number."""
        if cseq is None:
            self.local_cseq += 1
            cseq = self.local_cseq
        headers = Headers.of(
            ("Max-Forwards", "70"),
            *(("Route", r) for r in self.routes),
            ("From", f"{self.local};tag={self.local_tag}"),
            ("To", f"{self.remote};tag={self.remote_tag}" if self.remote_tag else self.remote),
            ("Call-ID", self.call_id),
            ("CSeq", f"{cseq} {method}"),
            ("Contact", self.contact),
            *fields,
            ("Content-Type", content_type if body else None),
        )
        return Request(method, self.target, headers, body)

    @property
    def next_hop(self) -> Address:
        """Where requests of this dialog go."""
        if self.behind_nat:
            return self.observed
        named = self._named_hop()
        same = named is not None and named[0] == self.observed[0] and transport_of(named) is transport_of(self.observed)
        return self.observed if named is None or (same and is_stream(named)) else named

    def _named_hop(self) -> Address | None:
        """Where Route or Contact say that requests go."""
        try:
            return address_of(parse_name_addr(self.routes[0]).uri if self.routes else parse_uri(self.target))
        except ProtocolError:
            return None

    def connection_closed(self) -> None:
        """The connection its peer was seen on is gone: fall back to what the peer named."""
        self.observed = self._named_hop() or self.observed

    def accepts(self, request: Request) -> bool:
        """Take the CSeq of a request from the peer; False when it is out of order (500, RFC 3261 §12.2.2)."""
        if request.cseq.number < self.remote_cseq:
            return False
        self.remote_cseq = request.cseq.number
        return True

    def refresh_target(self, message: Request | Response) -> None:
        """Take the Contact of a (re-)INVITE or UPDATE, or of its response; a missing or strange one changes nothing, nor does
        one that no Request-URI can be."""
        contact = message.headers.first("Contact")
        if contact is None:
            return
        try:
            target = str(parse_name_addr(contact).uri)
        except ProtocolError:
            return
        if is_request_uri(target):
            self.target = target


def address_of(uri: Uri) -> Address | None:
    """Host and port of a SIP URI whose host is an IP address, else None."""
    host = (param(uri.params, "maddr") or uri.host).strip("[]")
    try:
        transport = uri_transport(uri)
        return hop(str(ipaddress.ip_address(host)), uri.port or usual_port(transport), transport)
    except ValueError:
        return None


def without_tag(value: str) -> str:
    """A From or To value without its tag."""
    address = parse_name_addr(value)
    kept = tuple(p for p in address.params if p[0] != "tag")
    return str(type(address)(address.uri, address.display, kept))


def dialog_of_server(invite: Request, local_tag: str, contact: str, source: Address) -> Dialog:
    """The dialog an INVITE from a peer makes at our side."""
    dialog = Dialog(
        invite.call_id, without_tag(invite.headers.first("To") or ""), local_tag,
        without_tag(invite.headers.first("From") or ""), invite.from_tag,
        str(invite.from_.uri), contact, source, invite.headers.all("Record-Route"), 0, invite.cseq.number,
    )  # fmt: skip
    dialog.refresh_target(invite)
    return dialog


def dialog_of_client(invite: Request, contact: str, peer: Address) -> Dialog:
    """The dialog our INVITE is about to make; `established` completes it."""
    return Dialog(
        invite.call_id, without_tag(invite.headers.first("From") or ""), invite.from_tag,
        without_tag(invite.headers.first("To") or ""), "", invite.uri, contact, peer, (), invite.cseq.number,
    )  # fmt: skip


def established(dialog: Dialog, response: Response, source: Address) -> None:
    """Take remote tag, route set (reversed) and target from a response to our INVITE."""
    dialog.remote_tag = response.to_tag
    dialog.routes = tuple(reversed(response.headers.all("Record-Route")))
    dialog.observed = source
    dialog.refresh_target(response)
