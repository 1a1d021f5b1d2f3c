"""A long day in a few minutes: thousands of short calls of mixed kinds at a steady rate, and what of the recorder grows.

    python bench/soak.py --calls 2000 --rate 5

Kinds are in bench/soak_calls.py. Meanwhile phones register again and again, a peer asks OPTIONS, a stranger sends garbage and wrong
passwords. Every answered call is judged frame by frame; the journal must hold exactly the calls that were made. The last line is
one JSON object; exit status 0 only when every call went as its kind says, every answered one is whole, nothing leaked and memory
is flat: less than FLAT_KB_A_CALL kilobytes a call of the recorder's RSS after the first WARM_UP of the calls; `missed` says which of
these, or of what was asked for with --require (bench/required.py), was not so.
"""

import argparse
import asyncio
import contextlib
import json
import os
import shutil
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from judge import Judge, Sent
from parties import Party, Unexpected
from probe import ask
from record import SEAT_HOST, TRUNK_HOST, Recorder, _extension, _free_port, _password, _status_kb
from required import Requirement, add_option, missed
from soak_calls import Phone, Story, World, kind_of, number_of, story_of
from soak_media import Media

SEATS = 12
STRANGER_HOST = "127.0.0.3"
FLAT_KB_A_CALL = 1.0
WARM_UP = 0.25
TRANSACTIONS_LIVE_S = 33.0  # RFC 3261: 64·T1 after the last call
RING_S, SILENT_S = 5, 5


@dataclass
class Home(Recorder):
    """A recorder with TCP, an outbound trunk, short time-outs, and a probe in its process."""

    tcp_port: int = field(default_factory=lambda: _free_port(SEAT_HOST))
    trunk_port: int = field(default_factory=lambda: _free_port(TRUNK_HOST))

    def prepare(self) -> None:
        super().prepare()
        config = self.home / "callqa.toml"
        more = f"tcp_port = {self.tcp_port}\nrtp_timeout_s = {SILENT_S}\n"
        config.write_text(config.read_text(encoding="utf-8") + more, encoding="utf-8")
        desk = self.home / "var" / "state" / "desk.json"
        wanted = json.loads(desk.read_text(encoding="utf-8"))
        wanted["trunks"] = [
            {"name": "bench", "addresses": [TRUNK_HOST], "host": TRUNK_HOST, "port": self.trunk_port, "keepalive_s": 5}
        ]
        wanted["dial_plan"] = [{"pattern": "138\\d{8}", "trunk": "bench"}]
        wanted["routing"] |= {"ring_timeout_s": RING_S, "hotline_number": "96510"}
        desk.write_text(json.dumps(wanted), encoding="utf-8")

    @property
    def command(self) -> list[str]:
        return [sys.executable, str(Path(__file__).with_name("probe.py")), str(self.window)]

    @property
    def window(self) -> Path:
        return self.home / "probe.sock"

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def state(self, word: str = "count") -> dict[str, Any]:
        """What is open and alive in the recorder now."""
        return {
            "rss_mb": round(_status_kb(self.pid, "VmRSS") / 1024, 2),
            "fds": len(os.listdir(f"/proc/{self.pid}/fd")),
            "os_threads": len(os.listdir(f"/proc/{self.pid}/task")),
            "ports": _udp_ports(self.pid),
            **ask(self.window, word),
        }

    def journal(self) -> Counter[str]:
        """Rows of the journal by kind."""
        lines = [line for path in self.home.glob("recordings/journal/*.jsonl") for line in path.open(encoding="utf-8")]
        return Counter(json.loads(line.rpartition("\t")[0])["kind"] for line in lines)


def _udp_ports(pid: int) -> int:
    """RTP ports a process has open."""
    inodes = {os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd") if _is_there(pid, fd)}
    rows = Path("/proc/net/udp").read_text().splitlines()[1:]
    return sum(f"socket:[{row.split()[9]}]" in inodes and 20000 <= int(row.split()[1][-4:], 16) < 30000 for row in rows)


def _is_there(pid: int, fd: str) -> bool:
    return os.path.islink(f"/proc/{pid}/fd/{fd}")


class Soak:
    """One run."""

    def __init__(self, args: argparse.Namespace, home: Home) -> None:
        self.args, self.home = args, home
        self.stories: list[Story] = []
        self.failures: dict[int, str] = {}
        self.points: list[tuple[int, float]] = []  # calls begun, RSS in kB
        self.refreshed: Counter[str] = Counter()  # how registrations that were refreshed were answered

    async def run(self) -> dict[str, Any]:
        """Place all calls; then wait until the recorder has forgotten them."""
        server = (SEAT_HOST, self.home.port)
        media = Media((TRUNK_HOST, SEAT_HOST))
        trunk = Party(TRUNK_HOST, server, self._called_out)
        await trunk.open(self.home.trunk_port)
        phones = [Phone(_extension(i), _password(i), await Party(SEAT_HOST, server).open()) for i in range(SEATS)]
        self.world = World(server, self.home.tcp_port, trunk, TRUNK_HOST, phones, media)
        for phone in phones:
            phone.calls = self.world.calls
            await phone.register()
        before = self.home.state("collect")
        stranger = await Party(STRANGER_HOST, server).open()
        beside = [asyncio.create_task(x) for x in (self._refresh(), self._pester(stranger), self._measure())]
        await self._place_all()
        await self._until_complete()
        await asyncio.sleep(TRANSACTIONS_LIVE_S)
        for task in beside:
            task.cancel()
        await asyncio.gather(*beside, return_exceptions=True)
        await asyncio.sleep(1.5)  # a tick, and what was sent last
        pauses = {name: value for name, value in self.home.state().items() if "pause" in name}
        after = self.home.state("collect") | pauses
        media.close()
        for party in (trunk, stranger, *(p.party for p in phones)):
            party.close()
        return self._report(before, after)

    async def _place_all(self) -> None:
        begun = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for n in range(self.args.calls):
                await asyncio.sleep(max(0.0, begun + n / self.args.rate - time.monotonic()))
                story = Story(n, self.args.kind or kind_of(n), self.world)
                self.stories.append(story)
                self.world.calls[n] = story
                group.create_task(self._live(story))

    async def _live(self, story: Story) -> None:
        try:
            await asyncio.wait_for(story_of(story.kind)(story), 90)
        except (Unexpected, TimeoutError, KeyError, OSError) as e:
            self.failures[story.n] = f"{story.kind}: {type(e).__name__} {e}"
            for dialog in story.dialogs:
                dialog.on_over()
        finally:
            story.talks = story.talks or self.world.media.silence(story.n)
            self.world.calls.pop(story.n, None)
            asyncio.get_running_loop().call_later(40, lambda: [d.party.forget(d) for d in story.dialogs])

    def _called_out(self, dialog: Any) -> None:
        """An outbound call reaches the network."""
        n = number_of(dialog.invite.splitlines()[0])
        story = self.world.calls.get(n) if n is not None else None
        if story is None:
            dialog.reply("404 Not Found")
        elif story.rings == "busy":
            dialog.reply("486 Busy Here")
        else:
            dialog.reply("180 Ringing")
            if story.rings == "answer":
                dialog.party.answer(dialog, self.world.media.address(0))
                story.rung.put_nowait(dialog)

    # -- beside the calls -------------------------------------------------------------------------------------------

    async def _refresh(self) -> None:
        for k in range(1_000_000):
            await asyncio.sleep(1.0)
            try:
                status = await self.world.phones[k % SEATS].register()
            except Unexpected as e:
                status = str(e)
            self.refreshed[status] += 1

    async def _pester(self, stranger: Party) -> None:
        intruder = Phone(_extension(0), "wrong", stranger)
        for k in range(1_000_000):
            await asyncio.sleep(0.5)
            stranger.send_raw(os.urandom(200))
            stranger.send_raw(b"INVITE sip:1 SIP/2.0\r\nVia: SIP/2.0/UDP x;branch=z9hG4bK%d\r\n\r\n" % k)
            self._options(k)
            if k % 20 == 0:
                asyncio.get_running_loop().create_task(_quietly(intruder.register()))

    def _options(self, k: int) -> None:
        trunk = self.world.trunk
        uri = f"sip:{trunk.server[0]}:{trunk.server[1]}"
        fields = [f"From: <{trunk.uri()}>;tag=o{k}", f"To: <{uri}>", f"Call-ID: options-{k}", "CSeq: 1 OPTIONS"]
        trunk.send_request("OPTIONS", uri, fields)

    async def _measure(self) -> None:
        while True:
            self.points.append((len(self.stories), _status_kb(self.home.pid, "VmRSS")))
            await asyncio.sleep(1.0)

    async def _until_complete(self) -> None:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            rows = self.home.journal()
            ended = rows["call_complete"] + rows["call_unanswered"] + rows["call_abandoned"]
            if ended >= rows["call_started"] and not list(self.home.home.glob("recordings/spool/*.spool.tmp")):
                return
            await asyncio.sleep(0.5)

    # -- afterwards -------------------------------------------------------------------------------------------------

    def _judge(self) -> tuple[int, dict[int, str]]:
        """(whole, what is wrong with the others) of the answered calls."""
        sent, lead = {}, {}
        for s in self.stories:
            legs = {t.leg: t for t in s.talks}
            if s.answered and len(legs) == 2:
                sent[s.n] = tuple(Sent(legs[i].next_frame, legs[i].skipped, legs[i].breaks) for i in (0, 1))
                lead[s.n] = (legs[1].started - legs[0].started) * 1000
        judge = Judge(sent)
        whole, wrong = 0, dict.fromkeys(sent, "no sidecar")
        for sidecar in self.home.sidecars():
            n = number_of(sidecar["to_number"] if sidecar["direction"] == "outbound" else sidecar["from_number"])
            if n not in sent:
                continue
            path = self.home.home / "recordings" / (sidecar["recording"] or {"path": "missing"})["path"]
            verdict = judge.judge(n, path, lead[n])
            whole += verdict.whole
            wrong[n] = verdict.problem
        return whole, {n: text for n, text in wrong.items() if text}

    def _report(self, before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
        rows, kinds = self.home.journal(), Counter(s.kind for s in self.stories)
        answered = sum(s.answered for s in self.stories)
        whole, wrong = self._judge()
        wrong |= self.failures
        for n, text in sorted(wrong.items()):
            print(f"call {n} ({self.stories[n].kind}): {text}")  # noqa: T201  a bench speaks to its user
        begun = [(n, kb) for n, kb in self.points if n >= WARM_UP * self.args.calls and n < self.args.calls]
        slope = float(np.polyfit(*zip(*begun, strict=True), 1)[0]) if len(begun) > 2 else 0.0
        marks = np.linspace(0, len(self.points) - 1, 9).astype(int)
        return {
            "mode": "soak",
            "calls": self.args.calls,
            "as_meant": self.args.calls - len(self.failures),
            "answered": answered,
            "whole": whole,
            "journal_started": rows["call_started"],
            "journal_complete": rows["call_complete"],
            "journal_unanswered": rows["call_unanswered"] + rows["call_abandoned"],
            "rss_mb": [round(self.points[i][1] / 1024, 1) for i in marks],
            "rss_slope_kb_a_call": round(slope, 2),
            "rss_end_mb": after["rss_mb"],
            "before": before,
            "after": after,
            "flat": slope < FLAT_KB_A_CALL,
            "leaked": (leaked := _leaked(before, after)),
            "leaks": sum(leaked.values()),
            "refreshed": dict(self.refreshed),
            "kinds": dict(kinds),
        }


def _leaked(before: dict[str, Any], after: dict[str, Any]) -> dict[str, int]:
    """What there is more of than before the first call. Threads: the loop's executor has up to six, made when needed; the
    finalizer's child has two pipes."""
    allowed = {"fds": 4, "ports": 0, "tasks": 1, "threads": 6}
    return {name: after[name] - before[name] for name, most in allowed.items() if after[name] - before[name] > most}


async def _quietly(registering: Any) -> None:
    with contextlib.suppress(Unexpected):  # it has the wrong password
        await registering


def arguments() -> argparse.Namespace:
    """What to run."""
    parser = argparse.ArgumentParser(description="浸泡：很多短通话，看内存、端口、文件、流水")
    parser.add_argument("--calls", type=int, default=2000, help="通话数")
    parser.add_argument("--rate", type=float, default=5, help="每秒新呼叫")
    parser.add_argument("--kind", default="", help="只打一种")
    parser.add_argument("--keep", action="store_true", help="保留临时文件夹")
    add_option(parser)
    return parser.parse_args()


def _always(result: dict[str, Any]) -> tuple[Requirement, ...]:
    """What every soak has to reach."""
    return (
        Requirement("as_meant", "=", result["calls"]),
        Requirement("whole", "=", result["answered"]),
        Requirement("journal_complete", "=", result["answered"]),
        Requirement("journal_unanswered", "=", result["journal_started"] - result["journal_complete"]),
        Requirement("rss_slope_kb_a_call", "<=", FLAT_KB_A_CALL),
        Requirement("leaks", "=", 0),
    )


def main() -> int:
    """Run, judge, print."""
    args = arguments()
    home = Home(Path(tempfile.mkdtemp(prefix="callqa-soak-")), SEATS, "bridge")
    try:
        home.prepare()
        home.start()
        soak = Soak(args, home)
        result = asyncio.run(soak.run())
        result["missed"] = missed(result, (*_always(result), *args.require))
        print(json.dumps(result))  # noqa: T201
    finally:
        home.stop()
        if args.keep:
            print(home.home, file=sys.stderr)  # noqa: T201
        else:
            shutil.rmtree(home.home)
    return 1 if result["missed"] else 0


if __name__ == "__main__":
    sys.exit(main())
