"""Who took the call: sign-in first, roster where that says nothing, nobody guessed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callqa.tickets.attribution import (
    AttributionSource,
    CallSpan,
    RosterSpan,
    SeatLoginSpan,
    attribute,
)

T = 1_793_664_750_000
CALL = CallSpan("C1", "8001", T - 5_000, T)
HOUR = 3_600_000


def login(agent_no: str, start: int = -HOUR, end: int | None = None, seat: str = "8001") -> SeatLoginSpan:
    return SeatLoginSpan(seat, agent_no, T + start, None if end is None else T + end)


def planned(agent_no: str, seat: str | None = "8001", start: int = -HOUR, end: int = HOUR) -> RosterSpan:
    return RosterSpan(agent_no, seat, "day", T + start, T + end)


@pytest.mark.parametrize(
    ("logins", "roster", "agent_no", "source", "part"),
    [
        ([login("801")], [planned("802")], "801", "login", "由工号 801 签入"),
        ([login("801", -HOUR, 0), login("802", 0)], [], "802", "login", "802"),  # handover at that very instant
        ([login("801", -HOUR, 1)], [], "801", "login", "801"),
        ([login("801"), login("801", -10)], [], "801", "login", "801"),  # twice the same person is one person
        ([login("801"), login("802", -10)], [planned("802")], "802", "roster", "2 人同时签入（801、802）"),
        ([login("801"), login("802", -10)], [], None, "unknown", "2 人同时签入"),
        ([login("801"), login("802", -10)], [planned("803")], None, "unknown", "互相矛盾"),
        ([], [planned("803")], "803", "roster", "按排班白班席位 8001只有工号 803"),
        ([], [planned("803", None)], "803", "roster", "当班只有工号 803"),
        (
            [],
            [planned("803", None), planned("804")],
            "804",
            "roster",
            "804",
        ),  # the seat's own plan goes before the shift's
        ([], [planned("803"), planned("804")], None, "unknown", "排班有 2 人（803、804）"),
        ([], [planned("803", "8002")], None, "unknown", "没有该席位的排班"),
        ([login("803", seat="8002")], [planned("803")], None, "unknown", "签入在席位 8002"),
        ([login("801", 9_000)], [], None, "unknown", "工号 801 在接通后 9 秒签入"),
        ([login("801", -HOUR, -1)], [], None, "unknown", "无人签入"),
    ],
)
def test_sign_in_then_roster_then_a_person(logins, roster, agent_no, source, part):
    found = attribute(CALL, logins, roster)
    assert (found.agent_no, found.source.value) == (agent_no, source)
    assert part in found.reason


def test_an_unanswered_call_and_one_without_seat_belong_to_nobody():
    assert attribute(CallSpan("C", "8001", T, None), [login("801")], []).reason == "通话未接通，不作归属"
    assert attribute(CallSpan("C", None, T, T), [login("801")], []).source is AttributionSource.UNKNOWN


_LOGINS = st.lists(
    st.builds(
        SeatLoginSpan,
        st.sampled_from(["8001", "8002"]),
        st.sampled_from(["801", "802"]),
        st.integers(-3, 1).map(lambda n: T + n),
        st.none() | st.integers(-1, 3).map(lambda n: T + n),
    ),
    max_size=4,
)
_ROSTER = st.lists(
    st.builds(
        RosterSpan,
        st.sampled_from(["801", "802"]),
        st.sampled_from(["8001", "8002", None]),
        st.sampled_from(["day", "night"]),
        st.integers(-2, 1).map(lambda n: T + n),
        st.integers(1, 3).map(lambda n: T + n),
    ),
    max_size=4,
)


@given(_LOGINS, _ROSTER, st.randoms(use_true_random=False))
def test_order_does_not_matter_and_an_agent_is_named_exactly_when_a_source_is(logins, roster, random):
    found = attribute(CALL, logins, roster)
    mixed_logins, mixed_roster = list(logins), list(roster)
    random.shuffle(mixed_logins)
    random.shuffle(mixed_roster)
    assert attribute(CALL, mixed_logins, mixed_roster) == found
    assert (found.agent_no is None) == (found.source is AttributionSource.UNKNOWN)


@given(_LOGINS, _ROSTER)
def test_a_stranger_at_another_seat_and_time_changes_nothing(logins, roster):
    extra = [*logins, SeatLoginSpan("8009", "809", T - HOUR, None)]
    assert attribute(CALL, extra, [*roster, RosterSpan("809", "8009", "day", T - HOUR, T + HOUR)]) == attribute(
        CALL, logins, roster
    )
