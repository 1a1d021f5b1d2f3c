"""Benchmarks guard what the documentation quotes: a figure that is not reached ends the run with status 1 and is named."""

import argparse
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from bench import all as everything
from bench.required import Requirement, missed, requirement

BENCH = Path(__file__).parent.parent / "bench"
LIMIT_S = 240.0


def ran(program: str, *options: str) -> tuple[int, dict[str, object]]:
    """Exit status and last line of a bench."""
    done = subprocess.run(
        [sys.executable, str(BENCH / program), *options], capture_output=True, text=True, timeout=LIMIT_S, check=False
    )
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout.splitlines()[-1])


def test_a_requirement_is_read_and_a_bad_one_refused():
    assert requirement("restart_s<=3") == Requirement("restart_s", "<=", 3.0)
    assert requirement(" crosstalk = 0 ") == Requirement("crosstalk", "=", 0.0)
    assert str(requirement("worst_lost_s<=0.20")) == "worst_lost_s<=0.2"
    for bad in ("", "restart_s", "restart_s<3", "restart_s<=", "<=3", "restart_s<=3s", "restart_s==3", "a>=1;b>=2"):
        with pytest.raises(argparse.ArgumentTypeError, match="应写成"):
            requirement(bad)


@pytest.mark.parametrize(
    ("wanted", "told"),
    [
        ("a>=1300", ""),
        ("a>=1300.5", "a>=1300.5: 测得 1300"),
        ("a<=1300", ""),
        ("a<=1299", "a<=1299: 测得 1300"),
        ("a=1300", ""),
        ("a=0", "a=0: 测得 1300"),
        ("none<=3", "none<=3: 没有测（None）"),
        ("true>=0", "true>=0: 没有测（True）"),
        ("nan>=0", "nan>=0: 测得 nan"),
        ("other>=0", "other>=0: 没有这一项"),
    ],
)
def test_what_is_missed_is_named(wanted: str, told: str):
    figures = {"a": 1300, "none": None, "true": True, "nan": float("nan")}
    assert missed(figures, [requirement(wanted)]) == ([told] if told else [])


def test_align_ends_with_1_when_it_is_too_slow():
    status, line = ran("align.py", "--minutes=1", "--require=decode_align_x>=99999999", "--require=finalise_s>=0")
    assert status == 1
    assert line["missed"] == [f"decode_align_x>=1e+08: 测得 {line['decode_align_x']}"]
    status, line = ran("align.py", "--minutes=1", "--require=decode_align_x>=1")
    assert (status, line["missed"]) == (0, [])


def test_stories_that_are_told_too_slowly_are_missed():
    status, line = ran("simulate.py", "--seeds=2", "--require=stories_per_min>=99999999")
    assert (status, line["failed"]) == (1, 0)
    assert line["missed"] == [f"stories_per_min>=1e+08: 测得 {line['stories_per_min']}"]


@pytest.mark.slow
def test_two_calls_are_measured_against_every_target_by_name():
    """Every figure that a target names is one that the run has."""
    names = sorted({requirement(t).name for run in ("bridge", "calls50") for t in everything.TARGETS[run]})
    options = [f"--require={name}<=999999" for name in names]
    status, line = ran("record.py", "--calls=2", "--seconds=2", *options, "--require=leg_s_per_cpu_s>=999999")
    assert status == 1
    assert line["missed"] == [f"leg_s_per_cpu_s>=999999: 测得 {line['leg_s_per_cpu_s']}"]


@pytest.mark.slow
def test_a_kill_is_measured_against_its_targets():
    names = sorted({requirement(t).name for t in everything.TARGETS["kill"]})
    options = [f"--require={name}<=999999" for name in names]
    status, line = ran(
        "record.py", "--calls=2", "--seconds=4", "--kill-at=2", *options, "--require=capture_leg_s_per_cpu_s>=1"
    )
    assert status == 1
    assert line["missed"] == ["capture_leg_s_per_cpu_s>=1: 没有测（None）"]


def test_every_target_can_be_read_and_belongs_to_a_run():
    assert set(everything.TARGETS) <= set(everything.RUNS)
    assert [requirement(t) for targets in everything.TARGETS.values() for t in targets]


def test_what_the_recorder_promises_is_guarded():
    guarded = {name: set(targets) for name, targets in everything.TARGETS.items()}
    assert {"capture_leg_s_per_cpu_s>=1300", "leg_s_per_cpu_s>=1000", "placed_pct=100"} <= guarded["bridge"]
    assert {"--reorder 2", "--duplicate 1"} <= set(re.findall(r"--\w+ \d+", everything.RUNS["bridge"]))
    assert {"capture_leg_s_per_cpu_s>=4000", "leg_s_per_cpu_s>=1500"} <= guarded["siprec"]
    assert "relay_p99_ms<=2" in guarded["busy"] and "decode_align_x>=3000" in guarded["align"]
    assert {"worst_lost_s<=0.2", "restart_s<=3"} <= guarded["kill"] & guarded["kill_siprec"]


def test_all_ends_with_1_and_says_which_figure_was_missed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    """One run that misses, one that is well, one that breaks before its line."""
    options = "import json, sys\nprint('call 3: whatever')\n"
    missing = "print(json.dumps({'options': sys.argv[1:], 'missed': ['x>=5: 测得 4']}))\nsys.exit(1)\n"
    (tmp_path / "slow.py").write_text(options + missing)
    (tmp_path / "well.py").write_text(options + "print(json.dumps({'options': sys.argv[1:], 'missed': []}))\n")
    (tmp_path / "broken.py").write_text("raise SystemExit('no recorder')\n")
    monkeypatch.setattr(everything, "HERE", tmp_path)
    monkeypatch.setattr(everything, "RUNS", {"a": "slow.py --calls 2", "b": "well.py", "c": "broken.py"})
    monkeypatch.setattr(everything, "TARGETS", {"a": ("x>=5", "y=0"), "c": ("x>=5",)})
    monkeypatch.setattr(sys, "argv", ["all.py"])
    assert everything.main() == 1
    out = capsys.readouterr().out
    last = json.loads(out.splitlines()[-1])
    assert last["missed"] == {"a": ["x>=5: 测得 4"], "c": ["以状态 1 结束"]}
    assert last["failed"] == ["a", "c"]
    assert last["results"]["a"]["options"] == ["--calls", "2", "--require=x>=5", "--require=y=0"]
    assert last["results"]["b"]["options"] == []
    assert "没有达到：\n  a: x>=5: 测得 4\n  c: 以状态 1 结束\n" in out
    monkeypatch.setattr(sys, "argv", ["all.py", "--only", "b"])
    assert everything.main() == 0
