# ruff: noqa: T201  it says what it made
"""Every page of the web application as a picture, by role, wide and as on a phone, from an invented month (tests/filled_month.py).

    python bench/pictures.py [--out FOLDER] [--only PART] [--docs] [--home FOLDER]

Looks in Debian's Chromium (apt install chromium) at 1440 × 900 and 390 × 844, whole pages, into FOLDER (var/pictures). A page
whose answer is no success, whose console complains, or that is wider than the screen is said, and the status is 1. `--docs` keeps
the first screen of each page, wide, in docs/images as a small PNG with a palette. `--home` keeps the installation for the next time.
"""

import argparse
import json
import os
import struct
import sys
import tempfile
import zlib
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import av  # noqa: E402
import numpy as np  # noqa: E402
from playwright.sync_api import Browser, Page, sync_playwright  # noqa: E402

from callqa.config import Settings  # noqa: E402
from callqa.live import Board, LiveCall, LiveFault, LiveSeat, LiveToday, LiveTrunk  # noqa: E402
from callqa.store.db import Database  # noqa: E402
from callqa.web.app import create_app  # noqa: E402
from tests.filled_month import NOW_MS, PASSWORD, Filled, fill  # noqa: E402
from tests.served import FLAGS, open_tab, serve, sign_in  # noqa: E402
from tests.web.test_live import FakeRecorder  # noqa: E402

WIDE, PHONE = {"width": 1440, "height": 900}, {"width": 390, "height": 844}
LEADER, SUPERVISOR, ADMIN, AGENT = "banzhang", "jiandu", "guanli", "zuoxi801"
COLOURS = 96
MOST_BYTES = 120 * 1024
OVER = "[...document.querySelectorAll('main *')].filter(e => e.getBoundingClientRect().right > innerWidth + 1 && !e.closest('.cq-scroll, .cq-wave, [data-wave], pre, textarea')).slice(0, 3).map(e => e.tagName + '.' + e.className)"


@dataclass(frozen=True)
class Shot:
    """One page: the picture's name, who looks, where. status: of the answer. docs: whether it is kept in docs/images."""

    name: str
    who: str
    path: Callable[[Filled], str]
    status: int = 200
    docs: bool = True


def _at(path: str) -> Callable[[Filled], str]:
    return lambda found: path.format(**asdict(found))


SHOTS = (
    Shot("login", "", _at("/login")),
    Shot("password", LEADER, _at("/account/password")),
    Shot("home", LEADER, _at("/")),
    Shot("home-agent", AGENT, _at("/"), docs=False),
    Shot("home-supervisor", SUPERVISOR, _at("/"), docs=False),
    Shot("home-admin", ADMIN, _at("/"), docs=False),
    Shot("live", LEADER, _at("/live")),
    Shot("live-own", AGENT, _at("/live/own")),
    Shot("calls", LEADER, _at("/calls?month=2026-11")),
    Shot("calls-agent", AGENT, _at("/calls?month=2026-11"), docs=False),
    Shot("call", LEADER, _at("/calls/{call_id}")),
    Shot("call-supervisor", SUPERVISOR, _at("/calls/{call_id}"), docs=False),
    Shot("correct", LEADER, _at("/calls/{call_id}/correct")),
    Shot("transcript-version", LEADER, _at("/calls/{call_id}/transcripts/1")),
    Shot("search", LEADER, _at("/search?q=漏水")),
    Shot("search-nothing", LEADER, _at("/search?q=宇宙飞船"), docs=False),
    Shot("followups", LEADER, _at("/followups?state=all")),
    Shot("followup", LEADER, _at("/followups/{followup_id}")),
    Shot("links", LEADER, _at("/links")),
    Shot("tickets", LEADER, _at("/tickets")),
    Shot("ticket", LEADER, _at("/tickets/{ticket_no}")),
    Shot("tickets-import", LEADER, _at("/tickets/import")),
    Shot("tickets-imported", LEADER, _at("/tickets/imports/{import_id}")),
    Shot("reconcile", LEADER, _at("/reconcile")),
    Shot("sampling", LEADER, _at("/sampling/2026-11")),
    Shot("sampling-new", LEADER, _at("/sampling/2026-12"), docs=False),
    Shot("queue", LEADER, _at("/evaluate?month=2026-11")),
    Shot("score", LEADER, _at("/evaluate/call/{score_call}")),
    Shot("scored", LEADER, _at("/evaluate/{decided}")),
    Shot("must-review", LEADER, _at("/must-review?month=2026-11")),
    Shot("reviews", LEADER, _at("/reviews?month=2026-11")),
    Shot("appeal", SUPERVISOR, _at("/reviews/{appealed}")),
    Shot("decided", LEADER, _at("/reviews/{decided}"), docs=False),
    Shot("mine", AGENT, _at("/mine")),
    Shot("mine-score", AGENT, _at("/mine/{own}")),
    Shot("mine-rubric", AGENT, _at("/mine/rubric")),
    Shot("actions", LEADER, _at("/actions?month=2026-11")),
    Shot("cases", LEADER, _at("/cases")),
    Shot("case-new", LEADER, _at("/cases/call/{call_id}")),
    Shot("confidential", LEADER, _at("/confidential")),
    Shot("deletions", LEADER, _at("/deletions")),
    Shot("call-deleted", LEADER, _at("/calls/{deleted_call}"), docs=False),
    Shot("trust", LEADER, _at("/trust")),
    Shot("calibration", LEADER, _at("/trust/calibration/{session_id}")),
    Shot("calibration-new", LEADER, _at("/trust/calibration/new")),
    Shot("calibration-call", LEADER, _at("/trust/calibration/{session_id}/call/{call_id}"), docs=False),
    Shot("rubrics", LEADER, _at("/rubrics")),
    Shot("rubric-draft", LEADER, _at("/rubrics/draft")),
    Shot("rubric-version", LEADER, lambda _: "/rubrics/version/" + _rubric_hash()),
    Shot("lexicons", LEADER, _at("/rubrics/lexicons")),
    Shot("trial", LEADER, _at("/rubrics/trial/{trial_id}")),
    Shot("report", LEADER, _at("/reports/2026-11")),
    Shot("report-none", SUPERVISOR, _at("/reports/2026-12"), docs=False),
    Shot("transcription", LEADER, _at("/transcription")),
    Shot("people", LEADER, _at("/people")),
    Shot("accounts", ADMIN, _at("/people/accounts")),
    Shot("lines", ADMIN, _at("/people/lines")),
    Shot("system", ADMIN, _at("/system")),
    Shot("no-right", AGENT, _at("/reports/2026-11"), status=403, docs=False),
    Shot("not-there", LEADER, _at("/calls/nothing"), status=404, docs=False),
)


def _rubric_hash() -> str:
    from tests.reports.builders import RUBRIC_HASH

    return RUBRIC_HASH


def board(found: Filled) -> bytes:
    """What the recorder would tell: two calls, one waiting, four phones, a trunk that is down."""
    ago = NOW_MS
    calls = (
        LiveCall(
            call_id="L1",
            direction="inbound",
            state="talking",
            number="13871206358",
            seat_extension="8001",
            since_ms=ago - 72_000,
        ),
        LiveCall(
            call_id="L2",
            direction="outbound",
            state="held",
            number="15927340866",
            seat_extension="8003",
            since_ms=ago - 31_000,
        ),
        LiveCall(
            call_id="L3", direction="inbound", state="queued", number="13397001122", position=1, since_ms=ago - 20_000
        ),
    )
    seats = tuple(
        LiveSeat(
            extension=f"80{n:02d}",
            agent_no=f"8{n:02d}" if n < 6 else None,
            registered=n != 5,
            contact=f"10.1.2.{n + 10}:5060",
        )
        for n in range(1, 9)
    )
    trunks = (LiveTrunk(name="电信中继", up=True, text="可用"), LiveTrunk(name="联通备用", up=False, text="探测无应答"))
    made = Board(
        number=1, at_ms=ago, started_at_ms=ago - 86_400_000, desk_number=3, listening="udp 0.0.0.0:5060", recorded_today=36,
        disk_free_mb=81_000, calls=calls, seats=seats, trunks=trunks,
        today=LiveToday(answered=36, missed=3, longest_wait_ms=41_000),
        faults=(LiveFault(at_ms=ago - 600_000, text="中继“联通备用”探测无应答", times=4),),
    )  # fmt: skip
    return made.model_dump_json().encode() + b"\n"


def small_png(data: bytes) -> bytes:
    """The same picture with a palette of COLOURS, every other colour as the nearest of them."""
    with av.open(__import__("io").BytesIO(data)) as box:
        pixels = next(box.decode(video=0)).to_ndarray(format="rgb24")
    flat = pixels.reshape(-1, 3)
    coarse = (flat >> 2).astype(np.uint32)
    keys = coarse[:, 0] << 12 | coarse[:, 1] << 6 | coarse[:, 2]
    names, places, counts = np.unique(keys, return_inverse=True, return_counts=True)
    colours = np.stack([names >> 12, names >> 6 & 63, names & 63], axis=1).astype(np.int32)
    chosen = _palette(colours, counts)
    near = np.empty(len(names), np.uint8)
    for start in range(0, len(names), 4096):
        part = colours[start : start + 4096]
        near[start : start + 4096] = ((part[:, None] - colours[chosen][None]) ** 2).sum(axis=2).argmin(axis=1)
    # of each palette entry the mean of what it stands for, weighted by how often it occurs
    index = near[places]
    sums = np.stack([np.bincount(index, flat[:, c], len(chosen)) for c in range(3)], axis=1)
    palette = np.round(sums / np.maximum(1, np.bincount(index, minlength=len(chosen)))[:, None]).astype(np.uint8)
    height, width = pixels.shape[:2]
    rows = np.concatenate([np.zeros((height, 1), np.uint8), index.reshape(height, width)], axis=1)

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)
    packed = zlib.compress(rows.tobytes(), 9)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"PLTE", palette.tobytes())
        + chunk(b"IDAT", packed)
        + chunk(b"IEND", b"")
    )


def _palette(colours: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """COLOURS indices into int32 (n, 3): half the most frequent, then always what is worst told so far: far away and not rare."""
    chosen = list(np.argsort(-counts, kind="stable")[: COLOURS // 2])
    apart = np.min([((colours - colours[c]) ** 2).sum(axis=1) for c in chosen], axis=0)
    while len(chosen) < min(COLOURS, len(colours)):
        worst = int(np.argmax(apart * np.sqrt(counts)))
        chosen.append(worst)
        apart = np.minimum(apart, ((colours - colours[worst]) ** 2).sum(axis=1))
    return np.array(chosen)


class Looker:
    """Tabs of one browser, one a role and width."""

    def __init__(self, browser: Browser, address: str) -> None:
        self._browser, self._address = browser, address
        self._pages: dict[tuple[str, int], Page] = {}
        self.trouble: list[str] = []

    def page(self, who: str, size: dict[str, int]) -> Page:
        if (who, size["width"]) not in self._pages:
            page = open_tab(self._browser, self._address, self.trouble, **size)
            if who:
                sign_in(page, who, PASSWORD)
            self._pages[who, size["width"]] = page
        return self._pages[who, size["width"]]

    def look(self, shot: Shot, found: Filled, out: Path, size: dict[str, int]) -> list[str]:
        """One picture of the whole page; what is wrong with it."""
        self.trouble.clear()
        page = self.page(shot.who, size)
        answer = page.goto(shot.path(found))
        page.wait_for_timeout(700)  # waveforms, live lines
        page.screenshot(path=out / f"{shot.name}-{size['width']}.png", full_page=True)
        wrong = [] if answer is not None and answer.status == shot.status else [f"answered {answer and answer.status}"]
        wide = page.evaluate("document.documentElement.scrollWidth")
        if wide > size["width"]:
            wrong.append(f"is {wide} wide: {page.evaluate(OVER)}")
        return wrong + ([] if shot.status != 200 else [f"console: {line}" for line in self.trouble[:2]])

    def keep(self, shot: Shot, found: Filled, folder: Path) -> None:
        """The first screen as a small picture."""
        page = self.page(shot.who, WIDE)
        page.goto(shot.path(found))
        page.wait_for_timeout(700)
        data = small_png(page.screenshot())
        if len(data) > MOST_BYTES:
            raise SystemExit(f"{shot.name}.png has {len(data) // 1024} KB")
        (folder / f"{shot.name}.png").write_bytes(data)


def main() -> int:
    """Take the pictures."""
    parser = argparse.ArgumentParser(description="every page as a picture")
    parser.add_argument("--out", type=Path, default=ROOT / "var" / "pictures")
    parser.add_argument("--only", default="")
    parser.add_argument("--docs", action="store_true")
    parser.add_argument("--home", type=Path)
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="callqa-pictures-") as folder:
        home = given.home or Path(folder)
        settings = Settings(home=home)
        known = home / "filled.json"
        if not known.exists():
            home.mkdir(parents=True, exist_ok=True)
            known.write_text(json.dumps(asdict(fill(settings))))
        found = Filled(**json.loads(known.read_text()))
        settings.live_socket.unlink(missing_ok=True)
        recorder = FakeRecorder(settings.live_socket, [board(found)])
        db = Database(settings.database_url)
        try:
            with serve(create_app(settings, db, clock=lambda: NOW_MS)) as address, sync_playwright() as playwright:
                browser = playwright.chromium.launch(
                    executable_path="/usr/bin/chromium",
                    args=[*FLAGS, "--lang=zh-CN"],
                    env={**os.environ, "LANGUAGE": "zh_CN"},
                )
                status = take(Looker(browser, address), found, given.out, given.only, docs=given.docs)
                browser.close()
        finally:
            recorder.stop()
            db.dispose()
    return status


def take(looker: Looker, found: Filled, out: Path, only: str, *, docs: bool) -> int:
    """All pages, or those whose name holds `only`; says what is wrong."""
    wrong = 0
    for shot in SHOTS:
        if only not in shot.name:
            continue
        for size in (WIDE, PHONE):
            for line in looker.look(shot, found, out, size):
                wrong += 1
                print(f"{shot.name} at {size['width']}: {line}")
        if docs and shot.docs:
            looker.keep(shot, found, ROOT / "docs" / "images")
    print(json.dumps({"bench": "pictures", "pages": len(SHOTS), "wrong": wrong}))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
