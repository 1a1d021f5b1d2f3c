"""The demo's course of events: set up an installation, run it, place the calls, follow them to the report."""

import asyncio
import fcntl
import json
import secrets
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, TextIO

from sqlmodel import col, func, select

from callqa import app
from callqa.background import clock_ms
from callqa.config import Settings, load_settings
from callqa.demo import data
from callqa.demo.citizens import Citizens
from callqa.demo.leader import Leader
from callqa.errors import CallqaError
from callqa.live import Board
from callqa.periods import SHANGHAI, Month, say_duration
from callqa.store.db import Database
from callqa.store.migrate import migrate
from callqa.store.tables import Call, CallProgress, CheckRun, Evaluation, SampleEntry, TicketLink, TranscriptRow
from callqa.usecases import accounts, desk, people, routing
from callqa.usecases.draw import commit, reveal
from callqa.usecases.freeze import freeze
from callqa.usecases.import_roster import import_roster
from callqa.usecases.import_tickets import import_tickets

SERVICE_START_LIMIT_S = 60
CALL_LIMIT_S = 180
WORK_LIMIT_S = 420
MARKER = ".callqa-demo"
REPORT_KINDS = {".docx", ".xlsx", ".pdf"}
MEDIA_BLOCKS = tuple(range(20000, 32000, 1000))  # the first port is the claim, the others are for calls


def tell(text: str) -> None:
    """One line of progress."""
    print(text, flush=True)  # noqa: T201  the demo speaks to its viewer


def until(what: str, limit_s: float, ready: Callable[[], bool], every_s: float = 0.25) -> None:
    """Wait for a condition of another process. Raise CallqaError when it does not come in time."""
    deadline = time.monotonic() + limit_s
    while not ready():
        if time.monotonic() > deadline:
            raise CallqaError(f"等了 {limit_s:.0f} 秒，{what}仍未完成")
        time.sleep(every_s)


def free_port(kind: int, host: str, wanted: int) -> int:
    """`wanted` if it is free, else one the system picks."""
    for port in (wanted, 0):
        with socket.socket(socket.AF_INET, kind) as s:
            try:
                s.bind((host, port))
            except OSError:
                continue
            return int(s.getsockname()[1])
    raise CallqaError(f"{host} 上没有可用端口")


@dataclass
class Show:
    """One performance."""

    home: Path
    models: Path
    stage: str = "准备"
    finished: bool = False
    refused_settings: bool = False
    passwords: dict[str, str] = field(default_factory=dict)
    phones: list["subprocess.Popen[str]"] = field(default_factory=list)
    supervisor: app.Supervisor | None = None
    db: Database | None = None
    counts: dict[str, Any] = field(default_factory=dict)
    media_block: int = 0
    _held: list[TextIO | socket.socket] = field(default_factory=list)

    # ------------------------------------------------------------------ the acts
    def play(self) -> None:
        """Everything up to the drawn sample."""
        self._prepare()
        self._open_office()
        self._start_services()
        self._start_phones()
        self._place_calls()
        self._follow_work()
        self._draw_sample()
        self.finished = True

    def lead(self) -> None:
        """The leader scores the sample and exports the report, through the web interface's own forms."""
        self.finished = False
        self._enter("班长评分（网页表单）")
        leader = Leader(self._web_address, self.passwords["banzhang"])
        self.counts["evaluated"] = leader.score_sample(tell)
        self._enter("导出《月度质检报告》")
        leader.export_report(str(self.month))
        files = sorted(p for p in self.settings.exports_dir.rglob("*") if p.suffix in REPORT_KINDS)
        self.counts["report"] = [str(p) for p in files]
        for path in files:
            tell(f"    {path}")
        self.finished = True

    def invite(self) -> None:
        """Tell a person where to look."""
        tell("\n" + "─" * 72)
        tell(f"演示已就绪：{self._web_address}/")
        for username, name, role, _ in data.ACCOUNTS:
            label = {"shift_leader": "班长", "agent": "坐席", "client_supervisor": "监督员", "admin": "管理员"}[role]
            tell(f"  {label}  账号 {username:<10} 密码 {self.passwords[username]}  （{name}）")
        tell(
            f"本月抽检 {self.counts.get('sampled', 0)} 通，可用班长账号逐通评分；报告在“月度质检报告”页导出到 {self.settings.exports_dir}"
        )
        tell("停止：Ctrl-C")

    def wait_for_interrupt(self) -> None:
        assert self.supervisor is not None
        while self.supervisor.poll() is None:
            time.sleep(0.5)

    def stop(self) -> None:
        """End everything this performance started."""
        for phone in self.phones:
            if phone.poll() is None:
                phone.terminate()
        for phone in self.phones:
            try:
                phone.wait(5)
            except subprocess.TimeoutExpired:
                phone.kill()
        if self.supervisor is not None:
            self.supervisor.stop()
        if self.db is not None:
            self.db.dispose()
        for held in self._held:
            held.close()

    # ------------------------------------------------------------------ scenes
    def _enter(self, stage: str) -> None:
        self.stage = stage
        tell(f"==> {stage}")

    def _prepare(self) -> None:
        self._enter("准备演示环境")
        self._take_stage()
        if self.home.exists():
            if not (self.home / MARKER).exists():
                raise CallqaError(f"{self.home} 不是演示文件夹，不会清空它；请用 --home 另指一个")
            shutil.rmtree(self.home)
        self.home.mkdir(parents=True)
        (self.home / MARKER).touch()
        self.sip_port = free_port(socket.SOCK_DGRAM, "127.0.0.1", 5060)
        web_port = free_port(socket.SOCK_STREAM, "127.0.0.1", 8080)
        self.trunk_port = free_port(socket.SOCK_DGRAM, "127.0.0.2", 5060)
        config = self.home / "callqa.toml"
        config.write_text(
            "demo = true\n"
            "[sip]\nlisten_host = '127.0.0.1'\n"
            f"listen_port = {self.sip_port}\nrtp_port_min = {self.media_block + 2}\n"
            f"rtp_port_max = {self.media_block + 999}\n"
            f"[web]\nlisten_port = {web_port}\n"
            f"[speech]\nmodel_dir = '{self.models.resolve()}'\nparallel_calls = 2\n",
            encoding="utf-8",
        )
        self.config = config
        self.settings: Settings = load_settings(config)
        self._web_address = f"http://127.0.0.1:{web_port}"
        app.prepare_model(self.settings, lambda text: tell(f"    {text}"))

    def _take_stage(self) -> None:
        """Hold the home for this performance alone, and a block of media ports that no other demo uses."""
        self.home.parent.mkdir(parents=True, exist_ok=True)
        lock = (self.home.parent / f".{self.home.name}.lock").open("w")
        self._held.append(lock)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as e:
            raise CallqaError(f"另一个演示正在用 {self.home}；请先用 Ctrl-C 停掉它，或用 --home 另指一个文件夹") from e
        for block in MEDIA_BLOCKS:
            claim = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self._held.append(claim)
            try:
                claim.bind(("127.0.0.1", block))
            except OSError:
                continue
            self.media_block = block
            return
        raise CallqaError(f"本机已有 {len(MEDIA_BLOCKS)} 个演示在运行；请先停掉一个")

    def _open_office(self) -> None:
        self._enter("建库，登记席位、排班和工单")
        app.copy_scorecards(self.settings)
        app.prepare_folders(self.settings)
        now = datetime.now(SHANGHAI)
        migrate(self.settings.database_url)
        self.db = Database(self.settings.database_url)
        self.month = Month(now.year, now.month)
        self.calls = data.demo_calls(now)
        for agent_no, name in data.AGENTS:
            people.add_agent(self.db, agent_no=agent_no, name=name, actor="system", now_ms=clock_ms())
        for extension, label, _ in data.SEATS:
            self.passwords[extension] = app.new_secret()
            people.add_seat(
                self.db,
                extension=extension,
                label=label,
                password=self.passwords[extension],
                actor="system",
                now_ms=clock_ms(),
            )
        for username, name, role, own_agent_no in data.ACCOUNTS:
            self.passwords[username] = app.new_secret(10)
            accounts.create_account(
                self.db,
                accounts.NewAccount(
                    username, name, role, self.passwords[username], own_agent_no, must_change_password=False
                ),
                actor="system",
                now_ms=clock_ms(),
            )
        app.prepare_database(self.settings, clock_ms())
        desk.set_trunks(
            self.db,
            [{"name": "演示中继", "addresses": ["127.0.0.2"], "host": "127.0.0.2", "port": self.trunk_port}],
            actor="system",
            now_ms=clock_ms(),
        )
        desk.set_dial_plan(
            self.db, [{"pattern": r"1[3-9]\d{9}", "trunk": "演示中继"}], actor="system", now_ms=clock_ms()
        )
        routing.set_routing(
            self.db,
            {"inbound_mode": "bridge", "ring_timeout_s": 30, "hotline_number": data.HOTLINE_NUMBER},
            actor="system",
            now_ms=clock_ms(),
        )
        tickets, roster = data.ticket_csv(now), data.roster_csv(now)
        (self.home / "工单.csv").write_bytes(tickets)
        (self.home / "排班.csv").write_bytes(roster)
        result = import_tickets(self.db, file_name="工单.csv", data=tickets, actor="system", now_ms=clock_ms())
        import_roster(self.db, file_name="排班.csv", data=roster, actor="system", now_ms=clock_ms())
        tell(f"    工单 {result.rows_new} 条（其中一条不属于任何来电），排班已导入")
        for extension, _, agent_no in data.SEATS:
            people.sign_in(self.db, seat_extension=extension, agent_no=agent_no, actor="system", now_ms=clock_ms())
        desk.publish_desk(self.db, self.settings.desk_path, clock_ms())

    def _start_services(self) -> None:
        self._enter("启动录音、处理、网页三个服务")
        self.supervisor = app.Supervisor(self.config, log_folder=self.home)
        self.supervisor.start()
        until("服务启动", SERVICE_START_LIMIT_S, lambda: self._board() is not None and self._web_answers())

    def _start_phones(self) -> None:
        self._enter("四部话机注册（pyVoIP，摘要认证）")
        inbound = {c.extension: c for c in self.calls if not c.outbound}
        for k, (extension, _, _) in enumerate(data.SEATS):
            call = inbound.get(extension)
            config = {
                "extension": extension,
                "password": self.passwords[extension],
                "server": "127.0.0.1",
                "port": self.sip_port,
                "sip_port": free_port(socket.SOCK_DGRAM, "127.0.0.1", 5071 + k),
                "answers": {call.number: f"{call.code}.agent.ul"} if call else {},
            }
            self.phones.append(
                subprocess.Popen(
                    [sys.executable, "-W", "ignore", "-m", "callqa.demo.phones", json.dumps(config)],
                    stdin=subprocess.PIPE,
                    stdout=(self.home / f"phone-{extension}.log").open("w"),
                    stderr=subprocess.STDOUT,
                    text=True,
                    start_new_session=True,
                )
            )
        until("话机注册", SERVICE_START_LIMIT_S, self._all_registered)
        tell("    " + "、".join(f"{e}（{agent} 签入）" for e, _, agent in data.SEATS))

    def _place_calls(self) -> None:
        self._enter("同时打四通电话：三通呼入，一通呼出回访")
        out = next(c for c in self.calls if c.outbound)
        caller = self.phones[[s[0] for s in data.SEATS].index(out.extension)]
        citizens = Citizens(("127.0.0.2", self.trunk_port), ("127.0.0.1", self.sip_port), data.HOTLINE_NUMBER, tell)

        def dial_out() -> None:
            assert caller.stdin is not None
            caller.stdin.write(json.dumps({"call": out.number, "play": f"{out.code}.agent.ul"}) + "\n")
            caller.stdin.flush()

        try:
            asyncio.run(asyncio.wait_for(citizens.live(self.calls, dial_out), CALL_LIMIT_S))
        except TimeoutError as e:
            raise CallqaError(f"{CALL_LIMIT_S} 秒内四通电话没有打完；话机的记录在 {self.home}/phone-*.log") from e
        self.counts["calls"] = citizens.connected
        until("录音落盘", 30, lambda: self._count_calls(recorded=True) >= len(self.calls))

    def _follow_work(self) -> None:
        self._enter("关联、转写、预评")
        shown = ""

        def done() -> bool:
            nonlocal shown
            states = self._stage_states()
            text = "    " + "  ".join(
                f"{label} {sum(s == 'done' for s in states[stage])}/{len(self.calls)}"
                for stage, label in (("attribute", "归属"), ("link", "关联"), ("transcribe", "转写"), ("check", "预评"))
            )
            if text != shown:
                tell(text)
                shown = text
            waiting = self._message("transcribe", "waiting")
            if waiting:
                raise CallqaError(f"transcribed（转写）没有完成：{waiting}")
            failed = self._message(None, "failed")
            if failed:
                raise CallqaError(failed)
            return all(s == "done" for s in states["check"]) and len(states["check"]) == len(self.calls)

        until("转写与预评", WORK_LIMIT_S, done, every_s=0.5)
        self._tell_calls()

    def _draw_sample(self) -> None:
        self._enter("冻结本月至今的抽样框，双方承诺、揭示，抽取样本（演示）")
        assert self.db is not None
        plan = (self.settings.scorecards_dir / "sampling.yaml").read_text(encoding="utf-8")
        frame_id = freeze(self.db, self.month, plan, actor="banzhang", demo=True, now_ms=clock_ms()).id
        assert frame_id is not None
        nonces = {"a": secrets.token_hex(12), "b": secrets.token_hex(12)}
        from callqa.scoring.sampling import commitment

        commit(self.db, frame_id, side="a", value=commitment(nonces["a"]), actor="banzhang", now_ms=clock_ms())
        commit(self.db, frame_id, side="b", value=commitment(nonces["b"]), actor="jiandu", now_ms=clock_ms())
        reveal(self.db, frame_id, nonce_a=nonces["a"], nonce_b=nonces["b"], actor="banzhang", now_ms=clock_ms())
        with self.db.read() as session:
            entries = session.exec(
                select(SampleEntry).where(SampleEntry.frame_id == frame_id, SampleEntry.kind == "sample")
            ).all()
        self.counts["sampled"] = len(entries)
        tell(f"    样本 {len(entries)} 通")

    # ------------------------------------------------------------------ what is true
    def result(self) -> dict[str, Any]:
        """The counts of the last line, each read from the installation's own database."""
        counts = {
            "calls": self.counts.get("calls", 0),
            "recorded": 0,
            "attributed": 0,
            "linked": 0,
            "transcribed": 0,
            "prescored": 0,
            "sampled": self.counts.get("sampled", 0),
            "evaluated": 0,
            "report": self.counts.get("report", []),
        }
        if self.db is None:
            return counts
        with self.db.read() as session:
            calls = session.exec(select(Call).where(Call.outcome == "answered")).all()
            ids = [c.call_id for c in calls]
            counts["recorded"] = sum(c.recording_status == "ok" for c in calls)
            expected = {c.number: c for c in self.calls}
            counts["attributed"] = sum(
                c.agent_no is not None
                and c.citizen_number in expected
                and expected[c.citizen_number].agent_no == c.agent_no
                for c in calls
            )
            links = session.exec(select(TicketLink).where(TicketLink.state == "linked")).all()
            right = {expected[c.citizen_number].ticket_no: c.call_id for c in calls if c.citizen_number in expected}
            counts["linked"] = sum(right.get(link.ticket_no) == link.call_id for link in links)
            counts["transcribed"] = len(
                set(session.exec(select(TranscriptRow.call_id).where(col(TranscriptRow.call_id).in_(ids))).all())
            )
            counts["prescored"] = len(
                set(session.exec(select(CheckRun.call_id).where(col(CheckRun.call_id).in_(ids))).all())
            )
            counts["evaluated"] = session.exec(
                select(func.count()).select_from(Evaluation).where(Evaluation.status != "draft")
            ).one()
        return counts

    def everything_true(self, *, evaluated: bool) -> bool:
        """Whether every count is what this performance set out to show."""
        result = self.result()
        wanted = len(self.calls)
        stages = ("calls", "recorded", "attributed", "linked", "transcribed", "prescored")
        whole = all(result[stage] == wanted for stage in stages) and result["sampled"] > 0
        if evaluated:
            kinds = {Path(p).suffix for p in result["report"]}
            whole = whole and result["evaluated"] == result["sampled"] and kinds >= REPORT_KINDS
        return whole

    # ------------------------------------------------------------------ looking
    def _board(self) -> Board | None:
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(2)
            try:
                s.connect(str(self.settings.live_socket))
                line = s.makefile("rb").readline()
            except OSError:
                self._check_services()
                return None
        return Board.model_validate_json(line) if line else None

    def _check_services(self) -> None:
        assert self.supervisor is not None
        refused = self.supervisor.poll()
        if refused:
            self.refused_settings = True
            raise CallqaError(f"{refused} 服务拒绝了设置（见上面的提示）")

    def _web_answers(self) -> bool:
        with socket.socket() as s:
            s.settimeout(1)
            return s.connect_ex(("127.0.0.1", self.settings.web.listen_port)) == 0

    def _all_registered(self) -> bool:
        for phone in self.phones:
            if phone.poll() is not None:
                raise CallqaError(f"话机进程意外结束，状态 {phone.returncode}；见 {self.home}/phone-*.log")
        board = self._board()
        return board is not None and sum(s.registered for s in board.seats) == len(data.SEATS)

    def _count_calls(self, *, recorded: bool) -> int:
        assert self.db is not None
        with self.db.read() as session:
            rows = session.exec(select(Call).where(Call.outcome == "answered")).all()
        return sum(not recorded or c.recording_status == "ok" for c in rows)

    def _stage_states(self) -> dict[str, list[str]]:
        assert self.db is not None
        states: dict[str, list[str]] = {s: [] for s in ("ingest", "attribute", "link", "transcribe", "check")}
        with self.db.read() as session:
            for row in session.exec(select(CallProgress)).all():
                states[row.stage].append(row.state)
        return states

    def _message(self, stage: str | None, state: str) -> str:
        assert self.db is not None
        with self.db.read() as session:
            rows = session.exec(select(CallProgress).where(CallProgress.state == state)).all()
        return next((r.message for r in rows if stage in (None, r.stage)), "")

    def _tell_calls(self) -> None:
        assert self.db is not None
        with self.db.read() as session:
            for call in session.exec(select(Call).where(Call.outcome == "answered").order_by(Call.call_id)).all():
                link = session.exec(
                    select(TicketLink).where(TicketLink.call_id == call.call_id, TicketLink.state == "linked")
                ).first()
                run = session.exec(select(CheckRun).where(CheckRun.call_id == call.call_id)).first()
                tell(
                    f"    {call.call_id}  {call.citizen_number}  {say_duration(call.duration_ms)}  工号 {call.agent_no}  "
                    f"工单 {link.ticket_no if link else '—'}  机器预评 {run.auto_score if run else '—'}"
                )
