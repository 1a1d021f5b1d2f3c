"""How well and how cheaply calls are recorded: real calls over loopback, judged frame by frame.

    python bench/record.py --calls 100 --seconds 15 [--mode bridge|answer|siprec] [--reorder 2 --duplicate 1 --loss 1]
                           [--ssrc-change] [--timestamp-jump] [--kill-at 10] [--busy-worker] [--finalise-minutes 30]
                           [--require "capture_leg_s_per_cpu_s>=1300"]

Starts a recorder in a temporary home, places the calls one after another (bench/signalling.py), lets all of them talk at once
(bench/load.py), hangs up, waits for the sidecars and hands the files to bench/judge.py. None of these shares code with the
product. The last line printed is one JSON object; exit status 0 only when every call is whole and every figure asked for with
--require (bench/required.py) is reached; which one was not is in `missed`.

capture_leg_s_per_cpu_s counts the recorder process (signalling, relay, spool, journal), leg_s_per_cpu_s also its children that
decode and write the masters, from the first registration to the last sidecar. CPU of senders, phones and judge is not in it.
"""

import argparse
import hashlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from burden import Burden
from judge import FRAME_MS, CallVerdict, Judge, Sent
from load import FRAMES_PER_S, Flow, Heard, Impairments, Load
from recording import RecordingClient
from required import Requirement, add_option, missed
from restart import first_answer_s
from signalling import Agent, Dialog

REALM, HOTLINE = "callqa", "96510"
TRUNK_HOST, SEAT_HOST = "127.0.0.2", "127.0.0.1"
PAYLOAD_TYPES = {"alaw": 8, "ulaw": 0}
START_LIMIT_S, FINISH_LIMIT_S = 30.0, 120.0
CALLS_PER_S = 50
CUT_S = 0.2  # what a kill -9 may take of each leg
FIRST_AFTER = 99_999_999  # the call that is tried while the recorder starts again; it is not judged


@dataclass
class Figures:
    """What one run of a recorder cost."""

    capture_cpu_s: float = 0.0
    all_cpu_s: float = 0.0
    peak_rss_mb: float = 0.0
    restart_s: float | None = None  # from the start of the process after a kill to the first call it answers
    playable_s: float = 0.0  # from the last BYE to the last sidecar, or from restart after a kill


@dataclass
class Recorder:
    """A recorder process in a home of its own. Knows it only from outside: its command, its files, /proc."""

    home: Path
    calls: int
    mode: str
    port: int = field(default_factory=lambda: _free_port(SEAT_HOST))
    process: subprocess.Popen[bytes] | None = None
    cpu_before: tuple[float, float] = (0.0, 0.0)

    def prepare(self) -> None:
        """Settings and desk: a seat for every call, one trunk."""
        text = f"[sip]\nlisten_host = '{SEAT_HOST}'\nlisten_port = {self.port}\nrtp_port_min = 20000\nrtp_port_max = 29999\n"
        (self.home / "callqa.toml").write_text(text, encoding="utf-8")
        state = self.home / "var" / "state"
        state.mkdir(parents=True)
        desk = {
            "schema": "callqa-desk/1",
            "number": 1,
            "realm": REALM,
            "seats": [_seat(i) for i in range(self.calls)],
            "trunks": [{"name": "bench", "addresses": [TRUNK_HOST]}],
            "routing": {"inbound_mode": "answer" if self.mode == "answer" else "bridge"},
        }
        (state / "desk.json").write_text(json.dumps(desk), encoding="utf-8")

    def start(self) -> None:
        """Start, and wait until it listens."""
        self.launch()
        self.wait_until_live()

    def launch(self) -> None:
        """Start the process."""
        with (self.home / "recorder.log").open("ab") as log:
            command = [*self.command, "--config", str(self.home / "callqa.toml"), "record"]
            self.process = subprocess.Popen(command, stdout=log, stderr=log)

    def wait_until_live(self) -> None:
        """Until it listens."""
        self._until("the recorder to start", self._live, START_LIMIT_S)
        self.cpu_before = self._cpu_s()

    @property
    def command(self) -> list[str]:
        """What runs callqa."""
        return [sys.executable, "-m", "callqa"]

    def _live(self) -> bool:
        assert self.process is not None
        if self.process.poll() is not None:
            raise SystemExit((self.home / "recorder.log").read_text(encoding="utf-8"))
        with socket.socket(socket.AF_UNIX) as s:
            try:
                s.connect(str(self.home / "var" / "state" / "live.sock"))
            except OSError:
                return False
            return bool(s.recv(1))

    def stop(self, *, kill: bool = False) -> None:
        """End it politely, or as a crash would."""
        if self.process is not None:
            (self.process.kill if kill else self.process.terminate)()
            self.process.wait(30)
            self.process = None

    def sidecars(self) -> list[dict[str, Any]]:
        """All calls that are complete."""
        return [json.loads(path.read_bytes()) for path in self.home.glob("recordings/[0-9]*/*/*/*.json")]

    def wait_for_calls(self, n: int) -> None:
        """Until n calls are complete."""
        glob = "recordings/[0-9]*/*/*/*.json"
        self._until("the sidecars", lambda: len(list(self.home.glob(glob))) >= n, FINISH_LIMIT_S)

    def figures(self) -> Figures:
        """CPU since the start and memory at its peak."""
        (own, children), before = self._cpu_s(), self.cpu_before
        rss = sum(_status_kb(pid, "VmHWM") for pid in self._processes()) / 1024
        return Figures(own - before[0], own + children - sum(before), rss)

    def _until(self, what: str, ready: Callable[[], bool], limit_s: float) -> None:
        deadline = time.monotonic() + limit_s
        while not ready():
            if time.monotonic() > deadline:
                raise SystemExit(f"waited {limit_s:.0f} s for {what}; see {self.home}/recorder.log")
            time.sleep(0.02)

    def _processes(self) -> Iterator[int]:
        assert self.process is not None
        yield self.process.pid
        for task in Path(f"/proc/{self.process.pid}/task").iterdir():
            yield from (int(pid) for pid in (task / "children").read_text().split())

    def _cpu_s(self) -> tuple[float, float]:
        """(own CPU, that of its children living and ended) in seconds."""
        own, *children = self._processes()
        user, system, user_ended, system_ended = _ticks(own)
        living = sum(sum(_ticks(pid)) for pid in children)
        hz = os.sysconf("SC_CLK_TCK")
        return (user + system) / hz, (living + user_ended + system_ended) / hz


class Bench:
    """One run of calls against one recorder."""

    def __init__(self, args: argparse.Namespace, recorder: Recorder) -> None:
        self.args, self.recorder = args, recorder
        percent = 0.01
        self.how = Impairments(
            args.reorder * percent, args.duplicate * percent, args.loss * percent, args.ssrc_change, args.timestamp_jump
        )
        self.load = Load((TRUNK_HOST, SEAT_HOST), self.how, args.seed)
        self.dialogs: list[Dialog] = []
        self.figures = Figures()

    def run(self) -> None:
        """From the first registration to the last sidecar."""
        server = (SEAT_HOST, self.recorder.port)
        self.trunk, self.phones = RecordingClient(TRUNK_HOST, server), Agent(SEAT_HOST, server)
        begun = time.monotonic()
        for call in range(self.args.calls):
            self._place(call)
            time.sleep(max(0.0, begun + (call + 1) / CALLS_PER_S - time.monotonic()))
        self.load.start()
        if self.args.kill_at:
            time.sleep(self.args.kill_at)
            self._kill()
            return
        self.load.wait()
        for dialog in self.dialogs:
            self.trunk.hang_up(dialog)
            if self.args.mode == "bridge":
                self.phones.take_bye()
        self._wait_for_files()

    def _place(self, call: int) -> None:
        number, kind = _number(call), PAYLOAD_TYPES[self.args.law]
        frames = self.args.seconds * FRAMES_PER_S
        citizens, agents = self.load.addresses
        if self.args.mode == "siprec":
            dialog, wanted = self.trunk.record(number, _extension(call), (citizens, agents), kind)
            self.dialogs.append(dialog)
            for leg in (0, 1):
                self.load.add(Flow(call, leg, frames, kind, wanted[leg]))
            return
        if self.args.mode == "bridge":
            self.phones.register(_extension(call), _password(call))
        self.trunk.invite(number, HOTLINE, citizens, kind)
        if self.args.mode == "bridge":
            self.load.add(Flow(call, 1, frames, kind, self.phones.answer(agents, kind)))
        dialog = self.trunk.connected(number)
        self.dialogs.append(dialog)
        self.load.add(Flow(call, 0, frames, kind, dialog.media))

    def _kill(self) -> None:
        self.recorder.stop(kill=True)
        self.load.stop()
        begun = time.monotonic()
        self.recorder.launch()
        restart_s, ok = first_answer_s(begun, self.trunk, self.phones, self._ask_once_more)
        self.recorder.wait_until_live()
        self._wait_for_files()
        self.figures.restart_s = restart_s
        number = _number(FIRST_AFTER)
        siprec = self.args.mode == "siprec"
        self.trunk.hang_up(self.trunk.recorded(number, ok)[0] if siprec else self.trunk.confirm(number, ok))

    def _ask_once_more(self) -> None:
        """One more call; it talks to nobody, and lasts until the files of the others are there."""
        number, kind = _number(FIRST_AFTER), PAYLOAD_TYPES[self.args.law]
        if self.args.mode == "siprec":
            self.trunk.ask_to_record(number, _extension(0), self.load.addresses, kind)
        else:
            self.trunk.invite(number, HOTLINE, self.load.addresses[0], kind)

    def _wait_for_files(self) -> None:
        begun = time.monotonic()
        self.recorder.wait_for_calls(self.args.calls)
        playable_s = time.monotonic() - begun
        self.figures = self.recorder.figures()
        self.figures.playable_s = playable_s

    def judge(self) -> dict[int, CallVerdict]:
        """Judge every file; which call a file is of, only its sidecar's number says."""
        flows = {(f.call, f.leg): f for f in self.load.flows}
        breaks = (self.args.seconds * FRAMES_PER_S // 2,) if self.how.has_break else ()
        sent = {call: tuple(_sent(flows.get((call, leg)), breaks) for leg in (0, 1)) for call in range(self.args.calls)}
        judge = Judge(sent, CUT_S if self.args.kill_at else 0.0)  # type: ignore[arg-type]  # two legs each
        verdicts = {}
        for sidecar in self.recorder.sidecars():
            call = int(sidecar["from_number"][-8:])
            if call == FIRST_AFTER:
                continue
            legs = [flows.get((call, leg)) for leg in (0, 1)]
            lead_ms = (legs[1].phase_us - legs[0].phase_us) / 1000 if legs[0] and legs[1] else 0.0
            path = self.recorder.home / "recordings" / (sidecar["recording"] or {"path": "missing"})["path"]
            verdicts[call] = judge.judge(call, path, lead_ms, self.args.law, _lost(sidecar))
        return verdicts


def _sent(flow: Flow | None, breaks: tuple[int, ...]) -> Sent:
    if flow is None:
        return Sent()
    return Sent(
        flow.sent, frozenset(k for k in flow.dropped if k < flow.sent), tuple(b for b in breaks if b < flow.sent)
    )


def _lost(sidecar: dict[str, Any]) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    citizen, agent = (
        [(g["start_ms"], g["end_ms"]) for g in sidecar["gaps"] if g["kind"] == "lost" and g["channel"] == channel]
        for channel in (0, 1)
    )
    return citizen, agent


def summarise(bench: Bench, verdicts: dict[int, CallVerdict], heard: Heard) -> dict[str, Any]:
    """The figures of the last line. A call without a file counts as frames not placed."""
    legs = [leg for verdict in verdicts.values() for leg in verdict.legs]
    flows, figures, killed = bench.load.flows, bench.figures, bool(bench.args.kill_at)
    arrived = sum(f.sent - sum(k < f.sent for k in f.dropped) for f in flows)
    leg_s = sum(f.sent for f in flows) / FRAMES_PER_S
    delays = (
        [round(float(np.percentile(heard.delays_ms, q)), 3) for q in (50, 99, 99.9, 100)]
        if len(heard.delays_ms)
        else None
    )
    return {
        "mode": bench.args.mode,
        "calls": bench.args.calls,
        "whole": sum(verdict.whole for verdict in verdicts.values()),
        "exact_pct": round(100 * sum(leg.exact for leg in legs) / arrived, 3),
        "placed_pct": round(100 * sum(leg.placed for leg in legs) / arrived, 3),
        "crosstalk": sum(leg.crosstalk for leg in legs) + heard.wrong,
        "dup": sum(leg.dup for leg in legs),
        "relay_p99_ms": delays and delays[1],
        "relay_p50_p99_p999_max_ms": delays,
        "relayed_pct": round(100 * heard.frames / arrived, 3) if bench.args.mode == "bridge" and not killed else None,
        "worst_lost_s": round(max(len(leg.missing) for leg in legs) * FRAME_MS / 1000, 3),
        "capture_leg_s_per_cpu_s": None if killed else round(leg_s / figures.capture_cpu_s, 1),
        "leg_s_per_cpu_s": None if killed else round(leg_s / figures.all_cpu_s, 1),
        "peak_rss_mb": round(figures.peak_rss_mb, 1),
        "playable_s": round(figures.playable_s, 3),
        "restart_s": figures.restart_s and round(figures.restart_s, 3),
        "sender_late_ms": round(bench.load.late_ms, 1),
    }


def _ticks(pid: int) -> list[int]:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return [int(ticks) for ticks in fields[11:15]]


def _status_kb(pid: int, name: str) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next((int(line.split()[1]) for line in lines if line.startswith(f"{name}:")), 0)


def _free_port(host: str) -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.bind((host, 0))
        return int(s.getsockname()[1])


def _number(call: int) -> str:
    return f"138{call:08d}"


def _extension(call: int) -> str:
    return str(8001 + call)


def _password(call: int) -> str:
    return f"bench-{call}"


def _seat(call: int) -> dict[str, str]:
    text = f"{_extension(call)}:{REALM}:{_password(call)}".encode()
    return {
        "extension": _extension(call),
        "ha1_md5": hashlib.md5(text).hexdigest(),
        "ha1_sha256": hashlib.sha256(text).hexdigest(),
        "agent_no": f"{801 + call}",
    }


def arguments() -> argparse.Namespace:
    """What to run."""
    parser = argparse.ArgumentParser(description="录音逐帧核对：回环上打真实电话，逐帧检查录音文件")
    parser.add_argument(
        "--mode", choices=("bridge", "answer", "siprec"), default="bridge", help="两侧桥接、单侧录音分机、录音会话"
    )
    parser.add_argument("--calls", type=int, default=20, help="同时通话数")
    parser.add_argument("--seconds", type=int, default=10, help="每通时长，秒")
    parser.add_argument("--law", choices=sorted(PAYLOAD_TYPES), default="alaw", help="G.711 编码")
    parser.add_argument("--reorder", type=float, default=0, help="乱序的包，百分之几")
    parser.add_argument("--duplicate", type=float, default=0, help="重复的包，百分之几")
    parser.add_argument("--loss", type=float, default=0, help="丢失的包，百分之几")
    parser.add_argument("--ssrc-change", action="store_true", help="通话过半时换 SSRC")
    parser.add_argument("--timestamp-jump", action="store_true", help="通话过半时时间戳跳变")
    parser.add_argument("--kill-at", type=float, default=0, help="媒体开始后几秒 kill -9 录音服务并重启")
    parser.add_argument("--seed", type=int, default=1, help="乱序、重复、丢失的随机种子")
    parser.add_argument(
        "--busy-worker", action="store_true", help="同时有转写进程在转写（callqa work --speech，最低优先级）"
    )
    parser.add_argument("--finalise-minutes", type=int, default=0, help="同时不停地整理这么长的通话，分钟")
    parser.add_argument("--keep", action="store_true", help="保留临时文件夹")
    add_option(parser)
    return parser.parse_args()


def main() -> int:
    """Run, judge, print. 0 when every call is whole and nothing that is required was missed."""
    args = arguments()
    home = Path(tempfile.mkdtemp(prefix="callqa-bench-"))
    recorder = Recorder(home, args.calls, args.mode)
    burden = Burden(speech=args.busy_worker, finalise_minutes=args.finalise_minutes)
    try:
        burden.start()
        recorder.prepare()
        recorder.start()
        bench = Bench(args, recorder)
        bench.run()
        beside = burden.figures()
        burden.stop()
        verdicts = bench.judge()
        for call, verdict in sorted(verdicts.items()):
            if not verdict.whole:
                print(f"call {call}: {verdict.problem}")  # noqa: T201  a bench speaks to its user
        result = summarise(bench, verdicts, bench.load.relayed()) | beside
        result["missed"] = missed(result, (Requirement("whole", "=", args.calls), *args.require))
        print(json.dumps(result))  # noqa: T201
    finally:
        burden.stop()
        recorder.stop()
        if args.keep:
            print(home, file=sys.stderr)  # noqa: T201
        else:
            shutil.rmtree(home)
    return 1 if result["missed"] else 0


if __name__ == "__main__":
    sys.exit(main())
