"""How well and how cheaply calls are recorded: real calls over loopback, judged frame by frame.

    python bench/record.py --calls 20 --seconds 10

Starts a recorder in a temporary home, registers a seat phone for every call, places all calls at once from a trunk
address, waits for the sidecars and hands the files to bench/judge.py, which shares no code with the product. The last line
printed is one JSON object; exit status 0 only when every call is whole.
"""

import argparse
import asyncio
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
from dataclasses import dataclass
from pathlib import Path

import uvloop
from judge import CallVerdict, Judge, leg_audio

from callqa.demo.endpoint import AutoAnswer, CodecName, Endpoint, EndpointCall, Policy, RingForever
from callqa.desk import Desk, DeskRouting, DeskSeat, DeskTrunk, save_desk
from callqa.sip.message import Request

TRUNK_HOST = "127.0.0.2"
REALM = "callqa"
FRAMES_PER_S = 50
LAWS: dict[str, CodecName] = {"alaw": "PCMA", "ulaw": "PCMU"}
START_LIMIT_S, CALL_LIMIT_S, FINISH_LIMIT_S = 30.0, 60.0, 120.0


@dataclass
class Pair:
    """One call of the bench and its two ends."""

    index: int
    number: str
    citizen: EndpointCall | None = None
    agent: EndpointCall | None = None

    @property
    def lead_ms(self) -> float:
        """How much later the agent's frame 0 was due than the citizen's."""
        began = [call.began_at for call in (self.citizen, self.agent) if call is not None]
        if len(began) != 2 or began[0] is None or began[1] is None:
            raise SystemExit(f"call {self.index} was not played on both sides")
        return (began[1] - began[0]) * 1000


class Bench:
    """One run."""

    def __init__(self, calls: int, seconds: int, law: str, home: Path) -> None:
        self.frames = seconds * FRAMES_PER_S
        self.law = law
        self.home = home
        self.pairs = [Pair(i, f"138{i:08d}") for i in range(calls)]
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.bind(("127.0.0.1", 0))
            self.server = ("127.0.0.1", int(s.getsockname()[1]))
        self.recorder: subprocess.Popen[bytes] | None = None
        self._watching: list[asyncio.Task[None]] = []

    async def run(self) -> None:
        """From an empty home to all sidecars."""
        self._start_recorder()
        try:
            await self._until("the recorder to start", self._live_socket_there, START_LIMIT_S)
            phones = await asyncio.gather(*(self._phone(pair) for pair in self.pairs))
            trunk = await Endpoint(TRUNK_HOST, keep_media=False).start()
            cpu_before = self._cpu_s()
            await asyncio.wait_for(asyncio.gather(*(self._talk(trunk, pair) for pair in self.pairs)), self._limit_s())
            await self._until("the sidecars", lambda: len(self.sidecars()) == len(self.pairs), FINISH_LIMIT_S)
            self.cpu_s = self._cpu_s() - cpu_before
            self.peak_rss_mb = sum(_status_kb(pid, "VmHWM") for pid in self._processes()) / 1024
            for endpoint in (*phones, trunk):
                await endpoint.close()
        finally:
            self._stop_recorder()

    def sidecars(self) -> list[Path]:
        return sorted(self.home.glob("recordings/[0-9]*/*/*/*.json"))

    def judge(self) -> dict[int, CallVerdict]:
        """Judge every file; which call a file is of, only its sidecar's number says."""
        judge = Judge({pair.index: (self.frames, self.frames) for pair in self.pairs})
        verdicts: dict[int, CallVerdict] = {}
        for path in self.sidecars():
            sidecar = json.loads(path.read_bytes())
            pair = next(p for p in self.pairs if p.number == sidecar["from_number"])
            master = self.home / "recordings" / (sidecar["recording"] or {"path": "missing"})["path"]
            verdicts[pair.index] = judge.judge(pair.index, master, pair.lead_ms, self.law)
        return verdicts

    # -- the calls --------------------------------------------------------------------------------------------------

    async def _phone(self, pair: Pair) -> Endpoint:
        """A seat phone that answers its own citizen only; the other calls ring and are cancelled."""
        payload = leg_audio(pair.index, 1, self.frames)

        def policy(request: Request) -> Policy:
            if request.from_.uri.user != pair.number:
                return RingForever()
            return AutoAnswer(0.2, payload, LAWS[self.law])

        phone = await Endpoint("127.0.0.1", on_invite=policy, keep_media=False).start()
        status = await phone.register(self.server, _extension(pair.index), _password(pair.index))
        if status != 200:
            raise SystemExit(f"phone {pair.index} was not registered: {status}")
        self._watching.append(asyncio.get_running_loop().create_task(self._watch_phone(phone, pair)))
        return phone

    async def _watch_phone(self, phone: Endpoint, pair: Pair) -> None:
        while pair.agent is None:
            call = await phone.incoming.get()
            if call.request is not None and call.request.from_.uri.user == pair.number:
                pair.agent = call

    async def _talk(self, trunk: Endpoint, pair: Pair) -> None:
        payload = leg_audio(pair.index, 0, self.frames)
        call = pair.citizen = await trunk.call(self.server, "96510", payload, LAWS[self.law], caller=pair.number)
        if not await call.answered or pair.agent is None:
            raise SystemExit(f"call {pair.index} was not answered: {call.status}")
        await asyncio.gather(call.played, pair.agent.played)
        call.hang_up()

    def _limit_s(self) -> float:
        return CALL_LIMIT_S + self.frames / FRAMES_PER_S

    # -- the recorder -----------------------------------------------------------------------------------------------

    def _start_recorder(self) -> None:
        (self.home / "callqa.toml").write_text(
            f"[sip]\nlisten_host = '127.0.0.1'\nlisten_port = {self.server[1]}\n", encoding="utf-8"
        )
        state = self.home / "var" / "state"
        state.mkdir(parents=True)
        seats = tuple(_seat(p.index) for p in self.pairs)
        trunk = DeskTrunk(name="bench", addresses=(TRUNK_HOST,))
        save_desk(state / "desk.json", Desk(number=1, realm=REALM, seats=seats, trunks=(trunk,), routing=DeskRouting()))
        with (self.home / "recorder.log").open("wb") as log:
            self.recorder = subprocess.Popen(
                [sys.executable, "-m", "callqa", "--config", str(self.home / "callqa.toml"), "record"],
                stdout=log,
                stderr=log,
            )

    def _stop_recorder(self) -> None:
        if self.recorder is not None:
            self.recorder.terminate()
            self.recorder.wait(30)

    def _live_socket_there(self) -> bool:
        if self.recorder is None or self.recorder.poll() is not None:
            raise SystemExit((self.home / "recorder.log").read_text(encoding="utf-8"))
        return (self.home / "var" / "state" / "live.sock").exists()

    async def _until(self, what: str, ready: Callable[[], bool], limit_s: float) -> None:
        deadline = time.monotonic() + limit_s
        while not ready():
            if time.monotonic() > deadline:
                raise SystemExit(f"waited {limit_s:.0f} s for {what}; see {self.home}/recorder.log")
            await asyncio.sleep(0.1)

    def _processes(self) -> Iterator[int]:
        """The recorder and its children."""
        if self.recorder is not None:
            yield self.recorder.pid
            for task in Path(f"/proc/{self.recorder.pid}/task").iterdir():
                yield from (int(pid) for pid in (task / "children").read_text().split())

    def _cpu_s(self) -> float:
        ticks = 0
        for pid in self._processes():
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK")


def _status_kb(pid: int, name: str) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next((int(line.split()[1]) for line in lines if line.startswith(f"{name}:")), 0)


def _extension(index: int) -> str:
    return str(8001 + index)


def _password(index: int) -> str:
    return f"bench-{index}"


def _seat(index: int) -> DeskSeat:
    text = f"{_extension(index)}:{REALM}:{_password(index)}".encode()
    return DeskSeat(
        extension=_extension(index),
        ha1_md5=hashlib.md5(text).hexdigest(),
        ha1_sha256=hashlib.sha256(text).hexdigest(),
        agent_no=f"{801 + index}",
    )


def summarise(bench: Bench, verdicts: dict[int, CallVerdict]) -> dict[str, object]:
    """The figures of the last line. A call without a file has no legs and counts as frames not placed."""
    legs = [leg for verdict in verdicts.values() for leg in verdict.legs]
    sent = 2 * bench.frames * len(bench.pairs)
    return {
        "calls": len(bench.pairs),
        "whole": sum(verdict.whole for verdict in verdicts.values()),
        "exact_pct": round(100 * sum(leg.exact for leg in legs) / sent, 3),
        "placed_pct": round(100 * sum(leg.placed for leg in legs) / sent, 3),
        "crosstalk": sum(leg.crosstalk for leg in legs),
        "dup": sum(leg.dup for leg in legs),
        "leg_s_per_cpu_s": round(sent / FRAMES_PER_S / bench.cpu_s, 1),
        "peak_rss_mb": round(bench.peak_rss_mb, 1),
    }


def main() -> int:
    """Run, judge, print. 0 when every call is whole."""
    parser = argparse.ArgumentParser(description="录音逐帧核对：回环上打真实电话，逐帧检查录音文件")
    parser.add_argument("--calls", type=int, default=20, help="同时通话数")
    parser.add_argument("--seconds", type=int, default=10, help="每通时长，秒")
    parser.add_argument("--law", choices=sorted(LAWS), default="alaw", help="G.711 编码")
    parser.add_argument("--keep", action="store_true", help="保留临时文件夹")
    args = parser.parse_args()
    home = Path(tempfile.mkdtemp(prefix="callqa-bench-"))
    try:
        bench = Bench(args.calls, args.seconds, args.law, home)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(bench.run())
        verdicts = bench.judge()
        for index, verdict in sorted(verdicts.items()):
            if not verdict.whole:
                print(f"call {index}: {verdict.problem}")  # noqa: T201  a bench speaks to its user
        result = summarise(bench, verdicts)
        print(json.dumps(result))  # noqa: T201
    finally:
        if args.keep:
            print(home, file=sys.stderr)  # noqa: T201
        else:
            shutil.rmtree(home)
    return 0 if result["whole"] == args.calls else 1


if __name__ == "__main__":
    sys.exit(main())
