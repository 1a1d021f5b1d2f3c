"""Awkward peers and moments: calls that cross, repeat, lack or overdo something. Each must stay one row, truly told."""

from callqa.journal import JournalEntry, JournalKind, decode_line, encode_entry
from callqa.sip.events import (
    CallStarted,
    CallUnanswered,
    SipFault,
)
from callqa.sip.process.journal_writer import JournalWriter
from callqa.sip.process.transport import SipTransport
from tests.sip.simulated import Network, SimPhone, desk, ringing_hotline


def storable(text: str) -> bool:
    entry = JournalEntry(number=1, at_ms=0, kind=JournalKind.FAULT, facts={"text": text})
    return text.isprintable() and decode_line(encode_entry(entry)[:-1]) == entry


def test_headers_in_no_encoding_are_kept_as_text_that_can_be_stored():
    """Half a surrogate pair in a ticket hint stopped spool and journal of the call."""
    net = Network()
    trunk, (one, _) = ringing_hotline(net)
    trunk.call("12345", ("X-Ticket-Id", "SW\udcff\udcfe1"), ("User-to-User", "a\x00b\udc80"))
    net.run(1)
    (started,) = net.of(CallStarted)
    assert (started.ticket_hint, started.user_to_user) == ("SW??1", "a b?")
    assert storable(started.ticket_hint) and storable(started.user_to_user)
    assert one.requests("INVITE")[0].headers.first("X-Ticket-Id") == "SW??1"
    trunk.hang_up()
    net.settle()


def test_a_strange_user_name_at_the_door_makes_a_fault_that_can_be_stored():
    net = Network()
    phone = SimPhone(net, ("10.0.2.9", 5060), "99\udcff\x0799")
    assert phone.register() == 403
    (fault,) = net.of(SipFault)
    assert "99? 99" in fault.text and storable(fault.text)


def test_a_journal_takes_whatever_text_comes(tmp_path):
    """One line that could not be encoded stayed at the head of the queue, and nothing was written ever after."""
    journal = JournalWriter(tmp_path)
    assert journal.append(JournalKind.FAULT, 1_795_305_600_000, text="bad \udcff")
    assert journal.append(JournalKind.CALL_STARTED, 1_795_305_600_000, "A-1", from_number="1", answered_at_ms=None)
    journal.close()
    lines = (tmp_path / "2026-11-22.jsonl").read_bytes().splitlines()
    assert [e.facts for e in map(decode_line, lines) if e] == [
        {"text": "bad ?"},
        {"from_number": "1", "answered_at_ms": None},
    ]


def test_a_trunk_given_by_name_is_refused_with_a_hint():
    """There is no DNS: the datagram could not be sent, and the seat heard nothing for half a minute."""
    named = desk()
    trunk = named.trunks[0].model_copy(update={"host": "sip.carrier.example"})
    net = Network(named.model_copy(update={"trunks": (trunk,)}))
    _, (one, _) = ringing_hotline(net)
    one.call("13900001111")
    net.run(1)
    assert one.log == ["refused 503"]
    assert "不是 IP 地址" in net.of(CallUnanswered)[0].reason
    net.settle()


class Agent:
    """A user agent with something to send and to tell."""

    def datagrams(self):
        return [(b"1", ("2001:db8::1", 5060)), (b"2", ("10.0.0.1", 5060))]

    def events(self):
        return ["told"]

    def next_deadline(self):
        return None


def test_a_datagram_that_cannot_be_sent_holds_up_no_other_and_no_event():
    sent, told = [], []

    class Wire:
        def sendto(self, data, address):
            if ":" in address[0]:
                raise ValueError("socket family mismatch or a DNS lookup is required")
            sent.append(data)

    transport = SipTransport(Agent(), told.append)
    transport.connection_made(Wire())
    transport.pump()
    assert (sent, told) == ([b"2"], ["told"])
