# ruff: noqa: T201  a bench prints its figures
"""How fast the scoring page opens, in a real browser, with a call of half an hour.

    python bench/page.py [--opens 20] [--nexts 20] [--minutes 30] [--width 1440] [--rest-ms 5000]

A month is made up in a temporary folder: calls of `--minutes` with a stereo G.711 recording, about 470 utterances (the exact
words of tests/data/calls, one call after the other), a gap map, a ticket; pre-scored by the product's own worker step, frozen
and drawn. The application runs in a process of its own on the loopback, with one address more: an empty page.

Timed in Debian's Chromium (apt install chromium), from the start of the navigation:

| `empty`  | the empty page, painted: the floor under everything |
| `house`  | a page of the product with next to nothing in it (change the password) |
| `open`   | a call of the queue that nobody opened yet, the browser's cache emptied: draft made, form in place, waveform drawn,
             transcript shown; said by the page itself (the mark `callqa-usable`), and the waveform's pixels are then looked at |
| `again`  | the same page once more, the browser's cache warm |
| `next`   | from the key press Ctrl+Enter on a complete form to the next call usable: submitted, the next one opened |

Each is given as median, 95th percentile and worst, in milliseconds; `open_parts` holds the browser's own figures of `open`, and
`cpu_ms` what one opening cost the server's process and the main thread of the page, which other programs do not lengthen much.
The last line is one JSON object. Status 1 where `open` at p95 is over the target.
"""

import argparse
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import mean, median, quantiles
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from fastapi.responses import HTMLResponse  # noqa: E402
from playwright.sync_api import Browser, sync_playwright  # noqa: E402
from sqlmodel import Session  # noqa: E402

from callqa.config import Settings  # noqa: E402
from callqa.errors import EngineError  # noqa: E402
from callqa.periods import Month  # noqa: E402
from callqa.store.db import Database  # noqa: E402
from callqa.store.migrate import migrate  # noqa: E402
from callqa.store.queries.evaluate import drawn_queue  # noqa: E402
from callqa.store.tables import Account, Agent, Call, CallProgress  # noqa: E402
from callqa.transcribe.engine import Engine  # noqa: E402
from callqa.usecases.accounts import hash_password  # noqa: E402
from callqa.usecases.freeze import freeze  # noqa: E402
from callqa.usecases.progress import Stage  # noqa: E402
from callqa.usecases.work import EngineSlot, Work  # noqa: E402
from callqa.web.app import create_app  # noqa: E402
from callqa.web.warm import warm  # noqa: E402
from tests import builders  # noqa: E402
from tests.drawn_month import NONCE_A, NONCE_B, SCORECARDS  # noqa: E402
from tests.scoring.reference_calls import load_call  # noqa: E402
from tests.served import open_tab, sign_in  # noqa: E402
from tests.served import serve as serve_app  # noqa: E402

TARGET_MS = 300.0
NOW_MS = builders.at("2026-11-22 14:05")
CALLS = ROOT / "tests" / "data" / "calls"
SETS = ("D01", "D02", "D03", "D04", "D13")
AGENTS, CALLS_EACH = 8, 14
PASSWORD = "correct-horse-7"
FLAGS = ("--no-sandbox", "--disable-gpu")
START_LIMIT_S = 60.0
USABLE = "performance.getEntriesByName('callqa-usable').length > 0"
EMPTY = (
    "<!doctype html><html lang=zh><meta charset=utf-8><title>空白</title><link rel=icon href=data:,><p>空白</p></html>"
)
WAVE_INK = """(() => {
  const canvas = document.querySelector('[data-wave] canvas');
  const data = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
  let sum = 0;
  for (let i = 3; i < data.length; i += 4) if (data[i]) sum += 1;
  return sum;
})()"""
# Asked by the devtools, without Playwright's own script: a third of a megabyte, compiled on the main thread of the page that is timed.
OPENED = """new Promise((done) => {
  const say = () => {
    const nav = performance.getEntriesByType('navigation')[0];
    const paint = performance.getEntriesByName('first-contentful-paint')[0];
    done(JSON.stringify({ usable: performance.getEntriesByName('callqa-usable')[0].startTime, first_byte: nav.responseStart,
      last_byte: nav.responseEnd, interactive: nav.domInteractive, content_loaded: nav.domContentLoadedEventEnd,
      first_paint: paint ? paint.startTime : 0, html_kb: nav.decodedBodySize / 1000 }));
  };
  if (performance.getEntriesByName('callqa-usable').length) { say(); return; }
  new PerformanceObserver((list) => { if (list.getEntriesByName('callqa-usable').length) say(); }).observe({ type: 'mark' });
})"""
PAINTED = "() => new Promise((done) => requestAnimationFrame(() => setTimeout(() => done(performance.now()))))"


# ---- the month -------------------------------------------------------------------------------------------------------


def story(minutes: int) -> tuple[builders.Line, ...]:
    """The turns of the reference calls one after the other until the time is up."""
    lines: list[builders.Line] = []
    at_s = 0.0
    while True:
        for name in SETS:
            facts = load_call(CALLS, name).facts
            assert facts.transcript is not None
            for u in facts.transcript.utterances:
                end_s = at_s + u.span.end_ms / 1000
                if end_s > minutes * 60:
                    return tuple(lines)
                who = "c" if u.speaker.value == "citizen" else "a"
                lines.append(
                    builders.Line(
                        who, at_s + u.span.start_ms / 1000, end_s, u.text, 0.55 if len(lines) % 9 == 4 else 0.93
                    )
                )
            at_s += facts.duration_ms / 1000


def make_month(home: Path, minutes: int, wanted: int) -> dict[str, Any]:
    """Rows and recordings of a drawn month whose first `wanted` calls of the queue are long ones. Returns what was made."""
    settings = Settings(home=home)
    for folder in (settings.recordings_dir, settings.var_dir):
        folder.mkdir(parents=True, exist_ok=True)
    migrate(settings.database_url)
    db = Database(settings.database_url)
    with db.write() as session:
        _add_people(session)
        builders.add_rubric(session)
        for index in range(AGENTS * CALLS_EACH):
            _add_row(session, index, minutes)
    _draw(db)
    with db.read() as session:
        chosen = [row.call.call_id for row in drawn_queue(session)[1]][:wanted]
    if len(chosen) < wanted:
        raise SystemExit(f"the sample has {len(chosen)} calls, {wanted} are needed")
    lines = story(minutes)
    samples = builders.speech_like(lines, minutes * 60.0)
    wav = builders.alaw_wav(samples)
    begun = time.monotonic()
    for call_id in chosen:
        _record(db, settings, call_id, wav, len(samples), lines)
    figures = {
        "utterances": len(lines),
        "recording_mb": round(len(wav) / 1e6, 1),
        "prescore_s": round((time.monotonic() - begun) / wanted, 2),
    }
    db.dispose()
    return figures


def _add_people(session: Session) -> None:
    for n in range(AGENTS):
        session.add(Agent(agent_no=f"8{n + 1:02d}", name=f"坐席{n + 1}", hired_on="2024-03-01"))
    session.add(
        Account(username="leader", display_name="李班长", role="shift_leader", password_hash=hash_password(PASSWORD))
    )
    session.flush()


def _add_row(session: Session, index: int, minutes: int) -> None:
    agent_no = f"8{index % AGENTS + 1:02d}"
    started = builders.at("2026-11-02 08:00") + index * 3_600_000
    call = builders.add_call(
        session,
        f"202611{2 + index // 24:02d}T{index % 24:02d}0000000Z-P{index:03d}",
        started,
        agent_no=agent_no,
        seat_extension=None,
        duration_ms=minutes * 60_000,
        ended_at_ms=started + 6_400 + minutes * 60_000,
    )
    call.recording_status, call.recording_sha256 = "ok", hashlib.sha256(call.call_id.encode()).hexdigest()
    session.add(call)


def _draw(db: Database) -> None:
    from callqa.scoring.sampling import commitment
    from callqa.usecases.draw import commit, reveal

    plan = (SCORECARDS / "sampling.yaml").read_text(encoding="utf-8")
    frame = freeze(db, Month(2026, 11), plan, actor="leader", allow_partial=True, now_ms=NOW_MS)
    assert frame.id is not None
    for side, nonce in (("a", NONCE_A), ("b", NONCE_B)):
        commit(db, frame.id, side=side, value=commitment(nonce), actor=f"person-{side}", now_ms=NOW_MS)
    reveal(db, frame.id, nonce_a=NONCE_A, nonce_b=NONCE_B, actor="person-a", now_ms=NOW_MS)


def _record(
    db: Database, settings: Settings, call_id: str, wav: bytes, n_samples: int, lines: tuple[builders.Line, ...]
) -> None:
    """The call's own file, its transcript and ticket; then the worker's own pre-score."""
    path = f"2026/11/{call_id}.wav"
    own = settings.recordings_dir / path
    own.parent.mkdir(parents=True, exist_ok=True)
    own.write_bytes(wav)
    with db.write() as session:
        call = session.get(Call, call_id)
        assert call is not None
        call.recording_path, call.recording_encoding = path, "alaw"
        call.sample_rate_hz, call.n_samples = builders.RATE_HZ, n_samples
        call.gaps = [
            {
                "channel": k % 2,
                "start_ms": 40_000 * k,
                "end_ms": 40_000 * k + (9_000 if k % 3 else 400),
                "kind": "held" if k % 3 else "lost",
            }
            for k in range(1, 20)
            if 40_000 * k < (call.duration_ms or 0)
        ]
        session.add(call)
        builders.add_transcript(session, call, lines)
        ticket = builders.add_ticket(session, f"SW{call_id[:8]}{call_id[-3:]}", accepted_by_agent_no=call.agent_no)
        builders.add_link(session, call, ticket)
        for stage, state in (("transcribe", "done"), ("check", "wanted")):
            session.add(CallProgress(call_id=call_id, stage=stage, state=state, updated_at_ms=NOW_MS))
    work = Work(db, settings.recordings_dir, EngineSlot(_no_engine), clock=lambda: NOW_MS, var=settings.var_dir)
    if work.run_stage(call_id, Stage.CHECK) != "done":
        raise SystemExit(f"call {call_id} was not pre-scored")


def _no_engine() -> Engine:
    raise EngineError("nothing is transcribed here")


# ---- the server ------------------------------------------------------------------------------------------------------


def serve(home: Path, port_file: Path) -> None:
    """The product's application and the empty page until SIGTERM; `port_file` says where."""
    settings = Settings(home=home)
    app = create_app(settings, Database(settings.database_url), clock=lambda: NOW_MS + time.monotonic_ns() // 1_000_000)
    warm(app.state.callqa)  # as the product's process does beside its first requests
    app.add_api_route("/bench/empty", lambda: HTMLResponse(EMPTY))
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})  # for the server's threads too
    with serve_app(app) as address:
        part = port_file.with_suffix(".part")
        part.write_text(address)
        part.rename(port_file)
        signal.sigwait({signal.SIGTERM})


class Served:
    """The server's process."""

    def __init__(self, home: Path) -> None:
        port_file = home / "port"
        self._process = subprocess.Popen([sys.executable, __file__, "--serve", str(home), str(port_file)])
        deadline = time.monotonic() + START_LIMIT_S
        while not port_file.exists():
            if time.monotonic() > deadline or self._process.poll() is not None:
                self.stop()
                raise SystemExit("the server does not start")
            time.sleep(0.05)
        self.address = port_file.read_text()

    @property
    def cpu_ms(self) -> float:
        """Of its whole life, all threads."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) * 1000 / os.sysconf("SC_CLK_TCK")

    def stop(self) -> None:
        """End it."""
        self._process.terminate()
        self._process.wait(20)


# ---- the browser -----------------------------------------------------------------------------------------------------


class Desk:
    """The leader at a browser. trouble: what its console complained of."""

    def __init__(self, browser: Browser, address: str, width: int) -> None:
        self.trouble: list[str] = []
        self.page = open_tab(browser, address, self.trouble, width=width)
        self.context = self.page.context
        sign_in(self.page, "leader", PASSWORD)
        self._devtools = self.context.new_cdp_session(self.page)
        self._devtools.send("Performance.enable", {"timeDomain": "threadTicks"})

    def forget(self) -> None:
        """Empty the browser's cache and rest on the empty page."""
        self._devtools.send("Network.clearBrowserCache")
        self.page.goto("/bench/empty")

    @property
    def cpu_ms(self) -> float:
        """Of the page's main thread, all its life."""
        metrics = self._devtools.send("Performance.getMetrics")["metrics"]
        return 1000 * next(float(m["value"]) for m in metrics if m["name"] == "ThreadTime")

    def _ask(self, expression: str) -> Any:
        answer = self._devtools.send(
            "Runtime.evaluate", {"expression": expression, "awaitPromise": True, "returnByValue": True}
        )
        return answer["result"]["value"]

    def painted_ms(self, path: str) -> float:
        """From the start of the navigation to the page painted."""
        self.page.goto(path)
        return float(self.page.evaluate(PAINTED))

    def usable_ms(self, path: str) -> tuple[float, dict[str, float]]:
        """To the page's own mark, and the browser's figures."""
        self.page.goto(path, wait_until="commit")
        found: dict[str, float] = json.loads(self._ask(OPENED))
        self.page.wait_for_load_state()
        if self._ask(WAVE_INK) < 1000:
            raise SystemExit(f"{path}: said to be usable, but no waveform is drawn")
        if not self.page.locator("[data-utterance]").count() or not self.page.locator("[data-item]").count():
            raise SystemExit(f"{path}: said to be usable, but there is no transcript or no form")
        return found.pop("usable"), found

    def submit_ms(self) -> float:
        """Ctrl+Enter on a complete form, until the next call is usable."""
        radios = self.page.locator('[data-suggestion] input[value="rejected"]').all()
        for radio in radios:
            radio.check(force=True)
        if radios:  # a blind card shows no suggestion: nothing to answer, nothing to save
            self.page.wait_for_function("() => /暂存于/.test(document.getElementById('ev-saved').textContent)")
        self.page.wait_for_function("() => !document.querySelector('[data-to-missing]')")
        was = self.page.url
        pressed = "sessionStorage.pressed = String(performance.timeOrigin + performance.now())"
        self.page.evaluate(
            f"document.addEventListener('keydown', (e) => {{ if (e.key === 'Enter') {pressed}; }}, true)"
        )
        self.page.keyboard.press("Control+Enter")
        self.page.wait_for_function(f"(was) => location.href !== was && {USABLE}", arg=was)
        if "ev-edit" not in (self.page.locator("#ev-form").get_attribute("class") or ""):
            raise SystemExit(f"{self.page.url}: not a form to fill in")
        return float(
            self.page.evaluate(
                "performance.timeOrigin + performance.getEntriesByName('callqa-usable')[0].startTime - Number(sessionStorage.pressed)"
            )
        )


def three(values: list[float]) -> dict[str, float]:
    """Median, 95th percentile and worst."""
    p95 = quantiles(values, n=20, method="inclusive")[-1] if len(values) > 1 else values[0]
    return {"median": round(median(values), 1), "p95": round(p95, 1), "worst": round(max(values), 1)}


def measure(browser: Browser, served: Served, call_ids: list[str], opens: int, width: int) -> dict[str, Any]:
    """All of the docstring's table but `next`."""
    desk = Desk(browser, served.address, width)
    rounds: dict[str, list[float]] = {"empty": [], "house": [], "open": [], "again": []}
    parts: dict[str, list[float]] = {}
    desk.usable_ms(f"/evaluate/call/{call_ids[0]}")  # the server's first page of this kind, and the browser's
    for call_id in call_ids[1 : opens + 1]:
        desk.forget()
        rounds["empty"].append(desk.painted_ms("/bench/empty"))
        desk.forget()
        rounds["house"].append(desk.painted_ms("/account/password"))
        desk.forget()
        before = served.cpu_ms, desk.cpu_ms
        usable, found = desk.usable_ms(f"/evaluate/call/{call_id}")
        rounds["open"].append(usable)
        found |= {"server": served.cpu_ms - before[0], "main_thread": desk.cpu_ms - before[1]}
        for name, value in found.items():
            parts.setdefault(name, []).append(value)
        here = desk.page.url
        desk.page.goto("/bench/empty")
        rounds["again"].append(desk.usable_ms(here)[0])
    result: dict[str, Any] = {f"{name}_ms": three(values) for name, values in rounds.items()}
    result["cpu_ms"] = {name: round(mean(parts.pop(name)), 1) for name in ("server", "main_thread")}  # ticks are 10 ms
    result["open_parts"] = {name: round(median(values), 1) for name, values in parts.items()}
    result["trouble"] = desk.trouble
    desk.context.close()
    return result


def measure_next(browser: Browser, address: str, nexts: int, width: int, rest_ms: int) -> dict[str, Any]:
    """Score the queue by Ctrl+Enter; rest_ms: how long one is on a card at least."""
    desk = Desk(browser, address, width)
    desk.page.goto("/evaluate/next")
    desk.page.wait_for_function(f"() => {USABLE}")
    times = []
    for _ in range(nexts):
        desk.page.wait_for_timeout(rest_ms)
        times.append(desk.submit_ms())
    result = {"next_ms": three(times), "next_trouble": desk.trouble}
    desk.context.close()
    return result


def main() -> int:
    """Make the month, serve it, look at it."""
    parser = argparse.ArgumentParser(description="评分页多快可用（真实浏览器，30 分钟的通话）")
    parser.add_argument("--opens", type=int, default=20, help="打开多少通")
    parser.add_argument("--nexts", type=int, default=20, help="用 Ctrl+Enter 评多少通")
    parser.add_argument("--minutes", type=int, default=30, help="通话多长，分钟")
    parser.add_argument("--width", type=int, default=1440, help="窗口宽度")
    parser.add_argument("--rest-ms", type=int, default=5000, help="在一张卡上至少停留多久")
    parser.add_argument("--serve", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        serve(Path(args.serve[0]), Path(args.serve[1]))
        return 0
    chromium = shutil.which("chromium")
    if chromium is None:
        raise SystemExit("缺少 chromium（Debian：apt install chromium）")
    with tempfile.TemporaryDirectory(prefix="callqa-page-") as name:
        home = Path(name)
        figures = make_month(home, args.minutes, 1 + args.opens + args.nexts + 2)
        print(f"made: {figures}", flush=True)
        served = Served(home)
        try:
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(executable_path=chromium, args=list(FLAGS))
                db = Database(Settings(home=home).database_url)
                with db.read() as session:
                    call_ids = [row.call.call_id for row in drawn_queue(session)[1]]
                db.dispose()
                figures |= measure(browser, served, call_ids, args.opens, args.width)
                if args.nexts:
                    figures |= measure_next(browser, served.address, args.nexts, args.width, args.rest_ms)
                browser.close()
        finally:
            served.stop()
    for key in ("empty_ms", "house_ms", "open_ms", "again_ms", "next_ms"):
        if key in figures:
            print(f"| {key[:-3]:6} | {figures[key]['median']} | {figures[key]['p95']} | {figures[key]['worst']} |")
    print(json.dumps({**figures, "load": round(os.getloadavg()[0], 2)}, ensure_ascii=False))
    return 1 if figures["open_ms"]["p95"] > TARGET_MS or figures["trouble"] else 0


if __name__ == "__main__":
    sys.exit(main())
