"""An agent's facts for the assessment, from the month's samples, tickets and findings; `scoring/assessment.py` judges them."""

import re
from collections.abc import Mapping
from decimal import Decimal

from callqa.periods import say_offset
from callqa.reports.assessing import FatalCase
from callqa.reports.cells import fixed
from callqa.reports.facts import FramedCall, MonthFacts, MonthSample, Score
from callqa.reports.kpi import RATED, SATISFIED
from callqa.reports.matching import TicketTimes, process_steps
from callqa.reports.results import Results, comparable, merged_quality
from callqa.scoring.assessment import (
    CASE_CODE,
    FATAL_CODES,
    AgentFacts,
    AssessmentRules,
    Evidence,
    Part,
    tiers_differ,
)
from callqa.units import Ratio

FINAL = "finalized"
_TICKET_SECTION = "S6"  # 工单质量
_NOTED = re.compile(r"\s*([^\s：:×x*]+)\s*[×x*]?\s*(\d{1,2})\s*[：:]\s*(\S.*)")


def slot_of(agent_no: str) -> str:
    """Where the leader notes what no record tells: praise, a hazard seen in time."""
    return f"assess.{agent_no}.noted"


def noted_times(rules: AssessmentRules, words: str) -> tuple[dict[str, int], tuple[str, ...]]:
    """Lines `表扬 1：依据` by the code or the description of an adjustment that adds points -> times by code, and the lines
    that could not be read. Only additions: what is taken away needs a second person."""
    times: dict[str, int] = {}
    unread = []
    for line in filter(None, (line.strip() for line in words.splitlines())):
        found = _NOTED.fullmatch(line)
        adds = [a for a in rules.adjustments if a.points > 0 and a.code != CASE_CODE]
        chosen = [a for a in adds if found and (a.code == found[1] or found[1] in a.label)]
        if found is None or len(chosen) != 1:
            unread.append(line)
        else:
            times[chosen[0].code] = times.get(chosen[0].code, 0) + int(found[2])
    return times, tuple(unread)


def window_of(facts: MonthFacts, months: int) -> list[MonthSample]:
    """The report's month and those before it that can be compared, without a hole, at most so many."""
    found = [facts.sample]
    month = facts.month
    for _ in range(months - 1):
        month = month.previous()
        sample = facts.past(month)
        if sample is None or not comparable(facts.sample, sample):
            break
        found.append(sample)
    return found


def agent_facts(facts: MonthFacts, results: Results, rules: AssessmentRules) -> tuple[AgentFacts, ...]:
    """Every agent with a framed call this month."""
    window = window_of(facts, rules.window_months)
    quality = merged_quality(window)
    tiers = {result.agent_no: result.tier for result in results.agents}
    return tuple(
        _agent(facts, rules, window, agent_no, quality.get(agent_no), tiers) for agent_no in facts.sample.agents
    )


def _agent(
    facts: MonthFacts,
    rules: AssessmentRules,
    window: list[MonthSample],
    agent_no: str,
    quality: float | None,
    tiers: Mapping[str, int | None],
) -> AgentFacts:
    own = [call for sample in window for call in sample.sampled if call.agent_no == agent_no]
    fatals = [case for case in facts.assessing.fatals if case.agent_no == agent_no]
    times, _ = noted_times(rules, facts.texts.get(slot_of(agent_no), ""))
    times[CASE_CODE] = facts.assessing.cases.get(agent_no, 0)
    for case in fatals:
        code = FATAL_CODES.get(facts.rubric.fatal(case.fatal_id).critical, "")
        times[code] = times.get(code, 0) + 1
    return AgentFacts(
        agent_no=agent_no,
        window=len(window),
        due=len(own),
        open=sum(call.score is None or call.score.status != FINAL for call in own),
        quality=None if quality is None else Decimal(fixed(quality, 1)),
        rates=_rates(facts, agent_no, own),
        times=times,
        fatals=len(fatals),
        tier=tiers.get(agent_no),
        tiers_differ=tiers_differ(list(tiers.values())),
        evidence=(*_of_fatals(facts, fatals), *_of_deductions(facts, own)),
        past_grades=facts.assessing.past.get(agent_no, ()),
    )


def _rates(facts: MonthFacts, agent_no: str, own: list[FramedCall]) -> dict[Part, Ratio]:
    critical = {i.item_id for i in facts.rubric.items if i.section_id == _TICKET_SECTION and i.critical != "none"}
    with_ticket = [call.score for call in own if call.ticket_no and call.score is not None]
    clean = [score for score in with_ticket if not any(i.item_id in critical and i.lost > 0 for i in score.items)]
    tickets = [t for t in facts.matching.tickets if t.agent_no == agent_no]
    called = [t for t in tickets if _in_month(facts, t.callback_done_at_ms) and t.satisfaction in RATED]
    return {
        Part.TICKETS: Ratio(len(clean), len(with_ticket)),
        Part.SATISFACTION: Ratio(sum(t.satisfaction in SATISFIED for t in called), len(called)),
        Part.PROCESS: _process(facts, tickets),
        Part.ATTENDANCE: facts.assessing.shifts.get(agent_no, Ratio(0, 0)),
    }


def _in_month(facts: MonthFacts, instant_ms: int | None) -> bool:
    return instant_ms is not None and facts.month.start_ms <= instant_ms < facts.month.end_ms


def _process(facts: MonthFacts, tickets: list[TicketTimes]) -> Ratio:
    """建单 and 交办, the steps that are the agent's own."""
    accept, dispatch, *_ = process_steps(tickets, facts.matching.limits, facts.month, facts.made_at_ms)
    ratios = (accept.on_time, dispatch.on_time)
    return Ratio(sum(r.numerator for r in ratios), sum(r.denominator for r in ratios))


def _of_fatals(facts: MonthFacts, fatals: list[FatalCase]) -> list[Evidence]:
    return [
        Evidence(case.call_label, case.at, f"{case.fatal_id} {facts.rubric.fatal(case.fatal_id).title}", case.second)
        for case in fatals
    ]


def _of_deductions(facts: MonthFacts, own: list[FramedCall]) -> list[Evidence]:
    scored: list[tuple[FramedCall, Score]] = [(call, call.score) for call in own if call.score is not None]
    return [
        Evidence(
            call_label=call.call_label,
            at="保密" if call.confidential else "" if each.at_ms is None else say_offset(each.at_ms),
            item=f"{each.item_id} {facts.rubric.item(each.item_id).title}",
            second=facts.assessing.seconds.get((call.call_id, each.item_id), ""),
            points=f"−{fixed(each.points)}",
        )
        for call, score in scored
        for each in score.deductions
    ]
