"""The published test vectors of docs/domain/sampling.md §3.3, the plan's errors, and eligibility and strata case by case."""

import importlib.util
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from callqa.errors import RubricError, StateError
from callqa.periods import Month
from callqa.scoring.frame import FrameCandidate, TicketTrace, build_frame, parse_frame, repeated
from callqa.scoring.plan import Quotas, Stratum, hash_of
from callqa.scoring.plan_text import parse_plan
from callqa.scoring.sampling import Kind, allocate, check_nonce, commitment, derive_seed, rank_of, verify
from callqa.usecases.verify_draw import repeated_lines

ROOT = Path(__file__).parents[2]
PLAN_TEXT = (ROOT / "scorecards" / "sampling.yaml").read_text(encoding="utf-8")
PLAN = parse_plan(PLAN_TEXT)
MONTH = Month(2026, 11)

VECTOR_PLAN = '{"algo":"callqa-sample/1","month":"2026-11","quota":{"callback":2,"normal":2,"risk":3}}'
VECTOR_FRAME = "callqa-frame/1\tmonth=2026-11\n" + "".join(
    f"C202611-000{i}\t{agent}\t{stratum}\t{started}\t{duration}\t{str(i) * 2 * 32}\n"
    for i, (agent, stratum, started, duration) in enumerate(
        [
            ("A03", "normal", "2026-11-01T08:03:11+08:00", 184200),
            ("A03", "normal", "2026-11-01T09:15:40+08:00", 95000),
            ("A05", "callback", "2026-11-02T10:00:00+08:00", 61000),
            ("A03", "normal", "2026-11-03T23:41:09+08:00", 402700),
            ("A03", "risk", "2026-11-04T07:12:00+08:00", 250100),
            ("A03", "normal", "2026-11-05T14:22:31+08:00", 33000),
        ],
        1,
    )
)
NONCE_A, NONCE_B = "3f9c0a1e5d7b2468", "08123456789012345678"


def candidate(call_id: str = "C1", **changes: object) -> FrameCandidate:
    """An ordinary inbound call of agent 801 on 2 November 2026 at 09:00."""
    base = FrameCandidate(
        call_id=call_id,
        agent_no="801",
        started_at_ms=MONTH.start_ms + 86_400_000 + 9 * 3_600_000,
        duration_ms=60_000,
        connected=True,
        recording_status="ok",
        sha256="ab" * 32,
        call_type="inbound",
    )
    return replace(base, **changes)  # type: ignore[arg-type]


def test_published_hashes_and_seed() -> None:
    assert hash_of(VECTOR_FRAME) == "cf48d273c0f2ddd259e2b5f347674bbf3d4bcb69ce4e1e6fddd6b5e80ed436cb"
    assert hash_of(VECTOR_PLAN) == "c09b78f4af8c64b1c27236a8ec08ec9afc0f7f353a30bb58bc6d614910e20033"
    assert commitment(NONCE_A) == "302c2299c3515cd702a0ca11f99cde4add549132f435b207091a83bfe8639c9a"
    assert commitment(NONCE_B) == "f16c2d1a06695ae80771b407fc890c0ebd603b6e5b575855f254edb27f71b557"
    seed = derive_seed(hash_of(VECTOR_FRAME), hash_of(VECTOR_PLAN), NONCE_A, NONCE_B)
    assert seed == "819f009b5c6f2796685ceb7f62a53f974946f7703337ecd65c6f0fe808de8aba"


def test_published_ranks_and_draw() -> None:
    draw = verify(VECTOR_FRAME, VECTOR_PLAN, NONCE_A, NONCE_B)
    got = {one.entry.call_id[-1]: (one.rank[:16], one.entry.agent_no) for one in draw.entries}
    assert got == {
        "6": ("0b0ccdefcaab6550", "A03"),
        "1": ("96fbc73064034776", "A03"),
        "4": ("a8c968ccbc771468", "A03"),
        "2": ("e24f24d3001a82a4", "A03"),
        "5": ("82c95c19447d2b6a", "A03"),
        "3": ("47f14d372e30970c", "A05"),
    }


def test_quotas_alone_leave_the_published_order_of_reserves() -> None:
    """The rank table shows A03's normal stratum at two calls, before §4 hands it what risk and callback lack."""
    ranked = sorted(["1", "2", "4", "6"], key=lambda n: rank_of(SEED, f"C202611-000{n}"))
    assert ranked == ["6", "1", "4", "2"]


SEED = "819f009b5c6f2796685ceb7f62a53f974946f7703337ecd65c6f0fe808de8aba"


def test_stand_alone_verifier_agrees_byte_for_byte(tmp_path: Path) -> None:
    script = ROOT / "scorecards" / "verify_draw.py"
    spec = importlib.util.spec_from_file_location("verify_draw", script)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    calls = [
        candidate(f"C{i:04}", agent_no=f"8{i % 3:02}", duration_ms=20_000 + 997 * (i * i % 101)) for i in range(90)
    ]
    calls += [candidate(f"D{i:04}", agent_no=f"8{i % 4:02}", call_type="callback") for i in range(11)]
    frame = build_frame(calls, MONTH, PLAN)
    ours = verify(frame.text, PLAN.plan_json, NONCE_A, NONCE_B)
    seed, rows = module.draw(frame.text.encode(), PLAN.plan_json.encode(), NONCE_A, NONCE_B)
    assert seed == ours.seed
    assert rows == [
        (d.entry.agent_no, str(d.entry.stratum), str(d.kind), d.position, d.entry.call_id, d.rank) for d in ours.entries
    ]
    (tmp_path / "frame.tsv").write_bytes(VECTOR_FRAME.encode())
    (tmp_path / "plan.json").write_bytes(VECTOR_PLAN.encode() + b"\n")
    command = [sys.executable, str(script), str(tmp_path / "frame.tsv"), str(tmp_path / "plan.json"), NONCE_A, NONCE_B]
    printed = subprocess.run(command, capture_output=True, check=True).stdout.decode()
    assert f"seed\t{SEED}\n" in printed and "A05\tcallback\tsample\t1\tC202611-0003" in printed
    assert printed == repeated_lines(VECTOR_FRAME, VECTOR_PLAN, NONCE_A, NONCE_B), "callqa verify-draw prints the same"


@pytest.mark.parametrize(
    ("frame", "plan", "says"),
    [
        (VECTOR_FRAME, "{}", "没有每人配额"),
        (VECTOR_FRAME, "[]", "JSON 对象"),
        (VECTOR_FRAME, PLAN_TEXT, "不是 JSON"),
        (VECTOR_PLAN, VECTOR_FRAME, "不是 JSON"),
        (VECTOR_FRAME, '{"quota":{"risk":"3"}}', "配额 risk 应为不小于 0 的整数"),
        (VECTOR_FRAME, '{"quota":{"rare":3}}', "不认识的层“rare”"),
        (VECTOR_FRAME, '{"quota":{"risk":3},"reserves_per_stratum":-1}', "reserves_per_stratum"),
        (VECTOR_PLAN, VECTOR_PLAN, "首行不是 callqa-frame/1"),
        (VECTOR_FRAME + "C1\tA03\n", VECTOR_PLAN, "第 8 行"),
        (None, VECTOR_PLAN, "文件不存在"),
    ],
)
def test_stand_alone_verifier_says_what_is_wrong_with_a_file(
    tmp_path: Path, frame: str | None, plan: str, says: str
) -> None:
    frame_path, plan_path = tmp_path / "frame.tsv", tmp_path / "plan.json"
    if frame is not None:
        frame_path.write_bytes(frame.encode())
    plan_path.write_bytes(plan.encode())
    script = str(ROOT / "scorecards" / "verify_draw.py")
    command = [sys.executable, "-X", "utf8", script, str(frame_path), str(plan_path), NONCE_A, NONCE_B]
    ended = subprocess.run(command, capture_output=True, check=False)
    said = ended.stderr.decode()
    assert (ended.returncode, ended.stdout) == (2, b"")
    assert says in said and "Traceback" not in said


def test_default_plan_reads_as_written() -> None:
    assert PLAN.min_duration_ms == 20_000
    assert PLAN.quotas == Quotas(((Stratum.CALLBACK, 2), (Stratum.NORMAL, 5), (Stratum.RISK, 3)), 3)
    assert [rule.stratum for rule in PLAN.strata] == ["risk", "callback", "normal"]
    assert [rule.within_hours for rule in PLAN.must_review] == [24, 48]
    assert PLAN.plan_json.startswith('{"blind_rescore":{"after_days":14,"min":4,"ratio":0.05},"double_score":')


def test_comments_and_order_of_keys_leave_the_plan_hash_alone() -> None:
    assert parse_plan("# 注\n" + PLAN_TEXT).plan_hash == PLAN.plan_hash
    assert parse_plan(PLAN_TEXT.replace("normal: 5", "normal: 6")).plan_hash != PLAN.plan_hash


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("min_duration_s: 20", "min_durations: 20", "min_duration_s"),
        ("normal: 5}", "normal: five}", "整数"),
        ("normal: 5}", "normal: -1}", "整数"),
        (", normal: 5}", "}", "缺少“normal”"),
        ("duration_top_ratio: 0.05", "duration_top_ratio: 1.5", "不超过 1"),
        ("duration_top_ratio: 0.05", "duration_topratio: 0.05", "是否想写“duration_top_ratio”"),
        ("code: callback, any", "code: callbak, any", "层的 code"),
        ("satisfaction_in: [不满意, 非常不满意]", "satisfaction_in: [很差]", "很差"),
        ("any: [true]", "any: [false]", "只能写 true"),
        ("schema: callqa-sampling/1", "schema: callqa-rubric/1", "callqa-sampling/1"),
        ("largest_remaining", "random", "largest_remaining"),
        ("code: test_call,", "code: tset_call,", "tset_call"),
        ("reserves_per_stratum: 3", "reserves_per_stratum: 3\nreserves_per_stratum: 3", "写了两次"),
        ("type: callback", "type: 回访", "通话类型"),
    ],
)
def test_a_mistake_in_the_plan_is_refused_with_its_line(old: str, new: str, says: str) -> None:
    assert old in PLAN_TEXT
    with pytest.raises(RubricError, match=says) as caught:
        parse_plan(PLAN_TEXT.replace(old, new, 1))
    assert caught.value.line > 0 and f"第 {caught.value.line} 行" in str(caught.value)


@pytest.mark.parametrize(
    "text", ["", "- 1", "a: [", "x", "schema: callqa-sampling/1", "a: &x [*x]", "? [1]\n: 2", "!!python/object:os.x {}"]
)
def test_a_text_that_is_no_plan_is_refused(text: str) -> None:
    with pytest.raises(RubricError):
        parse_plan(text)


def test_every_connected_call_is_framed_excluded_or_a_gap() -> None:
    calls = [
        candidate("C01"),
        candidate("C02", excluded_as="test_call", recording_status="missing"),
        candidate("C03", duration_ms=19_999),
        candidate("C04", duration_ms=20_000),
        candidate("C05", recording_status="missing", sha256=None),
        candidate("C06", recording_status="corrupt"),
        candidate("C07", agent_no=None),
        candidate("C08", recording_status="pending", sha256=None),
        candidate("C09", connected=False),
        candidate("C10", started_at_ms=MONTH.end_ms),
        candidate("C11", started_at_ms=MONTH.start_ms),
        candidate("C12", excluded_as="wrong_number"),
        candidate("C13", excluded_as="internal_call"),
    ]
    frame = build_frame(reversed(calls), MONTH, PLAN)
    assert [entry.call_id for entry in frame.entries] == ["C01", "C04", "C11"]
    assert {one.call_id: one.code for one in frame.exclusions} == {
        "C02": "test_call",
        "C03": "under_20s",
        "C12": "wrong_number",
        "C13": "internal_call",
    }
    assert {one.call_id: one.code for one in frame.gaps} == {
        "C05": "recording_missing",
        "C06": "recording_corrupt",
        "C07": "attribution_unknown",
        "C08": "recording_missing",
    }


@pytest.mark.parametrize(
    ("changes", "stratum"),
    [
        ({}, Stratum.NORMAL),
        ({"call_type": "verify"}, Stratum.NORMAL),
        ({"call_type": "callback"}, Stratum.CALLBACK),
        ({"call_type": "callback", "satisfaction": ("不满意",)}, Stratum.RISK),
        ({"satisfaction": ("满意",)}, Stratum.NORMAL),
        ({"repeat_complaint": True}, Stratum.RISK),
        ({"urgent_flag": True}, Stratum.RISK),
        ({"suspected_fatal": True}, Stratum.RISK),
    ],
)
def test_first_stratum_from_the_top_wins(changes: dict, stratum: Stratum) -> None:
    frame = build_frame([candidate("A0", duration_ms=99_000_000), candidate("C1", **changes)], MONTH, PLAN)
    assert {e.call_id: e.stratum for e in frame.entries}["C1"] is stratum


def test_longest_calls_are_counted_by_agent_and_ties_go_by_call_id() -> None:
    calls = [candidate(f"C{i:02}", duration_ms=300_000) for i in range(21)]  # ceil(0.05 * 21) = 2
    calls += [candidate(f"D{i:02}", agent_no="802", duration_ms=30_000 + i) for i in range(20)]  # ceil(1.0) = 1
    frame = build_frame(reversed(calls), MONTH, PLAN)
    assert [e.call_id for e in frame.entries if e.stratum is Stratum.RISK] == ["C00", "C01", "D19"]


def test_frame_file_is_what_the_specification_writes() -> None:
    call = candidate("C202611-0001", agent_no="A03", duration_ms=184_200, sha256="11" * 32, urgent_flag=True)
    frame = build_frame([call], MONTH, PLAN)
    assert frame.text == (
        f"callqa-frame/1\tmonth=2026-11\nC202611-0001\tA03\trisk\t2026-11-02T09:00:00+08:00\t184200\t{'11' * 32}\n"
    )
    assert parse_frame(frame.text).entries == frame.entries
    assert parse_frame(VECTOR_FRAME).text == VECTOR_FRAME


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("callqa-frame/1", "callqa-frame/2", 1),
        ("\tA05\tcallback", "\tA05\tcalback", 4),
        ("61000", "61,000", 4),
        ("61000", "061000", 4),
        ("2026-11-02T10:00:00+08:00", "2026-11-02T10:00:00", 4),
        ("C202611-0003", "C202611-0002", 4),
        ("C202611-0003\t", "", 4),
    ],
)
def test_a_damaged_frame_file_is_refused_with_its_line(old: str, new: str, line: int) -> None:
    with pytest.raises(RubricError) as caught:
        parse_frame(VECTOR_FRAME.replace(old, new, 1))
    assert caught.value.line == line


def test_a_field_that_would_break_the_file_is_refused() -> None:
    with pytest.raises(RubricError, match="制表符"):
        build_frame([candidate("C1", agent_no="80\t1")], MONTH, PLAN)
    with pytest.raises(RubricError, match="两次"):
        build_frame([candidate("C1"), candidate("C1")], MONTH, PLAN)


@pytest.mark.parametrize(
    ("sizes", "taken"),
    [
        ((3, 90, 180), (3, 2, 5)),
        ((1, 90, 180), (1, 2, 7)),
        ((0, 0, 180), (0, 0, 10)),
        ((40, 2, 3), (5, 2, 3)),
        ((4, 3, 4), (3, 3, 4)),
        ((3, 4, 4), (3, 3, 4)),
        ((2, 1, 1), (2, 1, 1)),
        ((6, 7, 2), (3, 5, 2)),
    ],
)
def test_quota_and_reallocation(sizes: tuple[int, int, int], taken: tuple[int, int, int]) -> None:
    order = (Stratum.RISK, Stratum.CALLBACK, Stratum.NORMAL)
    got = allocate(dict(zip(order, sizes, strict=True)), PLAN.quotas)
    assert tuple(got[s] for s in order) == taken


def test_reserves_follow_the_sample_in_rank_order() -> None:
    frame = build_frame([candidate(f"C{i:02}") for i in range(40)], MONTH, PLAN)
    draw = verify(frame.text, PLAN.plan_json, NONCE_A, NONCE_B)
    normal = [one for one in draw.entries if one.entry.stratum is Stratum.NORMAL]
    assert [one.rank for one in normal] == sorted(one.rank for one in normal)
    assert [(one.kind, one.position) for one in normal][-3:] == [(Kind.RESERVE, n) for n in (1, 2, 3)]


def test_a_short_nonce_is_refused() -> None:
    with pytest.raises(StateError, match="16"):
        check_nonce(" 123456789012345 ")
    assert check_nonce(" 1234567890123456\n") == "1234567890123456"


def test_repeated_complaints_need_the_same_matter_and_the_same_number_or_place_within_30_days() -> None:
    day = 86_400_000
    first = TicketTrace("T1", "13800000001", "宝丰路1号", "drainage", 100 * day, None)
    tickets = [
        first,
        replace(first, ticket_no="T2", accepted_at_ms=130 * day),
        replace(first, ticket_no="T3", accepted_at_ms=161 * day),
        replace(first, ticket_no="T4", accepted_at_ms=101 * day, matter_category="river_lake"),
        replace(first, ticket_no="T5", accepted_at_ms=102 * day, caller_number="", location="宝丰路1号 "),
        replace(first, ticket_no="T6", accepted_at_ms=None, parent_ticket_no="T1"),
        replace(first, ticket_no="T7", accepted_at_ms=103 * day, caller_number="", location=""),
    ]
    assert repeated(reversed(tickets)) == {"T2", "T5", "T6"}
