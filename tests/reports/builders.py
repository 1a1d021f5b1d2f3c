"""An invented month in a database: agents, calls, tickets, a drawn sample and the leader's evaluations as rows.

Everything follows from one seed. Names, numbers and places are made up; scores are summed here by hand from the
rubric's YAML, not by the product, so that reports are checked against independent arithmetic.
"""

from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from hashlib import sha256
from pathlib import Path
from random import Random

import yaml
from sqlmodel import Session

from callqa.periods import Month
from callqa.store.db import Database
from callqa.store.queries.sampling import entries_of
from callqa.store.tables import (
    Account,
    Agent,
    Call,
    Deduction,
    Evaluation,
    EvaluationItem,
    FatalFinding,
    RosterEntry,
    RubricVersion,
    SampleEntry,
    Seat,
    Ticket,
    TicketLink,
)
from callqa.usecases.draw import commit, reveal
from callqa.usecases.freeze import freeze

ROOT = Path(__file__).parents[2]
RUBRIC_TEXT = (ROOT / "scorecards" / "rubric.yaml").read_text(encoding="utf-8")
RUBRIC_HASH = sha256(RUBRIC_TEXT.encode()).hexdigest()
RUBRIC = yaml.safe_load(RUBRIC_TEXT)
ITEMS = {item["id"]: item for section in RUBRIC["sections"] for item in section["items"]}
PLAN_TEXT = (ROOT / "scorecards" / "sampling.yaml").read_text(encoding="utf-8")
HOUR, DAY = 3_600_000, 86_400_000
AGENT_NAMES = ["王岚", "李昕", "张沐", "刘钰", "陈瑶", "杨柳", "赵晨", "周宁"]
LEADER, SUPERVISOR = 1, 2
MATTERS = ["water_supply", "drainage", "waterlogging", "river_lake", "saving", "enforcement", "other"]


def add_people(db: Database, agents: int = 8) -> list[str]:
    """Agents 801…, their seats, a shift leader (account 1), a client supervisor (2) and the rubric."""
    numbers = [str(801 + i) for i in range(agents)]
    with db.write() as session:
        if session.get(RubricVersion, RUBRIC_HASH) is None:
            session.add(
                RubricVersion(
                    rubric_hash=RUBRIC_HASH,
                    rubric_id=RUBRIC["id"],
                    version=RUBRIC["version"],
                    title=RUBRIC["title"],
                    source=RUBRIC_TEXT,
                    effective_from_ms=0,
                    loaded_at_ms=0,
                )
            )
        for i, agent_no in enumerate(numbers):
            session.add(Agent(agent_no=agent_no, name=AGENT_NAMES[i], hired_on="2024-03-01"))
            session.add(
                Seat(extension=f"80{agent_no[-2:]}", label=f"{i + 1} 号席", ha1_md5="0" * 32, ha1_sha256="0" * 64)
            )
        session.add(
            Account(id=LEADER, username="banzhang", display_name="何静", role="shift_leader", password_hash="x")
        )
        session.add(
            Account(id=SUPERVISOR, username="jiandu", display_name="孙澜", role="client_supervisor", password_hash="x")
        )
    return numbers


def a_call(call_id: str, month: Month, agent_no: str | None = "801", **changes: object) -> Call:
    """An answered inbound call on the 2nd at 09:00 with a good recording."""
    started = month.start_ms + DAY + 9 * HOUR
    values: dict = {
        "call_id": call_id,
        "direction": "inbound",
        "call_type": "inbound",
        "outcome": "answered",
        "citizen_number": "13800000001",
        "seat_extension": f"80{agent_no[-2:]}" if agent_no else None,
        "started_at_ms": started,
        "ring_ms": 6000,
        "duration_ms": 90_000,
        "recording_status": "ok",
        "recording_sha256": sha256(call_id.encode()).hexdigest(),
        "agent_no": agent_no,
        "attribution_source": "login" if agent_no else "unknown",
    } | changes
    values.setdefault("answered_at_ms", values["started_at_ms"] + (values["ring_ms"] or 0))
    values.setdefault("ended_at_ms", values["answered_at_ms"] + (values["duration_ms"] or 0))
    return Call(**values)


@dataclass
class MonthMaker:
    """Fills one month with calls and tickets; agents differ in skill so that tiers show."""

    db: Database
    month: Month
    agents: list[str]
    calls_per_agent: int = 150
    seed: int = 7

    def __post_init__(self) -> None:
        self.random = Random(f"{self.seed}/{self.month}")
        self.days = round((self.month.end_ms - self.month.start_ms) / DAY)

    def fill(self) -> None:
        """Calls of every kind: answered, abandoned, unanswered, a few excluded, a few gaps; tickets and their links."""
        rows: list = []
        links: list = []
        number = 0
        prefix = f"C{str(self.month).replace('-', '')}"
        for agent_no in self.agents:
            for _ in range(self.calls_per_agent + self.random.randrange(-15, 16)):
                number += 1
                call = self._call(f"{prefix}-{number:05d}", agent_no)
                rows.append(call)
                if self.random.random() < 0.8 and call.agent_no:
                    ticket = self._ticket(f"SW{prefix[1:]}{number:05d}", call)
                    rows.append(ticket)
                    links.append(
                        TicketLink(
                            call_id=call.call_id,
                            ticket_no=ticket.ticket_no,
                            state="linked",
                            method="evidence",
                            score=0.97,
                            decided_at_ms=call.ended_at_ms or 0,
                        )
                    )
        for _ in range(len(self.agents) * 3):
            number += 1
            outcome = self.random.choice(["abandoned", "abandoned", "unanswered"])
            rows.append(
                a_call(
                    f"{prefix}-{number:05d}",
                    self.month,
                    None,
                    outcome=outcome,
                    started_at_ms=self._moment(),
                    ring_ms=self.random.randrange(2000, 40_000),
                    duration_ms=None,
                    recording_status="none",
                    recording_sha256=None,
                )
            )
        with self.db.write() as session:
            session.add_all(rows)
            session.flush()
            session.add_all(links)
            session.add_all(self._roster())

    def sample(self, *, demo: bool = False) -> int:
        """Freeze, commit by two people, reveal. Returns the frame's id."""
        from callqa.scoring.sampling import commitment

        now = self.month.end_ms + 9 * HOUR
        frame = freeze(self.db, self.month, PLAN_TEXT, actor="banzhang", demo=demo, now_ms=now)
        assert frame.id is not None
        nonces = (f"banzhang-{self.month}-4411", f"caigouren-{self.month}-9087")
        for side, nonce, actor in zip("ab", nonces, ("banzhang", "jiandu"), strict=True):
            commit(self.db, frame.id, side=side, value=commitment(nonce), actor=actor, now_ms=now + 60_000)
        reveal(self.db, frame.id, nonce_a=nonces[0], nonce_b=nonces[1], actor="banzhang", now_ms=now + 120_000)
        return frame.id

    def evaluate(self, frame_id: int, *, share: float = 1.0) -> None:
        """Score the sample (the first `share` of it) with plausible deductions and one confirmed fatal finding."""
        with self.db.write() as session:
            entries = [e for e in entries_of(session, frame_id) if e.kind == "sample"]
            for index, entry in enumerate(entries[: round(len(entries) * share)]):
                call = session.get(Call, entry.call_id)
                assert call is not None
                fatal = "F2" if index == 37 else None
                evaluate_call(session, call, entry, self._deductions(call, entry), fatal=fatal, order=index)

    def _call(self, call_id: str, agent_no: str) -> Call:
        r = self.random
        kind = r.choices(["inbound", "callback", "verify"], [6, 3, 1])[0]
        changes: dict = {
            "started_at_ms": self._moment(),
            "call_type": kind,
            "direction": "inbound" if kind == "inbound" else "outbound",
            "ring_ms": min(39_000, int(r.lognormvariate(8.7, 0.45))),
            "duration_ms": 15_000 + int(r.lognormvariate(11.3, 0.6)),
            "citizen_number": f"138{r.randrange(10**8):08d}",
        }
        luck = r.random()
        if luck < 0.008:
            changes["duration_ms"] = 12_000
        elif luck < 0.014:
            changes["excluded_as"] = r.choice(["test_call", "wrong_number", "internal_call"])
        elif luck < 0.020:
            changes |= {"recording_status": "missing", "recording_sha256": None}
        elif luck < 0.022:
            return a_call(call_id, self.month, None, **changes)
        return a_call(call_id, self.month, agent_no, **changes)

    def _moment(self) -> int:
        hour = self.random.choices(
            range(24), [1, 1, 1, 1, 1, 1, 2, 4, 8, 10, 10, 8, 5, 6, 8, 9, 8, 6, 5, 4, 3, 3, 2, 2]
        )[0]
        return self.month.start_ms + self.random.randrange(self.days) * DAY + hour * HOUR + self.random.randrange(HOUR)

    def _ticket(self, ticket_no: str, call: Call) -> Ticket:
        r = self.random
        accepted = call.started_at_ms + 120_000
        due = accepted + r.choice([1, 2, 3, 5]) * DAY
        closed = due - r.randrange(HOUR, 20 * HOUR) if r.random() < 0.96 else due + r.randrange(HOUR, 2 * DAY)
        levels = ["非常满意", "满意", "基本满意", "不满意", "非常不满意", ""]
        called_back = r.random() < 0.97
        return Ticket(
            ticket_no=ticket_no,
            title="路面积水求助",
            category="help",
            matter_category=r.choice(MATTERS),
            caller_number=call.citizen_number,
            location=f"江汉区样例路{r.randrange(1, 2000)}号",
            accepted_at_ms=accepted,
            due_at_ms=due,
            result_received_at_ms=closed - HOUR,
            closed_at_ms=closed,
            callback_done_at_ms=closed + 5 * HOUR if called_back else None,
            callback_attempts=1 if called_back else None,
            satisfaction=r.choices(levels, [40, 40, 10, 3, 1, 30])[0] if called_back else "",
            urgent_flag=r.random() < 0.02,
        )

    def _roster(self) -> list[RosterEntry]:
        return [
            RosterEntry(
                agent_no=self.agents[(day + i) % len(self.agents)],
                shift=shift,
                start_at_ms=self.month.start_ms + day * DAY + start * HOUR,
                end_at_ms=self.month.start_ms + day * DAY + end * HOUR,
            )
            for day in range(self.days)
            for i, (shift, start, end) in enumerate([("day", 8, 20), ("night", 20, 32)])
        ]

    def _deductions(self, call: Call, entry: SampleEntry) -> dict[str, dict[str, int]]:
        weakness = 0.03 + 0.017 * self.agents.index(entry.agent_no) + (0.07 if entry.stratum == "risk" else 0)
        found: dict[str, dict[str, int]] = {}
        for item_id, item in ITEMS.items():
            if call.call_type in item["applies_to"] and self.random.random() < weakness:
                option = self.random.choice(item["options"])
                found[item_id] = {option["code"]: 1}
        return found


def evaluate_call(
    session: Session,
    call: Call,
    entry: SampleEntry | None,
    deductions: dict[str, dict[str, int]],
    *,
    fatal: str | None = None,
    order: int = 0,
    status: str = "submitted",
) -> Evaluation:
    """Insert one evaluation as rows. Some items rarely apply; which calls is a hash of the call_id."""
    opened = call.started_at_ms + 35 * DAY + order * 600_000
    evaluation = Evaluation(
        call_id=call.call_id,
        sample_entry_id=entry.id if entry else None,
        rubric_hash=RUBRIC_HASH,
        recording_sha256=call.recording_sha256,
        evaluator_id=LEADER,
        status=status,
        opened_at_ms=opened,
        submitted_at_ms=opened + 300_000 if status != "draft" else None,
        elapsed_ms=240_000,
    )
    session.add(evaluation)
    session.flush()
    assert evaluation.id is not None
    got = full = Decimal(0)
    for item_id, item in ITEMS.items():
        if call.call_type not in item["applies_to"]:
            continue
        rare = item_id in ("S2.3", "S4.4", "S5.2", "S5.3")
        na = rare and item_id not in deductions and sha256(f"{call.call_id}/{item_id}".encode()).digest()[0] < 190
        most = Decimal(item["max_points"])
        points = most
        for code, times in deductions.get(item_id, {}).items():
            option = next(o for o in item["options"] if o["code"] == code)
            points -= Decimal(str(option["points"])) * times
            session.add(
                Deduction(
                    evaluation_id=evaluation.id,
                    item_id=item_id,
                    option_code=code,
                    times=times,
                    points=option["points"] * times,
                    at_ms=min(30_000, (call.duration_ms or 0) // 2),
                )
            )
        points = max(Decimal(0), points)
        session.add(
            EvaluationItem(
                evaluation_id=evaluation.id,
                item_id=item_id,
                not_applicable=na,
                na_by="rule" if na else None,
                max_points=float(most),
                points=None if na else float(points),
            )
        )
        if not na:
            got, full = got + points, full + most
    quality = (100 * got / full).quantize(Decimal("0.1"), ROUND_HALF_UP)
    evaluation.quality_score = float(quality)
    evaluation.final_score = 0.0 if fatal else float(quality)
    final = evaluation.final_score
    evaluation.grade = next(g["code"] for g in RUBRIC["scoring"]["grades"] if final >= g["min"])
    if fatal:
        session.add(
            FatalFinding(
                evaluation_id=evaluation.id,
                fatal_id=fatal,
                at_ms=21_000,
                words="诉求人仍在说明地点，坐席未作结束语即挂机",
                confirmed_by=LEADER,
                second_confirmed_by=SUPERVISOR,
                second_confirmed_at_ms=opened + DAY,
            )
        )
    session.add(evaluation)
    session.flush()
    return evaluation
