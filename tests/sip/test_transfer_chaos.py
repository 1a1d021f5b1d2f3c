"""Random stories of a hall that transfers, consults, holds, picks up and hangs up while messages get lost. One seed is one
story; whatever happens, each call ends once, every port goes back, no dialog, timer or leg is left behind."""

import random

import pytest

from callqa.sip.legs.leg import Leg
from callqa.sip.wire.sdp import MediaDirection
from tests.sip.simulated import Network, SimPhone, desk, ringing_hotline, seat
from tests.sip.test_attended import replaces
from tests.sip.test_transfer_races import each_call_ended_once, end_all

SEATS = ("8001", "8002", "8003")
STEPS = 40
ODDS = {"call": 4, "answer": 4, "refuse": 1, "hang up": 1, "refer": 5, "join": 4, "hold": 2, "mark": 1, "pick up": 1}


def legs(phone: SimPhone, *, talking: bool) -> list[Leg]:
    return [x for x in phone.legs if x.talks is talking and x.dialog.key in phone.core.legs]


class Story:
    """One hall and what its people do next."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        routing = desk().routing.model_copy(update={"queue_most": self.dice.choice((0, 3)), "queue_wait_s": 20})
        hall = desk(*(seat(e, e) for e in SEATS), ring_timeout_s=10)
        hall = hall.model_copy(update={"routing": routing.model_copy(update={"ring_timeout_s": 10})})
        self.net = Network(hall)
        self.trunk, self.phones = ringing_hotline(self.net, *SEATS)
        for phone in (self.trunk, *self.phones):
            phone.codecs = self.dice.choice((phone.codecs, phone.codecs, phone.codecs[:1], phone.codecs[1:2]))
        loss = self.dice.choice((0.0, 0.0, 0.05, 0.2))
        self.net.lose = lambda data, a, b: self.dice.random() < loss

    def step(self) -> None:
        phone = self.dice.choice((self.trunk, *self.phones))
        talking, ringing = legs(phone, talking=True), [x for x in legs(phone, talking=False) if x.called_us]
        do = self.dice.choices(list(ODDS), list(ODDS.values()))[0]
        if ringing and self.dice.random() < 0.5:
            do = "answer"
        if do == "call" and (phone is self.trunk or talking or self.dice.random() < 0.2):
            phone.call("12345" if phone is self.trunk else self.dice.choice((*SEATS, "13900001111", "00123")))
        elif do == "answer" and ringing:
            phone.answer(
                self.dice.choice(ringing), codecs=self.dice.choice((None, None, None, None, ((0, "PCMU/8000"),)))
            )
        elif do == "refuse" and ringing:
            self.dice.choice(ringing).refuse(self.dice.choice((486, 603, 480, 503)), self.net.now)
        elif do == "hang up" and phone.legs:
            phone.hang_up(self.dice.choice(phone.legs))
        elif talking and do == "refer":
            extra = self.dice.choice(((), (("Refer-Sub", "false"),)))
            phone.refer(self.dice.choice(talking), self.dice.choice((*SEATS, "13900001111", "")), *extra)
            if self.dice.random() < 0.4:
                phone.hang_up(self.dice.choice(talking))
        elif talking and do == "join":
            first, second = self.dice.choice(talking), self.dice.choice(phone.legs)
            phone.refer_to_dialog(first, second, self.dice.choice(SEATS))
            if self.dice.random() < 0.3:
                phone.hang_up(self.dice.choice((first, second)))
        elif talking and do == "hold":
            directions = (MediaDirection.SENDONLY, MediaDirection.INACTIVE, MediaDirection.SENDRECV)
            method = self.dice.choice(("INVITE", "UPDATE"))
            phone.reinvite(self.dice.choice(directions), self.dice.choice(talking), method)
        elif do == "mark" and phone is not self.trunk:
            phone.call("*131")
        elif do == "pick up" and phone is not self.trunk:
            others = [x for p in self.phones if p is not phone for x in legs(p, talking=True)]
            if others:
                phone.call("8001", replaces(self.dice.choice(others)))
        self.net.flush()
        self.net.run(self.dice.choice((0.004, 0.02, 0.3, 2.0, 7.0)))

    def finish(self) -> None:
        """Nobody loses anything any more, and everybody hangs up until it is quiet."""
        self.net.lose = lambda data, a, b: False
        for _ in range(6):
            end_all(self.net, self.trunk, *self.phones)
            self.net.run(12)
        self.net.settle()


@pytest.mark.parametrize("seed", range(40))
def test_a_hall_in_disorder(seed: int):
    story = Story(seed)
    for _ in range(STEPS):
        story.step()
    story.finish()
    each_call_ended_once(story.net)
