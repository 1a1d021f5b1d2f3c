"""The message parser: golden files, round trips, any bytes."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callqa.errors import ProtocolError
from callqa.sip.wire.headers import (
    Headers,
    parse_cseq,
    parse_name_addr,
    parse_params,
    parse_uri,
    parse_via,
    split_outside,
    usual_name,
)
from callqa.sip.wire.identity import called_number, caller_number
from callqa.sip.wire.message import Request, Response, parse_message, reply, serialise

FOLDER = Path(__file__).parent.parent / "data" / "sip"
GOOD = sorted(p for p in FOLDER.glob("*.sip") if not p.name.startswith("bad_"))
BAD = sorted(FOLDER.glob("bad_*.sip"))


@pytest.mark.parametrize("path", GOOD, ids=lambda p: p.stem)
def test_good_message_is_read_and_written_back_without_change(path: Path):
    message = parse_message(path.read_bytes())
    assert parse_message(serialise(message)) == message
    assert parse_message(serialise(message) + b"\r\ntrailing") == message
    if isinstance(message, Request):
        assert called_number(message) == "12345"
        assert caller_number(message) == ("" if "withheld" in path.stem else "13871206358")


@pytest.mark.parametrize("path", BAD, ids=lambda p: p.stem)
def test_bad_message_is_refused(path: Path):
    with pytest.raises(ProtocolError):
        parse_message(path.read_bytes())


@pytest.mark.parametrize("path", GOOD, ids=lambda p: p.stem)
def test_every_prefix_is_a_message_or_protocol_error(path: Path):
    data = path.read_bytes()
    for n in range(len(data)):
        try:
            message = parse_message(data[:n])
        except ProtocolError:
            continue
        assert parse_message(serialise(message)) == message


def test_every_file_is_described():
    described = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert [p.name for p in (*GOOD, *BAD) if f"`{p.name}`" not in described] == []


@pytest.mark.parametrize("encoding", ["utf8", "gb18030"])
def test_chinese_display_name(encoding: str):
    message = parse_message((FOLDER / f"invite_chinese_name_{encoding}.sip").read_bytes())
    assert isinstance(message, Request) and message.from_.display == "市民 张三"


def test_all_hops_are_separate_fields():
    message = parse_message((FOLDER / "invite_vias_in_one_line.sip").read_bytes())
    hops = [parse_via(v) for v in message.headers.all("Via")]
    assert [(h.transport, h.host, h.port) for h in hops] == [("UDP", "10.0.0.9", 5062), ("TCP", "gw.example.com", None)]


def test_header_injection_is_flattened():
    message = Response(200, "OK", Headers.of(("Subject", "a\r\nEvil: yes")))
    assert b"\r\nEvil" not in serialise(message)


TOKENS = st.text("abcdefghijklmnopqrstuvwxyzABCXYZ0123456789-._~", min_size=1, max_size=12)
VALUES = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), max_size=20)
NAMES = TOKENS.map(lambda t: f"X-{t}")


@given(
    method=TOKENS,
    user=TOKENS,
    call_id=TOKENS,
    extra=st.lists(st.tuples(NAMES, VALUES), max_size=6),
    body=st.binary(max_size=50),
    n=st.integers(0, 2**31 - 1),
)
def test_parse_of_serialise_is_identity(
    method: str, user: str, call_id: str, extra: list[tuple[str, str]], body: bytes, n: int
):
    fields = (
        ("Via", "SIP/2.0/UDP h:1;branch=z9hG4bK1"), ("From", f'"{user}" <sip:{user}@h>;tag=1'), ("To", "<sip:b@h>"), ("Call-ID", call_id),
        ("CSeq", f"{n} {method}"), *extra,
    )  # fmt: skip
    request = Request(method, f"sip:{user}@h", Headers.of(*fields), body)
    assert parse_message(serialise(request)) == request
    response = reply(request, 200, to_tag="t", body=body)
    assert parse_message(serialise(response)) == response


PIECES = st.sampled_from(
    [b"INVITE sip:a@b SIP/2.0\r\n", b"SIP/2.0 200 OK\r\n", b"Via: SIP/2.0/UDP h;branch=z9hG4bK1\r\n", b"From: <sip:a@b>;tag=1\r\n", b"To: <sip:a@b>\r\n",
     b"Call-ID: 1\r\n", b"CSeq: 1 INVITE\r\n", b"Content-Length: 5\r\n", b"\r\n", b"\n", b" ", b"\t", b'"', b"<", b">", b",", b";", b"\\", b"\0", b"\xff\xfe",
     "张".encode(), b"m: *\r\n", b"l: \xc2\xb2\r\n"]
)  # fmt: skip


@given(
    st.one_of(st.binary(max_size=300), st.lists(st.one_of(PIECES, st.binary(max_size=4)), max_size=25).map(b"".join))
)
def test_any_bytes_give_a_message_or_protocol_error(data: bytes):
    try:
        message = parse_message(data)
    except ProtocolError:
        return
    assert message.via.host and message.cseq.number >= 0 and message.call_id
    assert parse_message(serialise(message)) == message


@given(st.text(max_size=60))
def test_value_parsers_are_total(text: str):
    for parse in (parse_uri, parse_name_addr, parse_via, parse_cseq):
        try:
            value = parse(text)
        except ProtocolError:
            continue
        assert str(value)
    parse_params(text)
    split_outside(text, ",")
    usual_name(text)


@given(name=st.text(st.characters(exclude_categories=("C",)), max_size=20), user=TOKENS, tag=TOKENS)
def test_name_addr_round_trip(name: str, user: str, tag: str):
    address = parse_name_addr(f"<sip:{user}@h>;tag={tag}")
    named = type(address)(address.uri, name.strip(), address.params)
    assert parse_name_addr(str(named)) == named
