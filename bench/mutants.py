# ruff: noqa: T201  a bench prints its figures
"""变异测试：每个算子换成“总是命中”、再换成“总是未命中”，评分的测试必须因此失败。

    ./run bench mutants [算子 ...]

Each mutant runs in a process of its own: the registry's row is changed before the tests are collected. The test that is
made of the same idea (test_an_operator_that_always_says_the_same_is_noticed) is left out, so that what falls is a test
of behaviour. Prints one line a mutant with the first test that fell, and one JSON line last. Status 1 where one lives.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

from callqa.scoring.operators import REGISTRY

ROOT = Path(__file__).resolve().parent.parent
TESTS = ("tests/scoring/test_operators.py", "tests/scoring/test_scorer.py", "tests/scoring/test_reference_calls.py")
ONE_MUTANT = """
import sys
import pytest
from callqa.scoring.operators import REGISTRY
from callqa.scoring.operators.finding import Evidence, Finding, Hit, State
name, state = sys.argv[1], State(sys.argv[2])
hits = (Hit(Evidence(None, 0, 1, "", "", "")),) if state is State.HIT else ()
object.__setattr__(REGISTRY[name], "evaluate", lambda call, scene: Finding(state, "变异", hits))
sys.exit(pytest.main(["-x", "-q", "--no-header", "-p", "no:cacheprovider", "--deselect",
    "tests/scoring/test_operators.py::test_an_operator_that_always_says_the_same_is_noticed", *sys.argv[3:]]))
"""
TIMEOUT_S = 120.0
FELL, PASSED = 1, 0  # pytest's exit statuses


def main() -> int:
    """Run the mutants one after the other."""
    parser = argparse.ArgumentParser(description="每个算子的两种变异都须被测试发现")
    parser.add_argument("operators", nargs="*", metavar="算子", choices=[[], *REGISTRY], help="缺省为全部 20 个")
    names = parser.parse_args().operators or list(REGISTRY)
    alive, broken = [], []
    for name in names:
        for state in ("hit", "miss"):
            status, first = _run(name, state)
            mutant = f"{name}:{state}"
            if status == PASSED:
                alive.append(mutant)
            elif status != FELL:
                broken.append(mutant)
            said = {PASSED: "没有被发现", FELL: f"被发现：{first}"}.get(status, f"测试没有跑成（状态 {status}）")
            print(f"{name:16} 总是{'命中' if state == 'hit' else '未命中'}　{said}", flush=True)
    print(json.dumps({"mutants": 2 * len(names), "alive": alive, "broken": broken}, ensure_ascii=False))
    return 1 if alive or broken else 0


def _run(name: str, state: str) -> tuple[int, str]:
    """pytest's exit status under one mutant, and the first test that fell."""
    done = subprocess.run(
        [sys.executable, "-c", ONE_MUTANT, name, state, *TESTS],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    fell = [line for line in done.stdout.splitlines() if line.startswith("FAILED ")]
    return done.returncode, fell[0].removeprefix("FAILED ").split(" - ")[0] if fell else ""


if __name__ == "__main__":
    sys.exit(main())
