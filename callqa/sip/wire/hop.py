"""Where a message goes and how: an Address (host, port) is UDP unless it is one of the two classes here.

They are tuples of host and port like any Address, and equal only to an address of the same transport, so that whoever
keeps an address (a dialog, a registration, a transaction) keeps the transport with it. For a stream the address is the
far end of the connection: what is sent to it goes out on that connection while it is open, else a new one is opened.
"""

from enum import StrEnum

from callqa.sip.events import Address
from callqa.sip.wire.headers import Uri, param


class Transport(StrEnum):
    """As written in a Via."""

    UDP = "UDP"
    TCP = "TCP"
    TLS = "TLS"


class _StreamAddress(tuple[str, int]):
    __slots__ = ()

    def __new__(cls, host: str, port: int) -> "_StreamAddress":
        return super().__new__(cls, (host, port))

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and tuple.__eq__(self, other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return hash((type(self).__name__, self[0], self[1]))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self[0]!r}, {self[1]})"


class TcpAddress(_StreamAddress):
    """The far end of a TCP connection."""

    __slots__ = ()


class TlsAddress(_StreamAddress):
    """The far end of a TLS connection."""

    __slots__ = ()


def transport_of(address: Address) -> Transport:
    """How an address is reached."""
    if isinstance(address, TcpAddress):
        return Transport.TCP
    return Transport.TLS if isinstance(address, TlsAddress) else Transport.UDP


def is_stream(address: Address) -> bool:
    """Whether messages to that address arrive or fail, without being sent again by us."""
    return isinstance(address, _StreamAddress)


def hop(host: str, port: int, transport: Transport = Transport.UDP) -> Address:
    """The address of a host and port by a transport."""
    if transport is Transport.TCP:
        return TcpAddress(host, port)
    return TlsAddress(host, port) if transport is Transport.TLS else (host, port)


def moved(address: Address, host: str, port: int) -> Address:
    """Another host and port by the same transport."""
    return hop(host, port, transport_of(address))


def uri_transport(uri: Uri) -> Transport:
    """The transport a SIP URI asks for; one that we do not speak counts as UDP."""
    name = (param(uri.params, "transport") or "").lower()
    if uri.scheme == "sips" or name == "tls":
        return Transport.TLS
    return Transport.TCP if name == "tcp" else Transport.UDP


def usual_port(transport: Transport) -> int:
    """Where SIP is reached when nothing says another port (RFC 3261 §19.1.2)."""
    return 5061 if transport is Transport.TLS else 5060
