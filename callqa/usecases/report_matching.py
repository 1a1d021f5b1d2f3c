"""Gather what chapter seven compares: calls, tickets and their links, what the checks found, what raters made of it."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from sqlmodel import Session

from callqa.periods import Month
from callqa.privacy import mask_text
from callqa.reports.matching import ByHand, CheckCount, Difference, KeptCall, Matching, TicketTimes
from callqa.scoring.frame import repeated
from callqa.scoring.rubric import parse_stored
from callqa.scoring.ticket_checks import LINKED, comparing_checks, step_limits
from callqa.store.queries import report as reports
from callqa.store.queries import report_matching as queries
from callqa.store.queries.calls_for_work import newest_accepted_ms
from callqa.store.queries.confidential import confidential_ids
from callqa.store.queries.sampling import tickets_accepted
from callqa.store.tables import Call, Ticket, TicketLink
from callqa.tickets.consistency import CHECK_LABELS, CallSide, Check, Finding, Outcome, TicketSide, compare
from callqa.units import CallType, Direction
from callqa.usecases.check import TICKET_WAIT_MS, preferred
from callqa.usecases.freeze import REPEAT_LOOK_BACK_MS, trace_of

NOT_CALLS = ("test_call", "internal_call")  # no citizen asked for the hotline
_STATES = {"hit": Outcome.MATCH, "miss": Outcome.MISMATCH}
_BY_WORDS = (Check.LOCATION, Check.OCCURRED_AT, Check.CONTACT_PHONE, Check.MATTER, Check.SATISFACTION)  # field names
_ON_CARDS = (Check.CALL_WITHOUT_TICKET, *_BY_WORDS)


@dataclass(frozen=True, slots=True)
class _Rules:
    """The checks that compare a call with its ticket, by rubric version: field by check id."""

    versions: Mapping[str, Mapping[str, str]]

    @property
    def check_ids(self) -> frozenset[str]:
        return frozenset(check_id for fields in self.versions.values() for check_id in fields)

    def has(self, check: Check) -> bool:
        return any(check.value in fields.values() for fields in self.versions.values())

    def outcomes(self, rows: Iterable[tuple[str, str, str, str]]) -> dict[str, dict[str, Outcome]]:
        """Call -> field -> outcome, of (call_id, rubric_hash, check_id, state). Of two checks of one field a difference
        decides, then agreement."""
        found: dict[str, dict[str, Outcome]] = {}
        for call_id, rubric_hash, check_id, state in rows:
            field = self.versions.get(rubric_hash, {}).get(check_id)
            if field is None:
                continue
            outcome, known = _STATES.get(state, Outcome.UNDECIDED), found.setdefault(call_id, {})
            if Outcome.MISMATCH in (outcome, known.get(field)):
                known[field] = Outcome.MISMATCH
            elif Outcome.MATCH in (outcome, known.get(field)):
                known[field] = Outcome.MATCH
            else:
                known[field] = outcome
        return found


def gather_matching(
    session: Session,
    month: Month,
    calls: Mapping[str, Call],
    scored: Collection[str],
    rubric_hash: str,
    *,
    demo: bool,
    now_ms: int,
) -> Matching:
    """calls: the month's, by call_id; scored: the sample's scored ones; rubric_hash: of the version that the report quotes."""
    used = queries.rubrics_used(session, month.start_ms, month.end_ms) | {rubric_hash}
    stored = reports.rubric_versions(session)
    sources = {key: parse_stored(row.source) for key, row in stored.items() if key in used}
    rules = _Rules({key: comparing_checks(rubric) for key, rubric in sources.items()})
    tickets = queries.tickets_with_a_step(session, month.start_ms, month.end_ms)
    links = queries.links_around(session, month.start_ms, month.end_ms)
    secret = confidential_ids(session)
    outside = {call.call_id: call for call in queries.calls_outside(session, month.start_ms, month.end_ms)}
    known = {**outside, **calls}
    answered = {key: call for key, call in known.items() if call.outcome == "answered"}
    hidden = {key for key, call in answered.items() if key in secret or (call.demo and not demo)}
    untold = {link.ticket_no for link in links if link.call_id in hidden}
    first_ms = queries.first_call_ms(session)
    from_ms = max(month.start_ms, month.end_ms if first_ms is None else first_ms)
    findings = compare(
        _call_sides(session, month, answered, links, rules, tickets, now_ms=now_ms),
        _ticket_sides(session, month, [t for t in tickets if t.ticket_no not in untold]),
        from_ms=from_ms,
        to_ms=min(month.end_ms, now_ms),
    )
    uncounted = hidden | {key for key, call in answered.items() if call.excluded_as}
    told = [f for f in findings if f.call_id not in uncounted or f.check is Check.TICKET_WITHOUT_CALL]
    return Matching(
        checks=tuple(_count(check, told, rules) for check in Check),
        by_hand=_by_hand(session, month, set(scored) - hidden, rules),
        tickets=tuple(_times(tickets, links, answered, secret)),
        limits=step_limits(sources[rubric_hash]) if rubric_hash in sources else {},
        kept=tuple(
            KeptCall(
                call.agent_no or "", call.seat_extension or "", call.started_at_ms, call.recording_status, key in secret
            )
            for key, call in sorted(calls.items())
            if call.outcome == "answered" and call.excluded_as not in NOT_CALLS and (demo or not call.demo)
        ),
        n_tickets=sum(t.accepted_at_ms is not None and _inside(month, t.accepted_at_ms) for t in tickets),
        from_ms=from_ms if month.start_ms < from_ms < month.end_ms else None,
    )


def _inside(month: Month, instant_ms: int) -> bool:
    return month.start_ms <= instant_ms < month.end_ms


def _call_sides(
    session: Session,
    month: Month,
    answered: Mapping[str, Call],
    links: Sequence[TicketLink],
    rules: _Rules,
    tickets: Sequence[Ticket],
    *,
    now_ms: int,
) -> list[CallSide]:
    states = queries.check_states(session, month.start_ms, month.end_ms, rules.check_ids)
    heard = rules.outcomes(states)
    by_call: dict[str, list[TicketLink]] = {}
    for link in links:
        by_call.setdefault(link.call_id, []).append(link)
    any_ticket = any(t.accepted_at_ms is not None and _inside(month, t.accepted_at_ms) for t in tickets)
    newest_ms = (newest_accepted_ms(session, now_ms) or 0) if any_ticket else 0
    sides = []
    for call_id, call in answered.items():
        own = by_call.get(call_id, ())
        sure = [link for link in own if link.state == "linked"]
        ended_ms = call.ended_at_ms or call.started_at_ms
        sides.append(
            CallSide(
                call_id=call_id,
                call_type=CallType(call.call_type),
                direction=Direction(call.direction),
                citizen_number=call.citizen_number,
                started_at_ms=call.started_at_ms,
                duration_ms=call.duration_ms or 0,
                disposition=call.disposition,
                ticket_nos=tuple(link.ticket_no for link in sure),
                doubtful_ticket_nos=tuple(link.ticket_no for link in own if link.state == "doubtful"),
                recorded=call.recording_status in ("ok", "pending"),
                tickets_in=any_ticket and (newest_ms >= ended_ms or now_ms >= ended_ms + TICKET_WAIT_MS),
                heard=tuple(
                    (check, outcome)
                    for check in _BY_WORDS
                    if (outcome := heard.get(call_id, {}).get(check.value)) is not None
                ),
                heard_with=preferred(sure) if sure else "",
            )
        )
    return sides


def _ticket_sides(session: Session, month: Month, tickets: Sequence[Ticket]) -> list[TicketSide]:
    around = tickets_accepted(session, month.start_ms - REPEAT_LOOK_BACK_MS, month.end_ms)
    repeats = repeated(trace_of(ticket) for ticket in around)
    return [
        TicketSide(
            ticket_no=t.ticket_no,
            caller_number=t.caller_number,
            contact_phone=t.contact_phone,
            location=t.location,
            accepted_at_ms=t.accepted_at_ms,
            callback_done_at_ms=t.callback_done_at_ms,
            occurred_at_ms=t.occurred_at_ms,
            matter_category=t.matter_category or "",
            satisfaction=t.satisfaction,
            parent_ticket_no=t.parent_ticket_no or "",
            repeats=t.ticket_no in repeats if t.matter_category and (t.caller_number or t.location.strip()) else None,
        )
        for t in tickets
    ]


def _count(check: Check, findings: Iterable[Finding], rules: _Rules) -> CheckCount:
    own = [finding for finding in findings if finding.check is check]
    return CheckCount(
        code=check.value,
        label=CHECK_LABELS[check],
        same=sum(finding.outcome is Outcome.MATCH for finding in own),
        undecided=sum(finding.outcome is Outcome.UNDECIDED for finding in own),
        differing=tuple(
            Difference(finding.call_id or "", finding.ticket_no or "", mask_text(finding.text))
            for finding in own
            if finding.outcome is Outcome.MISMATCH
        ),
        has_rule=check not in _BY_WORDS or rules.has(check),
    )


def _by_hand(session: Session, month: Month, scored: Collection[str], rules: _Rules) -> tuple[ByHand, ...]:
    span = (month.start_ms, month.end_ms)
    found = rules.outcomes(queries.scored_states(session, *span, rules.check_ids))
    fields = {check_id: field for known in rules.versions.values() for check_id, field in known.items()}
    judged: dict[tuple[str, str], set[str]] = {}
    for call_id, check_id, decision in queries.decisions_on(session, *span, rules.check_ids):
        judged.setdefault((call_id, fields[check_id]), set()).add(decision)
    rows = []
    for check in _ON_CARDS:
        field = LINKED if check is Check.CALL_WITHOUT_TICKET else check.value
        own = {call_id: known[field] for call_id, known in found.items() if call_id in scored and field in known}
        told = [judged.get((key, field), set()) for key, outcome in own.items() if outcome is Outcome.MISMATCH]
        rows.append(
            ByHand(
                label=CHECK_LABELS[check],
                compared=sum(outcome is not Outcome.UNDECIDED for outcome in own.values()),
                pointed_out=len(told),
                confirmed=sum("accepted" in decisions for decisions in told),
                refused=sum(decisions == {"rejected"} for decisions in told),
            )
        )
    return tuple(rows)


def _times(
    tickets: Sequence[Ticket], links: Sequence[TicketLink], answered: Mapping[str, Call], secret: Collection[str]
) -> Iterable[TicketTimes]:
    """The tickets' instants; 通话结束 is that of the first inbound call that is linked to it."""
    own: dict[str, list[Call]] = {}
    hidden = set()
    for link in links:
        call = answered.get(link.call_id)
        if call is not None and link.state == "linked":
            own.setdefault(link.ticket_no, []).append(call)
            hidden |= {link.ticket_no} if link.call_id in secret else set()
    for ticket in tickets:
        came = [call for call in own.get(ticket.ticket_no, ()) if call.direction == "inbound" and call.ended_at_ms]
        first = min(came, key=lambda call: (call.started_at_ms, call.call_id), default=None)
        yield TicketTimes(
            ticket_no=ticket.ticket_no,
            call_ended_at_ms=first.ended_at_ms if first else None,
            accepted_at_ms=ticket.accepted_at_ms,
            dispatched_at_ms=ticket.dispatched_at_ms,
            due_at_ms=ticket.due_at_ms,
            result_received_at_ms=ticket.result_received_at_ms,
            closed_at_ms=ticket.closed_at_ms,
            callback_done_at_ms=ticket.callback_done_at_ms,
            secret=ticket.ticket_no in hidden,
            agent_no=ticket.accepted_by_agent_no,
            satisfaction=ticket.satisfaction,
        )
