"""What phones are challenged with: by default, and as the setting has it."""

import asyncio
from pathlib import Path

import pytest

from callqa.config import SipSettings
from callqa.sip.core import UserAgentSettings
from callqa.sip.events import SipFault
from callqa.sip.wire.auth import parse_challenge
from tests.ports import own_port
from tests.recorder.harness import Home, make_desk
from tests.sip.simulated import UA, Network, SimPhone
from tests.sip.test_stream_sockets import Wire

BOTH = ("SHA-256", "MD5")


def offered(phone: SimPhone) -> list[str]:
    """The algorithms of the last challenge, in order."""
    found = [r for r in phone.responses("REGISTER") if r.status == 401][-1]
    return [parse_challenge(v).algorithm for v in found.headers.all("WWW-Authenticate")]


def taken_back(phone: SimPhone, offers: str, answers: str) -> int:
    """Register with credentials in another algorithm than the challenge had."""
    (challenge,) = [r for r in phone.responses("REGISTER") if r.status == 401][-1].headers.all("WWW-Authenticate")
    forged = challenge.replace(offers, answers)
    response = phone.responses("REGISTER")[-1]
    response = type(response)(401, "", response.headers.replaced("WWW-Authenticate", forged))
    made = phone.credentials(response, "REGISTER", f"sip:{UA[0]}", algorithm=answers)
    assert made is not None
    phone.ask("REGISTER", ("Contact", f"<sip:8001@{phone.address[0]}>"), made)
    phone.net.run(0.1)
    return phone.answers[-1].status


def test_the_default_of_setting_and_user_agent_is_md5() -> None:
    assert SipSettings().digest_algorithms == "MD5" and UserAgentSettings(UA, lambda _: UA[0]).digest_algorithms == (
        "MD5",
    )
    assert Network().digest == ("MD5",), "the stories are told with it"


def test_by_default_a_phone_is_offered_md5_alone_and_may_answer_in_sha_256() -> None:
    net = Network()
    phone = SimPhone(net, ("10.0.2.1", 5060), "8001")
    assert phone.register() == 200 and offered(phone) == ["MD5"]
    assert phone.register(algorithm="SHA-256") == 401, "it finds no challenge that it would answer"
    assert taken_back(phone, "MD5", "SHA-256") == 200
    assert not net.of(SipFault)
    net.settle()


@pytest.mark.parametrize("algorithm", BOTH)
def test_both_may_be_offered(algorithm: str) -> None:
    net = Network(digest=BOTH)
    phone = SimPhone(net, ("10.0.2.1", 5060), "8001")
    assert phone.register(algorithm=algorithm) == 200 and offered(phone) == list(BOTH)
    net.settle()


def test_where_only_sha_256_is_offered_nobody_gets_in_by_md5() -> None:
    net = Network(digest=("SHA-256",))
    phone = SimPhone(net, ("10.0.2.1", 5060), "8001")
    assert phone.register() == 401 and offered(phone) == ["SHA-256"]
    assert taken_back(phone, "SHA-256", "MD5") == 403
    (told,) = net.of(SipFault)
    assert "MD5" in told.text and "8001" in told.text and not net.ua.seats()[0].registered
    assert phone.register(algorithm="SHA-256") == 200
    net.settle()


@pytest.mark.parametrize(
    ("setting", "algorithms"), [("", ["MD5"]), ("SHA-256,MD5", ["SHA-256", "MD5"]), ("SHA-256", ["SHA-256"])]
)
def test_the_recorder_challenges_as_it_is_set(tmp_path: Path, setting: str, algorithms: list[str]) -> None:
    more = {"digest_algorithms": setting} if setting else {}
    port = own_port()
    home = Home(tmp_path, make_desk(["8001"]), tcp_port=port, **more)

    async def story() -> None:
        await home.start()
        wire = await Wire.open(port)
        refused = await wire.request("REGISTER", ("Contact", "<sip:8001@127.0.0.1;transport=tcp>"))
        found = [parse_challenge(v).algorithm for v in refused.headers.all("WWW-Authenticate")]
        assert (refused.status, found) == (401, algorithms)
        assert await wire.register() == 200
        await wire.close()

    try:
        asyncio.run(story())
    finally:
        assert home.stop() == 0
