"""The invariants of docs/domain/sampling.md §8.1-8.4 and §8.8 as laws over invented months."""

from collections import Counter
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from callqa.errors import RubricError
from callqa.periods import Month
from callqa.scoring.frame import Frame, FrameCandidate, FrameEntry, build_frame, parse_frame
from callqa.scoring.plan import Stratum
from callqa.scoring.plan_text import parse_plan
from callqa.scoring.sampling import derive_seed, draw, verify

PLAN = parse_plan((Path(__file__).parents[2] / "scorecards" / "sampling.yaml").read_text(encoding="utf-8"))
MONTH = Month(2026, 11)

candidates = st.lists(
    st.builds(
        FrameCandidate,
        call_id=st.text("0123456789ABCZ-", min_size=1, max_size=6),
        agent_no=st.sampled_from([None, "801", "802", "803"]),
        started_at_ms=st.integers(MONTH.start_ms - 1000, MONTH.end_ms + 1000),
        duration_ms=st.integers(0, 600_000),
        connected=st.booleans(),
        recording_status=st.sampled_from(["ok", "ok", "ok", "missing", "corrupt", "pending"]),
        sha256=st.sampled_from([None, "ab" * 32]),
        call_type=st.sampled_from(["inbound", "verify", "callback"]),
        excluded_as=st.sampled_from([None, None, None, "test_call", "internal_call", "wrong_number", "overflow"]),
        satisfaction=st.sampled_from([(), ("满意",), ("不满意",)]),
        repeat_complaint=st.booleans(),
        urgent_flag=st.booleans(),
        suspected_fatal=st.booleans(),
    ),
    unique_by=lambda c: c.call_id,
    max_size=60,
)
seeds = st.binary(min_size=32, max_size=32).map(bytes.hex)


@given(candidates)
def test_frame_exclusions_and_gaps_make_up_the_connected_calls(calls: list[FrameCandidate]) -> None:
    frame = build_frame(calls, MONTH, PLAN)
    connected = {c.call_id for c in calls if c.connected and MONTH.start_ms <= c.started_at_ms < MONTH.end_ms}
    parts = [e.call_id for e in frame.entries] + [x.call_id for x in frame.exclusions + frame.gaps]
    assert len(parts) == len(set(parts)) and set(parts) == connected
    assert sum(frame.sizes.values()) == len(frame.entries)


@given(candidates, st.randoms(use_true_random=False), seeds)
def test_reading_order_changes_neither_frame_nor_draw(calls: list[FrameCandidate], shuffler: object, seed: str) -> None:
    frame = build_frame(calls, MONTH, PLAN)
    mixed = list(calls)
    shuffler.shuffle(mixed)  # type: ignore[attr-defined]
    assert build_frame(mixed, MONTH, PLAN).text == frame.text
    backwards = Frame(frame.month, tuple(reversed(frame.entries)))
    assert draw(backwards, PLAN.quotas, seed) == draw(frame, PLAN.quotas, seed)


@given(candidates)
def test_frame_file_reads_back(calls: list[FrameCandidate]) -> None:
    frame = build_frame(calls, MONTH, PLAN)
    again = parse_frame(frame.text)
    assert again.entries == frame.entries and again.text == frame.text


@given(candidates.filter(bool), st.data())
def test_changing_any_field_of_any_call_changes_hash_and_seed(calls: list[FrameCandidate], data: st.DataObject) -> None:
    frame = build_frame(calls, MONTH, PLAN)
    if not frame.entries:
        return
    index = data.draw(st.integers(0, len(frame.entries) - 1))
    field = data.draw(st.sampled_from(["agent_no", "stratum", "started_at", "duration_ms", "recording_sha256"]))
    old = frame.entries[index]
    new_values = {
        "agent_no": "899",
        "stratum": next(s for s in Stratum if s is not old.stratum),
        "started_at": "2026-12-31T00:00:00+08:00",
        "duration_ms": old.duration_ms + 1,
        "recording_sha256": "cd" * 32,
    }
    values = {name: getattr(old, name) for name in FrameEntry.__slots__} | {field: new_values[field]}
    changed = Frame(frame.month, (*frame.entries[:index], FrameEntry(**values), *frame.entries[index + 1 :]))
    assert changed.frame_hash != frame.frame_hash
    nonces = ("0123456789abcdef", "fedcba9876543210")
    seeds = {derive_seed(f.frame_hash, PLAN.plan_hash, *nonces) for f in (frame, changed)}
    assert len(seeds) == 2


@given(candidates, seeds)
def test_sample_sizes_and_disjoint_reserves(calls: list[FrameCandidate], seed: str) -> None:
    frame = build_frame(calls, MONTH, PLAN)
    result = draw(frame, PLAN.quotas, seed)
    sample, reserves = [{one.entry.call_id for one in part} for part in (result.sample, result.reserves)]
    assert not sample & reserves
    by_agent = Counter(one.entry.agent_no for one in result.sample)
    assert by_agent == {a: min(10, n) for a, n in Counter(e.agent_no for e in frame.entries).items()}
    taken = Counter((one.entry.agent_no, one.entry.stratum) for one in result.sample)
    assert all(taken[h] <= size for h, size in frame.sizes.items())


def test_inclusion_frequency_tends_to_the_sampling_fraction() -> None:
    calls = [
        FrameCandidate(f"C{i:02}", "801", MONTH.start_ms, 60_000, True, "ok", "ab" * 32, "inbound", urgent_flag=i < 6)
        for i in range(30)
    ]
    frame = build_frame(calls, MONTH, PLAN)
    # The longest call joins the risk stratum: ⌈0.05·30⌉ = 2 by call_id, both urgent already. N = 6 and 24, n = 3 and 7.
    runs = 3000
    hits: Counter[str] = Counter()
    for i in range(runs):
        seed = derive_seed(frame.frame_hash, PLAN.plan_hash, f"nonce-a-{i:012}", "nonce-b-0000000")
        hits.update(one.entry.call_id for one in draw(frame, PLAN.quotas, seed).sample)
    for entry in frame.entries:
        expected = {Stratum.RISK: 3 / 6, Stratum.NORMAL: 7 / 24}[entry.stratum]
        assert abs(hits[entry.call_id] / runs - expected) < 4.5 * (expected * (1 - expected) / runs) ** 0.5


@given(st.text(max_size=200) | st.text("callqa-frme/1\tonth=206-,rskTZ:+\n", max_size=200))
@settings(max_examples=200)
def test_any_text_is_a_frame_or_refused(text: str) -> None:
    for attempt in (text, "callqa-frame/1\tmonth=2026-11\n" + text):
        try:
            frame = parse_frame(attempt)
        except RubricError:
            continue
        assert frame.text == attempt


@given(st.text(max_size=200))
def test_any_plan_json_is_read_or_refused(text: str) -> None:
    try:
        verify("callqa-frame/1\tmonth=2026-11\n", text, "a" * 16, "b" * 16)
    except RubricError:
        return
