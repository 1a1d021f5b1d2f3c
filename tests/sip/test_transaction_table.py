"""The transaction tables: every state can be left, every row leads somewhere that exists."""

from callqa.sip.legs.transaction_table import TABLE, TIMERS, Kind, On, State

START = {
    Kind.INVITE_CLIENT: State.CALLING,
    Kind.CLIENT: State.TRYING,
    Kind.INVITE_SERVER: State.PROCEEDING,
    Kind.SERVER: State.TRYING,
}


def states_of(kind: Kind) -> set[State]:
    return {START[kind]} | {after for (k, _, _), (after, _) in TABLE.items() if k is kind}


def test_every_state_is_reached_and_leads_to_the_end():
    for kind in Kind:
        reached, new = {START[kind]}, {START[kind]}
        while new:
            new = {after for (k, s, _), (after, _) in TABLE.items() if k is kind and s in new} - reached
            reached |= new
        assert reached == states_of(kind) and State.TERMINATED in reached
        assert all(s in reached for k, s, _ in TABLE if k is kind)


def test_every_timer_has_its_row():
    for (kind, state), (repeat, on, after_s) in TIMERS.items():
        if repeat is not None:
            assert (kind, state, On.AGAIN) in TABLE and 0 < repeat.first_s <= repeat.most_s
        assert on is not None and after_s > 0 and TABLE[kind, state, on][0] is State.TERMINATED


def test_only_states_that_wait_for_their_user_have_no_timer():
    waiting = {(k, s) for k in Kind for s in states_of(k) if s is not State.TERMINATED} - set(TIMERS)
    assert waiting == {
        (Kind.INVITE_CLIENT, State.PROCEEDING),  # ringing: bridge.py has the ring time-out
        (Kind.INVITE_SERVER, State.PROCEEDING),
        (Kind.SERVER, State.TRYING),
        (Kind.SERVER, State.PROCEEDING),
    }
