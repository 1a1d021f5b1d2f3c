"""An installation on the third of December, as a hotline would have it: three sampled months, November scored, answered and
appealed, a few calls of today, and something waiting on every page. For looking at the pages; invented from fixed seeds."""

from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from sqlmodel import col, select

from callqa.config import Settings
from callqa.desk import DeskTrunk, DialRule
from callqa.errors import EngineError
from callqa.periods import Month
from callqa.scoring.evaluation import Outcome
from callqa.store.db import Database
from callqa.store.migrate import migrate
from callqa.store.queries.evaluate import drawn_queue, find_evaluation
from callqa.store.tables import (
    Account,
    Agent,
    Appeal,
    Call,
    CallProgress,
    CheckRun,
    Evaluation,
    FatalFinding,
    MissedCallFollowup,
    RosterEntry,
    SeatLogin,
    SuggestionRow,
    TranscriptRow,
    UtteranceRow,
)
from callqa.transcribe.engine import Engine
from callqa.usecases import (
    appeal,
    coaching,
    desk,
    edit_rubric,
    evaluate,
    review,
    second_look,
    second_person,
    try_rubric,
)
from callqa.usecases.accounts import hash_password
from callqa.usecases.appeal import Ruling
from callqa.usecases.case_study import add_case
from callqa.usecases.coaching import Step
from callqa.usecases.confidential import mark_confidential
from callqa.usecases.correct import Correction, correct_transcript
from callqa.usecases.delete import begin, finish, lock_call
from callqa.usecases.delete_files import places_of
from callqa.usecases.evaluate_input import DeductionInput, EvaluationInput, FatalInput
from callqa.usecases.followup_rows import follow_up
from callqa.usecases.followups import assign
from callqa.usecases.legal_hold import place_hold
from callqa.usecases.progress import Stage
from callqa.usecases.publish_report import publish_report
from callqa.usecases.reindex import index_missing
from callqa.usecases.report_texts import write_text
from callqa.usecases.work import EngineSlot, Work
from tests import builders
from tests.drawn_month import add_scorecards
from tests.reports.builders import DAY, HOUR, ITEMS, LEADER, PLAN_TEXT, RUBRIC_HASH, RUBRIC_TEXT, SUPERVISOR, MonthMaker
from tests.reports.builders import add_people as add_staff
from tests.scoring.reference_calls import DATA, load_call

NOW_MS = builders.at("2026-12-03 10:20")
NOVEMBER = Month(2026, 11)
PASSWORD = "correct-horse-7"
ADMIN, AGENT = 3, 11  # accounts; an agent's is AGENT + the agent's place in the list
RECORDED, UNSCORED = 14, 4  # of November's sample: with a real file; still to score
STORIES = ("D01", "D02", "D03", "D04", "D13")


@dataclass
class Filled:
    """What the pages are asked for."""

    call_id: str = ""  # recorded, transcribed, corrected, linked, scored
    score_call: str = ""  # recorded, to be scored
    confidential_call: str = ""
    deleted_call: str = ""
    doubtful_call: str = ""
    ticket_no: str = ""
    import_id: int = 0
    appealed: int = 0  # an evaluation with an open appeal
    decided: int = 0
    own: int = 0  # agent 801's, to be answered
    session_id: int = 0
    trial_id: int = 0
    followup_id: int = 0
    recorded: list[str] = field(default_factory=list)


def fill(settings: Settings) -> Filled:
    """Make everything under the settings' home."""
    for folder in (settings.recordings_dir, settings.state_dir, settings.exports_dir):
        folder.mkdir(parents=True, exist_ok=True)
    add_scorecards(settings.scorecards_dir)
    (settings.scorecards_dir / "sampling.yaml").write_text(PLAN_TEXT, encoding="utf-8")
    migrate(settings.database_url)
    db = Database(settings.database_url)
    found = Filled()
    agents = add_staff(db, 8)
    _accounts(db, agents)
    for month in (Month(2026, 9), Month(2026, 10)):
        maker = MonthMaker(db, month, agents, calls_per_agent=70)
        maker.fill()
        maker.evaluate(maker.sample())
    _close_old_scores(db)
    maker = MonthMaker(db, NOVEMBER, agents, calls_per_agent=70)
    maker.fill()
    maker.sample()
    _score_november(db, settings, maker, found)
    _answers(db, found)
    _beside(db, settings, found)
    _today(db, settings, found)
    _desk(db)
    _report(db, settings)
    _deletions(db, settings, found)
    index_missing(db)
    db.dispose()
    return found


def _accounts(db: Database, agents: list[str]) -> None:
    secret = hash_password(PASSWORD)
    with db.write() as session:
        for account_id in (LEADER, SUPERVISOR):
            row = session.get(Account, account_id)
            assert row is not None
            row.password_hash = secret
        session.add(Account(id=ADMIN, username="guanli", display_name="管理员", role="admin", password_hash=secret))
        for place, agent_no in enumerate(agents):
            agent = session.get(Agent, agent_no)
            assert agent is not None
            agent.hired_on = "2026-10-20" if place == 7 else agent.hired_on
            session.add(
                Account(
                    id=AGENT + place, username=f"zuoxi{agent_no}", display_name=agent.name, role="agent",
                    password_hash=secret, agent_no=agent_no,
                )
            )  # fmt: skip


def _close_old_scores(db: Database) -> None:
    """September's and October's are acknowledged and final."""
    with db.write() as session:
        for row in session.exec(select(Evaluation)):
            done = (row.submitted_at_ms or 0) + DAY
            row.status, row.released_at_ms, row.answered_at_ms, row.finalized_at_ms = (
                "finalized",
                done,
                done + DAY,
                done + 2 * DAY,
            )
            row.answer_days = 5
            session.add(row)


def _deletions(db: Database, settings: Settings, found: Filled) -> None:
    """The first calls of September are gone, one of them on request; a call of November is kept."""
    with db.read() as session:
        old = session.exec(select(Call.call_id).order_by(col(Call.started_at_ms), col(Call.call_id)).limit(4)).all()
    for place, call_id in enumerate(old):
        asked = place == 2
        kind, actor = ("request", "banzhang") if asked else ("retention", "system")
        reason = "来电人依法申请删除" if asked else "保存期限 90 天已满"
        with db.write() as session:
            row = begin(
                session, lock_call(session, call_id), kind=kind, reason=reason, actor=actor, now_ms=NOW_MS - DAY
            )
        finish(db, [row], places=places_of(settings), now_ms=NOW_MS - DAY + 60_000)
    found.deleted_call = old[2]
    place_hold(db, found.recorded[3], reason="用户投诉，市民热线调取", actor="banzhang", now_ms=NOW_MS - 3 * HOUR)


# ---- November ----------------------------------------------------------------------------------------------------------


def _score_november(db: Database, settings: Settings, maker: MonthMaker, found: Filled) -> None:
    """Words and pre-scores for the sample, real files for its first calls; all scored but the last few of those."""
    with db.read() as session:
        queue = [row.call.call_id for row in drawn_queue(session, str(NOVEMBER))[1]]
    draws = Random(3)
    for place, call_id in enumerate(queue):
        if place < RECORDED:
            record(db, settings, call_id, STORIES[place % len(STORIES)])
            found.recorded.append(call_id)
        else:
            _pretend_prescore(db, settings, call_id, draws)
    unscored = queue[RECORDED - UNSCORED : RECORDED]
    for place, call_id in enumerate(c for c in queue if c not in unscored):
        _score(db, call_id, place, draws)
    with db.read() as session:
        rows = {call_id: session.get(Call, call_id) for call_id in found.recorded}
    found.recorded.sort(key=lambda call_id: (c := rows[call_id]) is None or c.call_type != "inbound")  # those first
    scored = [call_id for call_id in found.recorded if call_id not in unscored]
    found.call_id, found.score_call = scored[0], next(c for c in found.recorded if c in unscored)
    found.recorded = scored


def record(db: Database, settings: Settings, call_id: str, story: str) -> None:
    """One of the reference calls as this call: its file, its words, and the worker's own pre-score."""
    facts = load_call(DATA, story).facts
    assert facts.transcript is not None
    lines = tuple(
        builders.Line(
            "c" if u.speaker.value == "citizen" else "a", u.span.start_ms / 1000, u.span.end_ms / 1000, u.text,
            0.55 if index % 9 == 4 else 0.93,
        )
        for index, u in enumerate(facts.transcript.utterances)
    )  # fmt: skip
    with db.write() as session:
        call = session.get(Call, call_id)
        assert call is not None
        builders.record(call, settings.recordings_dir, lines, facts.duration_ms / 1000)
        call.from_number, call.to_number = call.citizen_number, "02796510"
        session.add(call)
        transcript = builders.add_transcript(session, call, lines)
        transcript.speech = [
            [[round(x.start_s * 1000), round(x.end_s * 1000)] for x in lines if x.who == who] for who in "ca"
        ]
        session.add(transcript)
        for stage, state in (("attribute", "done"), ("link", "done"), ("transcribe", "done"), ("check", "wanted")):
            session.add(CallProgress(call_id=call_id, stage=stage, state=state, updated_at_ms=NOW_MS))
    work = Work(db, settings.recordings_dir, EngineSlot(_no_engine), clock=lambda: NOW_MS, var=settings.var_dir)
    assert work.run_stage(call_id, Stage.CHECK) == "done"


def _no_engine() -> Engine:
    raise EngineError("nothing is transcribed here")


def _pretend_prescore(db: Database, settings: Settings, call_id: str, draws: Random) -> None:
    """A file, a short transcript, and a machine that suggests a few items at random."""
    with db.write() as session:
        call = session.get(Call, call_id)
        assert call is not None
        session.add(builders.record(call, settings.recordings_dir))
        transcript = builders.add_transcript(session, call)
        builders.add_progress(session, call, NOW_MS)
        run = CheckRun(
            call_id=call_id, transcript_id=transcript.id or 0, rubric_hash=RUBRIC_HASH, created_at_ms=NOW_MS - 5 * DAY
        )
        session.add(run)
        session.flush()
        for item_id in draws.sample(sorted(ITEMS), 2):
            option = ITEMS[item_id]["options"][0]
            if call.call_type in ITEMS[item_id]["applies_to"]:
                session.add(
                    SuggestionRow(
                        check_run_id=run.id or 0, call_id=call_id, check_id=f"{item_id}-1", item_id=item_id,
                        option_code=option["code"], level="preselect", points=option["points"], reason=option["label"],
                        evidence=[{"channel": 1, "start_ms": 10_000, "end_ms": 13_000, "quote": "请问具体是在什么位置？",
                                   "operator": "keyword_none", "params": ""}],
                    )
                )  # fmt: skip


def _score(db: Database, call_id: str, place: int, draws: Random) -> None:
    """A card by the leader: half of what the machine suggests is taken, a few things it did not see are added."""
    now = NOVEMBER.end_ms + 10 * HOUR + place * 300_000 - 4 * DAY
    evaluation_id = evaluate.open_evaluation(db, call_id, evaluator_id=LEADER, now_ms=now)
    with db.read() as session:
        view = find_evaluation(session, evaluation_id)
        assert view is not None
        version, call_type = view.evaluation.version, view.call.call_type
        rows = [] if view.evaluation.blind else list(view.suggestions)
    taken = [row for row in rows if row.option_code and not row.fatal_id and draws.random() < 0.5]
    given: dict[str, dict[str, DeductionInput]] = {}
    for row in taken:
        given.setdefault(row.item_id, {})[row.option_code or ""] = DeductionInput(row.times, 12_000, row.reason)
    for item_id in draws.sample(sorted(ITEMS), 4 if place % 9 == 2 else 1):
        if call_type in ITEMS[item_id]["applies_to"] and draws.random() < 0.6:
            given.setdefault(item_id, {ITEMS[item_id]["options"][0]["code"]: DeductionInput(1, 20_000, "听录音认定")})
    chosen = {row.id for row in taken}
    evaluate.submit(
        db,
        evaluation_id,
        EvaluationInput(
            not_applicable=frozenset(),
            deductions=given,
            fatals=(FatalInput("F2", 31_000, "话没说完就挂了"),) if place in (20, 41) else (),
            decisions={row.id or 0: "accepted" if row.id in chosen else "rejected" for row in rows},
            summary="开场、结束规范；地点复述要补上。" if place % 3 == 0 else "",
            elapsed_ms=150_000 + draws.randrange(120_000),
        ),
        version=version,
        account_id=LEADER,
        now_ms=now + 240_000,
    )


def _answers(db: Database, found: Filled) -> None:
    """Released with five days to answer; most acknowledged, some appealed, two decided, the rest waiting; one fatal confirmed."""
    with db.read() as session:
        done = list(
            session.exec(select(Evaluation).where(Evaluation.status == "submitted").order_by(col(Evaluation.id)))
        )
        calls = {e.id: session.get(Call, e.call_id) for e in done}
        november = [e for e in done if (c := calls[e.id]) and c.started_at_ms >= NOVEMBER.start_ms and c.agent_no]
        finding = session.exec(select(FatalFinding.id).where(col(FatalFinding.second_confirmed_by).is_(None))).first()
    second_person.confirm_fatal(db, finding or 0, account_id=SUPERVISOR, now_ms=NOW_MS - 2 * DAY)
    ids = [e.id or 0 for e in november[:-6]]
    review.release(db, ids, account_id=LEADER, answer_days=5, now_ms=NOW_MS - 2 * DAY + HOUR)
    disputed: list[int] = []
    for place, evaluation_id in enumerate(ids):
        call = calls[evaluation_id]
        assert call is not None and call.agent_no
        account_id = AGENT + int(call.agent_no) - 801
        with db.read() as session:
            view = find_evaluation(session, evaluation_id)
            assert view is not None
            version, items = view.evaluation.version, sorted({item_id for item_id, _ in view.deductions})
        now = NOW_MS - 2 * DAY + 2 * HOUR + place * 60_000
        if call.agent_no == "801" and not found.own and items:
            found.own = evaluation_id
        elif items and len(disputed) < 6 and place % 4 == 1:
            reasons = dict.fromkeys(items[:2], "这里我已经复述过地点，请从 0:24 再听一遍。")
            appeal.appeal(db, evaluation_id, reasons, version=version, account_id=account_id, now_ms=now)
            disputed.append(evaluation_id)
        elif place % 5:
            appeal.acknowledge(db, evaluation_id, version=version, account_id=account_id, now_ms=now)
    for place, evaluation_id in enumerate(disputed[:4]):
        _decide(db, evaluation_id, place, NOW_MS - DAY + place * 5 * HOUR)
    found.decided, found.appealed = disputed[0], disputed[-1]


def _decide(db: Database, evaluation_id: int, place: int, now_ms: int) -> None:
    with db.read() as session:
        evaluation = session.get(Evaluation, evaluation_id)
        assert evaluation is not None
        rows = list(session.exec(select(Appeal).where(Appeal.evaluation_id == evaluation_id)))
    rulings = {
        row.id or 0: Ruling(Outcome.REVISED, "录音可辨，改判。")
        if (place, index) in ((0, 0), (2, 0))
        else Ruling(Outcome.UPHELD, "没有复述门牌。")
        for index, row in enumerate(rows)
    }
    appeal.decide(db, evaluation_id, rulings, version=evaluation.version, account_id=SUPERVISOR, now_ms=now_ms)


# ---- beside the scores -------------------------------------------------------------------------------------------------


def _beside(db: Database, settings: Settings, found: Filled) -> None:
    """Coaching, actions, cases, calibration, a trial of a changed rubric, a confidential call, a corrected transcript."""
    first, second, third, *_ = found.recorded
    coaching.write_note(
        db, found.own, "地点要逐字复述，门牌号念两遍。下周一起听 3 通。", account_id=LEADER, now_ms=NOW_MS - DAY
    )
    for agent_no, item_id, text, due in (
        ("804", "S3.2", "地址、电话逐条复述；每天自查 2 通。", "2026-12-10"),
        ("", "S1.4", "结束语用统一句式，班前会练习。", "2026-12-15"),
        ("807", "S2.3", "请对方等候前先说明原因和时间。", "2026-12-01"),
    ):
        action_id = coaching.open_action(
            db, month=NOVEMBER, text=text, due_on=due, account_id=LEADER, agent_no=agent_no, item_id=item_id,
            now_ms=NOW_MS - 2 * DAY,
        )  # fmt: skip
    coaching.follow_up(db, action_id, Step.DONE, "连续 5 通都先说明了。", account_id=LEADER, now_ms=NOW_MS - HOUR)
    for kind, call_id, title in (
        ("exemplary", first, "险情来电先问安全再登记"),
        ("problem", second, "地点没有复述，抢修走错路口"),
    ):
        add_case(
            db, call_id, kind=kind, title=title, lesson="复述地点要说到路口和门牌，并请对方确认。", item_id="S3.2",
            excerpt="诉求人：就在交叉口，靠近地铁站出口那边。\n坐席：好的，您反映的是交叉口供水管漏水，对吗？", account_id=LEADER,
            now_ms=NOW_MS - DAY,
        )  # fmt: skip
    found.session_id = second_look.create_session(
        db, "11 月第一次校准", [first, second, third], [LEADER, SUPERVISOR], account_id=LEADER, now_ms=NOW_MS - 2 * DAY
    )
    for place, call_id in enumerate((first, second, third)):
        for rater in (LEADER, SUPERVISOR):
            card = second_look.open_calibration_card(
                db, found.session_id, call_id, account_id=rater, now_ms=NOW_MS - 2 * DAY
            )
            lost = {"S3.2": {"a": DeductionInput(1, 20_000, "没有复述")}} if (rater, place) != (SUPERVISOR, 1) else {}
            with db.read() as session:
                view = find_evaluation(session, card)
                assert view is not None
            given = EvaluationInput(frozenset(), lost | {"S1.1": {"b": DeductionInput(note="工号没报清")}})
            second_look.submit_second_look(
                db, card, given, version=view.evaluation.version, account_id=rater, now_ms=NOW_MS - DAY
            )
    second_look.open_comparison(db, found.session_id, account_id=LEADER, now_ms=NOW_MS - DAY + HOUR)
    changed = RUBRIC_TEXT.replace("points: 2", "points: 3", 2).replace("max_s: 10", "max_s: 3")
    found.trial_id = try_rubric.ask_trial(
        db, month="2026-11", old_hash=RUBRIC_HASH, new_source=changed, account_id=LEADER, now_ms=NOW_MS - HOUR
    )
    while try_rubric.work_a_while(db, recordings=settings.recordings_dir, clock=lambda: NOW_MS):
        pass
    edit_rubric.save_draft(
        db, changed.replace("max_points: 5", "max_points: 五", 1), version=0, account_id=LEADER, now_ms=NOW_MS
    )
    found.confidential_call = found.recorded[8]
    mark_confidential(
        db, found.confidential_call, reason="涉及举报人身份", readers=[SUPERVISOR], account_id=LEADER,
        live_socket=settings.live_socket, now_ms=NOW_MS - HOUR,
    )  # fmt: skip
    with db.read() as session:
        base = session.exec(select(TranscriptRow).where(TranscriptRow.call_id == first)).one()
        said = session.exec(
            select(UtteranceRow.index, UtteranceRow.text).where(UtteranceRow.transcript_id == base.id)
        ).all()
        line, words = next((index, text) for index, text in said if "水压" in text)
    correct_transcript(
        db, first, Correction({line: words.replace("水压", "自来水压力", 1)}, "听录音更正"), base_id=base.id or 0,
        actor="banzhang", now_ms=NOW_MS - HOUR,
    )  # fmt: skip


def _today(db: Database, settings: Settings, found: Filled) -> None:
    """December's first calls: talked, missed, called back; one that fits two tickets; an import with refused rows."""
    draws = Random(5)
    with db.write() as session:
        for number in range(46):
            started = builders.at("2026-12-01 08:03") + number * 4_020_000
            if started > NOW_MS - 600_000:
                break
            agent = 801 + draws.randrange(8)
            outcome = "abandoned" if number % 9 == 4 else "answered"
            talked = outcome == "answered"
            phone = f"1{draws.choice((38, 59, 77))}{draws.randrange(10**8):08d}"
            call = builders.add_call(
                session, f"202612{started // DAY % 30:02d}T{number:02d}0000000Z-N{number:02d}", started, outcome=outcome,
                agent_no=str(agent) if talked else None, seat_extension=f"8{agent - 800:03d}" if talked else None,
                answered_at_ms=started + 5_000 if talked else None, duration_ms=70_000 + number * 3_000 if talked else None,
                attribution_source="login" if talked else "pending", citizen_number=phone, from_number=phone,
                ring_ms=5_000 + number * 300, hangup_party="citizen",
                ended_at_ms=started + 80_000 + number * 3_000,
                recording_status="ok" if talked else "none",
            )  # fmt: skip
            if talked:
                stages = {38: {"transcribe": "running", "check": "wanted"}, 37: {"check": "wanted"}}.get(number, {})
                stages = {"transcribe": "wanted", "check": "wanted"} if number > 38 else stages
                builders.add_progress(session, call, NOW_MS, **stages)
                if number < 38:
                    builders.add_transcript(session, call)
                if number % 4 and number < 36:
                    ticket_no = f"SW2026120{started // DAY % 10}{number:04d}"
                    ticket = builders.add_ticket(
                        session, ticket_no, caller_number=phone, accepted_by_agent_no=str(agent),
                        accepted_at_ms=started + 60_000, occurred_at_ms=started - HOUR, dispatched_at_ms=started + 420_000, due_at_ms=started + 2 * DAY, closed_at_ms=None, satisfaction="", result="",
                    )  # fmt: skip
                    builders.add_link(session, call, ticket)
                    found.ticket_no = ticket_no
            else:
                follow_up(session, call)
        found.import_id = builders.add_import(session, NOW_MS - HOUR).id or 0
        call = session.exec(
            select(Call).where(Call.outcome == "answered").order_by(col(Call.started_at_ms).desc())
        ).first()
        assert call is not None
        found.doubtful_call = call.call_id
        for ticket_no, place, score in (
            ("SW202612030011", "后湖大道百步亭花园怡康苑", 66),
            ("SW202612030014", "后湖大道百步亭花园", 58),
        ):
            ticket = builders.add_ticket(
                session, ticket_no, title="后湖大道停水", citizen_name="李芳", location=place, district="江岸区",
                caller_number=call.citizen_number, accepted_by_agent_no=call.agent_no, satisfaction="", closed_at_ms=None,
                accepted_at_ms=call.started_at_ms + 120_000, result="", due_at_ms=NOW_MS + 2 * DAY, dispatched_at_ms=None,
            )  # fmt: skip
            builders.add_link(session, call, ticket, "doubtful", score=score)
        for n in range(1, 6):
            session.add(
                SeatLogin(seat_extension=f"800{n}", agent_no=f"80{n}", started_at_ms=builders.at("2026-12-03 07:55"))
            )
            session.add(
                RosterEntry(
                    agent_no=f"80{n}", seat_extension=f"800{n}", shift="day", start_at_ms=builders.at("2026-12-03 08:00"),
                    end_at_ms=builders.at("2026-12-03 20:00"),
                )
            )  # fmt: skip
    with db.read() as session:
        entry = session.exec(select(MissedCallFollowup)).first()
    assert entry is not None and entry.id is not None
    assign(db, entry.id, "802", version=entry.version, actor="banzhang", now_ms=NOW_MS)
    found.followup_id = entry.id


def _desk(db: Database) -> None:
    trunks = [
        DeskTrunk(name="电信中继", addresses=("192.168.100.200", "192.168.100.201"), host="sbc.hubei.example.cn"),
        DeskTrunk(name="联通备用", addresses=("192.168.101.20",), host="192.168.101.20", keepalive_s=30),
    ]
    desk.set_trunks(db, [t.model_dump(mode="json") for t in trunks], actor="guanli", now_ms=1)
    rules = [
        DialRule(pattern=r"1[3-9]\d{9}", trunk="电信中继", then=("联通备用",)),
        DialRule(pattern=r"(?:0\d{2,3})?[2-9]\d{6,7}", trunk="电信中继"),
    ]
    desk.set_dial_plan(db, [r.model_dump(mode="json") for r in rules], actor="guanli", now_ms=2)


def _report(db: Database, settings: Settings) -> None:
    texts = {
        "summary.comment": "本月夜班积水来电集中，地点复述扣分最多；已安排班前练习。",
        "improve.causes": "地点复述不到门牌，夜班新人较多。",
        "agent.801.strength": "语气平稳，地点问得细。",
        "agent.801.coaching": "复述地点练习 2 次。",
    }
    for slot, text in texts.items():
        write_text(db, str(NOVEMBER), slot=slot, text=text, actor="banzhang", now_ms=NOW_MS)
    for month in (Month(2026, 10), NOVEMBER):
        publish_report(
            db, month, exports_dir=settings.exports_dir, actor="banzhang", now_ms=NOW_MS, hotline_name="水务热线",
            organisation="市水务局服务热线中心", scorecards_dir=settings.scorecards_dir,
        )  # fmt: skip


def main(home: Path) -> None:
    """Make it in a folder and say what is there."""
    print(fill(Settings(home=home)))  # noqa: T201


if __name__ == "__main__":
    import sys

    main(Path(sys.argv[1]))
