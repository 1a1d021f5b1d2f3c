"""Coverage-guided fuzzing of what reads a peer's bytes: `./run bench fuzz [--target sdp] [--seconds 60] [--jobs 1]`.

Inputs that reach new code are kept, minimised, in tests/data/fuzz/<target>.txt and replayed by every test run; an input that breaks a
property is written to bench/out/ and its target fails. One JSON line last. The engine is libFuzzer by way of atheris.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
OUT = ROOT / "bench" / "out" / "fuzz"
LONGEST_INPUT = 2048
WORDS = (
    "a=rtpmap:101 telephone-event/8000\r\n", "a=fmtp:", "a=ptime:20", "a=sendonly", "a=inactive", "a=label:1", "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:",
    "a=rtcp-mux", "m=audio 0 RTP/AVP 8\r\n", "m=video 0 RTP/AVP 31\r\n", "RTP/SAVP", "c=IN IP6 ::1", "application/rs-metadata+xml", "multipart/mixed;boundary=b",
    "Content-Length: 3", "Require: 100rel", "Session-Expires: 90;refresher=uac", "Replaces: a;to-tag=b;from-tag=c", "Refer-To: <sip:1@h>", "Via: SIP/2.0/TCP h;alias",
    "History-Info: <sip:1@h?Reason=SIP%3Bcause%3D302>;index=1", "P-Asserted-Identity: <tel:+8613800000000>", "Privacy: id", "\r\n\r\n", "--b\r\n", "--b--",
)  # fmt: skip
SIP = str(Path("callqa") / "sip")


def drive(target: str, arguments: list[str]) -> None:
    """Be the fuzzer of one target; never returns."""
    import atheris

    with atheris.instrument_imports(include=["callqa.sip"]):
        from tests.fuzz.targets import TARGETS
    atheris.Setup([sys.argv[0], *arguments], TARGETS[target])
    atheris.Fuzz()


def fuzz(target: str, seconds: int, keep: bool) -> dict[str, Any]:
    """Run one target for so long; then, where nothing broke, minimise and keep its corpus."""
    from tests.fuzz.targets import TARGETS, read_corpus, write_corpus
    from tests.fuzz.test_corpus import golden

    OUT.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        found = Path(folder)
        for n, data in enumerate([*read_corpus(target), *golden(target)]):
            (found / f"seed{n}").write_bytes(data[:LONGEST_INPUT])
        words = OUT / "words.txt"
        words.write_text("".join(f'"{escaped(w)}"\n' for w in WORDS))
        common = [
            f"-dict={words}",
            f"-max_len={LONGEST_INPUT}",
            "-timeout=10",
            "-rss_limit_mb=2048",
            f"-artifact_prefix={OUT}/{target}-",
        ]
        log = run(target, [*common, f"-max_total_time={seconds}", str(found)])
        figures = last_figures(log.stderr)
        broken = log.returncode != 0
        if not broken and keep:
            write_corpus(target, minimised(TARGETS[target], [p.read_bytes() for p in found.iterdir()]))
    if broken:
        sys.stderr.write(log.stderr[-4000:])
    return {"target": target, **figures, "kept": len(read_corpus(target)), "broken": broken}


def escaped(word: str) -> str:
    """As libFuzzer's dictionaries want it."""
    return "".join(c if " " <= c <= "~" and c not in '"\\' else f"\\x{ord(c):02x}" for c in word)


def minimised(target: Callable[[bytes], None], inputs: list[bytes]) -> set[bytes]:
    """Few inputs, short ones first, that reach every line pair of callqa/sip as often (by powers of two) as all of them do."""
    seen: set[tuple[str, int, int, int]] = set()
    kept = set()
    for data in sorted(inputs, key=lambda i: (len(i), i)):
        reached = {(*edge, times.bit_length()) for edge, times in edges_of(target, data).items()}
        if not reached <= seen:
            seen |= reached
            kept.add(data)
    return kept


def edges_of(target: Callable[[bytes], None], data: bytes) -> Counter[tuple[str, int, int]]:
    """How often one input runs through each (file, line, next line) of callqa/sip."""
    reached: Counter[tuple[str, int, int]] = Counter()
    last: dict[int, int] = {}

    def trace(frame: FrameType, event: str, argument: object) -> Any:
        code = frame.f_code
        if SIP not in code.co_filename:
            return None
        if event == "line":
            reached[code.co_filename, last.get(id(frame), code.co_firstlineno), frame.f_lineno] += 1
            last[id(frame)] = frame.f_lineno
        elif event == "call":
            last.pop(id(frame), None)
        return trace

    sys.settrace(trace)
    try:
        target(data)
    finally:
        sys.settrace(None)
    return reached


def run(target: str, arguments: list[str]) -> "subprocess.CompletedProcess[str]":
    """One fuzzer process, to its end."""
    command = [sys.executable, str(Path(__file__)), "--drive", target, "--", *arguments]
    return subprocess.run(command, capture_output=True, text=True, errors="replace", cwd=ROOT, check=False)


def last_figures(log: str) -> dict[str, int]:
    """Executions, covered edges and features from libFuzzer's last line of progress."""
    found = re.findall(r"#(\d+)\s+(?:DONE|NEW|REDUCE|pulse|INITED|RELOAD)\s+cov: (\d+) ft: (\d+)", log)
    executions, edges, features = map(int, found[-1]) if found else (0, 0, 0)
    return {"executions": executions, "edges": edges, "features": features}


def main() -> int:
    if sys.argv[1:2] == ["--drive"]:
        drive(sys.argv[2], sys.argv[4:])
    parser = argparse.ArgumentParser(description="按代码覆盖率引导的模糊测试")
    parser.add_argument("--target", help="只测这一个；默认全部依次测")
    parser.add_argument("--seconds", type=int, default=60, help="每个目标测多少秒")
    parser.add_argument("--no-keep", action="store_true", help="不更新 tests/data/fuzz")
    options = parser.parse_args()
    try:
        import atheris  # noqa: F401
    except ImportError:
        sys.stderr.write("模糊测试要 atheris；用 ./run bench fuzz 运行，它会装好\n")
        return 2
    from tests.fuzz.targets import TARGETS

    if options.target and options.target not in TARGETS:
        sys.stderr.write(f"没有目标“{options.target}”；有：{'、'.join(TARGETS)}\n")
        return 2
    results = []
    for target in [options.target] if options.target else TARGETS:
        results.append(fuzz(target, options.seconds, not options.no_keep))
        sys.stdout.write(json.dumps(results[-1]) + "\n")
        sys.stdout.flush()
    total = {
        "targets": len(results),
        "executions": sum(r["executions"] for r in results),
        "broken": [r["target"] for r in results if r["broken"]],
    }
    sys.stdout.write(json.dumps(total) + "\n")
    return 1 if total["broken"] else 0


if __name__ == "__main__":
    os.environ.setdefault("PYTHONHASHSEED", "0")
    sys.exit(main())
