"""Every operator: what it hits, what it leaves, when it abstains. The same cases prove that each operator matters."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import pytest

from callqa.scoring.condition_tree import OperatorCall, Params, Role
from callqa.scoring.criteria import Level
from callqa.scoring.facts import CallFacts, ProcessTimes, TicketFacts
from callqa.scoring.operators import REGISTRY
from callqa.scoring.operators.finding import STATE_LABELS, Evidence, Finding, Hit, State
from callqa.scoring.operators.operator import Operator
from callqa.scoring.operators.places import place_of
from callqa.scoring.operators.scene import Scene
from callqa.scoring.scorer import score
from callqa.speech import Gap, GapKind, Span, Speaker
from callqa.units import CallType, Channel
from tests.scoring.scenes import call, rubric_with, run_check

GREETING = "a 0-5 您好，武汉水务热线，工号八零幺为您服务。"
CITIZEN = "c 6-12 你好，江岸区后湖大道怡康苑十二栋早上六点停水了。"
TICKET = TicketFacts(
    "T1",
    title="停水",
    matter_category="water_supply",
    location="后湖大道怡康苑十二栋",
    district="江岸区",
    contact_phone="13871206358",
    accepted_at_ms=600_000,
    dispatched_at_ms=1_200_000,
)
BASE = call(
    GREETING,
    CITIZEN,
    "a 13-18 好的，电话是幺三八七幺二零六三五八吗？",
    "c 19-23 对的，就打这个电话。",
    "a 30-34 请稍等。",
)
QUIET = call(GREETING, CITIZEN, "a 32-36 让您久等了。", duration_s=40)
RUDE = "a 13-18 这个不归我们管。"
LOUD = replace(BASE, loudness=(-20.0, -25.0, -21.0, -24.0, -22.0))


@dataclass(frozen=True)
class Case:
    check: str
    facts: CallFacts
    state: State

    @property
    def operator(self) -> str:
        return self.check.split(",")[0].removeprefix("op: ")


def case(check: str, facts: CallFacts, state: str) -> Case:
    return Case(check, facts, State(state))


NO_AGENT_AUDIO = (Gap(Channel.AGENT, Span(14_000, 16_000), GapKind.LOST),)


def no_media_at_the_end(length_s: int) -> tuple[Gap, ...]:
    end_ms = BASE.duration_ms
    return (Gap(Channel.AGENT, Span(end_ms - 1000 * length_s, end_ms), GapKind.NO_MEDIA),)


PAUSED = tuple(Gap(channel, Span(12_000, 30_000), GapKind.PAUSED) for channel in Channel)

CASES = [
    case("op: keyword_any, role: agent, params: {words: [水务热线]}", BASE, "hit"),
    case("op: keyword_any, role: agent, params: {lexicon: agent_id, min_hits: 2}", BASE, "hit"),
    case("op: keyword_any, role: agent, params: {words: [转接]}", BASE, "miss"),
    case("op: keyword_any, role: citizen, params: {words: [水务热线]}", BASE, "miss"),
    case("op: keyword_any, role: agent, params: {words: [工号801]}", BASE, "hit"),
    case("op: keyword_any, role: agent, params: {words: [水雾热线]}", BASE, "hit"),  # same sound
    case(
        "op: keyword_any, role: agent, scope: {from: start, unit: s, within: 3}, params: {words: [请稍等]}",
        BASE,
        "miss",
    ),
    case(
        "op: keyword_any, role: agent, scope: {from: end, unit: s, within: 6}, params: {words: [请稍等]}", BASE, "hit"
    ),
    case(
        "op: keyword_any, role: agent, scope: {from: end, unit: utt, within: 1}, params: {words: [电话]}", BASE, "miss"
    ),
    case(
        "op: keyword_any, role: agent, scope: {from: end, unit: ratio, within: 0.6}, params: {words: [请稍等]}",
        BASE,
        "hit",
    ),
    case(
        "op: keyword_any, role: agent, params: {words: [转接]}",
        call(GREETING, CITIZEN, "a? 13-18 嗯那个"),
        "not_checked",
    ),
    case(
        "op: keyword_any, role: agent, params: {words: [转接]}",
        call(GREETING, CITIZEN, "a~ 13-18 嗯那个"),
        "not_checked",
    ),
    case(
        "op: keyword_any, role: agent, params: {words: [转接]}",
        call(GREETING, CITIZEN, "a? 13-18 我帮您转接"),
        "unsure",
    ),
    case("op: keyword_any, role: agent, params: {words: [转接]}", replace(BASE, gaps=NO_AGENT_AUDIO), "not_checked"),
    # A phone that stops sending a second before the end hides nothing; one that is silent for the last five does.
    case("op: keyword_any, role: agent, params: {words: [转接]}", replace(BASE, gaps=no_media_at_the_end(1)), "miss"),
    case(
        "op: keyword_any, role: agent, params: {words: [转接]}",
        replace(BASE, gaps=no_media_at_the_end(5)),
        "not_checked",
    ),
    case(
        "op: keyword_any, role: agent, params: {words: [您好]}", call("a 0-2 您好"), "not_checked"
    ),  # under 3 s of speech
    case("op: keyword_any, role: agent, params: {words: [您好]}", replace(BASE, transcript=None), "not_checked"),
    case("op: keyword_all, role: agent, params: {groups: [[您好], [工号, 员工号]]}", BASE, "hit"),
    case("op: keyword_all, role: agent, params: {groups: [[您好], [转接]]}", BASE, "miss"),
    case("op: keyword_all, role: agent, params: {groups: [[转接]]}", replace(BASE, gaps=NO_AGENT_AUDIO), "not_checked"),
    case("op: keyword_none, role: agent, params: {words: [转接]}", BASE, "hit"),
    case("op: keyword_none, role: agent, params: {words: [您好]}", BASE, "miss"),
    case("op: keyword_none, role: agent, params: {words: [转接]}", replace(BASE, gaps=NO_AGENT_AUDIO), "not_checked"),
    case("op: keyword_none, role: agent, params: {words: [转接]}", call(GREETING, CITIZEN, "a? 13-18 转接"), "unsure"),
    case('op: regex, role: agent, params: {pattern: "工号[0-9]{3}"}', BASE, "hit"),
    case('op: regex, role: agent, params: {pattern: "工号八零幺"}', BASE, "hit"),
    case('op: regex, role: agent, params: {pattern: "工号", not_pattern: "为您服务"}', BASE, "miss"),
    case('op: regex, role: citizen, params: {pattern: "工号"}', BASE, "miss"),
    case('op: regex, role: citizen, params: {pattern: "停水"}', call(GREETING, "c? 6-12 停水了"), "unsure"),
    case("op: similar, role: agent, params: {phrases: opening, min_score: 70}", BASE, "hit"),
    case('op: similar, role: agent, params: {phrases: ["请您对办理结果作个评价"], min_score: 70}', BASE, "miss"),
    case(
        "op: context_repeat, role: agent, params: {look_back: 9, min_score: 80, nth: 2, min_chars: 4}",
        call(
            "a 0-4 请问您贵姓？", "c 5-9 姓王。", "a 10-13 请问您贵姓？", "c 14-16 姓王啊。", "a 17-20 请问您贵姓啊？"
        ),
        "hit",
    ),
    case(
        "op: context_repeat, role: agent, params: {look_back: 9, min_score: 80, nth: 2, min_chars: 4}",
        call("a 0-4 请问您贵姓？", "c 5-9 姓王。", "a 10-13 请问您贵姓？"),
        "miss",
    ),
    case(
        "op: context_repeat, role: agent, params: {look_back: 9, min_score: 80, nth: 1, min_chars: 6}",
        call("a 0-4 好的。", "c 5-9 姓王。", "a 10-13 好的。", "c 14-16 对"),
        "miss",
    ),
    case("op: entity, role: citizen, params: {types: [location], min_found: 1}", BASE, "hit"),
    case("op: entity, role: citizen, params: {types: [time]}", BASE, "hit"),
    case("op: entity, role: agent, params: {types: [phone]}", BASE, "hit"),
    case("op: entity, role: citizen, params: {types: [name]}", BASE, "miss"),
    case("op: entity, role: agent, params: {types: [location]}", BASE, "miss"),
    case(
        "op: entity, role: agent, params: {types: [time]}", call(GREETING, "a 6-9 两小时内联系您"), "miss"
    ),  # a promise
    case("op: entity, role: citizen, params: {types: [matter], min_found: 1}", BASE, "hit"),
    case("op: silence, params: {min_s: 15}", QUIET, "hit"),
    case("op: silence, params: {min_s: 25}", QUIET, "miss"),
    case("op: silence, params: {min_s: 15, max_count: 1}", QUIET, "miss"),
    case(
        "op: silence, params: {min_s: 15}",
        replace(QUIET, gaps=(Gap(Channel.CITIZEN, Span(12_000, 30_000), GapKind.NO_MEDIA),)),
        "not_checked",
    ),
    # 暂停录音: what was said then was not kept, so neither words nor silence can be told.
    case("op: keyword_any, role: agent, params: {words: [转接]}", replace(BASE, gaps=PAUSED), "not_checked"),
    case("op: keyword_none, role: agent, params: {words: [转接]}", replace(BASE, gaps=PAUSED), "not_checked"),
    case("op: silence, params: {min_s: 15}", replace(QUIET, gaps=PAUSED), "not_checked"),
    case(
        "op: silence, params: {min_s: 15}",
        replace(QUIET, gaps=(Gap(Channel.AGENT, Span(12_000, 30_000), GapKind.HELD),)),
        "hit",
    ),
    # After the last word: a phone that was put down late, or a citizen who waited and gave up. Only a person can tell.
    case("op: silence, params: {min_s: 5}", call(GREETING, CITIZEN, duration_s=26), "miss"),
    case("op: silence, params: {min_s: 5}", call(GREETING, CITIZEN, duration_s=28), "unsure"),
    case("op: silence, params: {min_s: 60}", call(GREETING, CITIZEN, duration_s=71), "miss"),
    case("op: silence, params: {min_s: 60}", call(GREETING, CITIZEN, duration_s=73), "unsure"),
    case("op: silence, params: {min_s: 5, max_count: 1}", call(GREETING, CITIZEN, duration_s=60), "miss"),
    case(
        "op: silence, scope: {from: start, unit: s, within: 20}, params: {min_s: 5}",
        call(GREETING, CITIZEN, duration_s=60),
        "miss",
    ),
    case("op: response_delay, role: agent, params: {max_s: 10}", QUIET, "hit"),
    case("op: response_delay, role: agent, params: {max_s: 10}", BASE, "miss"),
    case(
        "op: response_delay, role: agent, scope: {from: answer, unit: s, within: 60}, params: {max_s: 10}",
        call("c 0-4 喂？", "c 6-8 喂？", "a 12-16 您好。"),
        "hit",
    ),
    case(
        "op: response_delay, role: agent, scope: {from: answer, unit: s, within: 60}, params: {max_s: 10}", BASE, "miss"
    ),
    case(
        "op: response_delay, role: agent, scope: {from: answer, unit: s, within: 30}, params: {max_s: 30}",
        call("c 0-4 喂？", "c 6-8 喂？"),  # the agent never spoke
        "hit",
    ),
    case("op: overlap, role: agent, params: {min_s: 1}", call(GREETING, "c 6-12 我说", "a 10-14 您先听我说"), "hit"),
    case(
        "op: overlap, role: agent, params: {min_s: 1, max_count: 1}",
        call(GREETING, "c 6-12 我说", "a 10-14 您听"),
        "miss",
    ),
    case("op: overlap, role: agent, params: {min_s: 1}", call(GREETING, "a 6-12 我们", "c 10-14 不对"), "miss"),
    case(
        "op: overlap, role: agent, params: {min_s: 1, ignore_backchannel: {max_s: 1, words: [好的, 嗯]}}",
        call(GREETING, "c 6-12 我说", "a 8-9.5 嗯，好的。"),
        "miss",
    ),
    case("op: speech_rate, role: agent, params: {per: call, max_cpm: 150}", BASE, "hit"),
    case("op: speech_rate, role: agent, params: {per: call, max_cpm: 400, min_cpm: 60}", BASE, "miss"),
    case("op: speech_rate, role: agent, params: {per: call, max_cpm: 400, min_chars: 200}", BASE, "not_checked"),
    case("op: speech_rate, role: agent, params: {per: utterance, max_cpm: 190, min_chars: 15}", BASE, "hit"),
    case("op: speech_rate, role: agent, params: {per: utterance, max_cpm: 400, min_chars: 15}", BASE, "miss"),
    case("op: volume, role: agent, params: {min_dbfs: -20}", LOUD, "hit"),
    case("op: volume, role: agent, params: {min_dbfs: -38, max_jump_db: 12}", LOUD, "miss"),
    case(
        "op: volume, role: agent, params: {max_jump_db: 12}",
        replace(LOUD, loudness=(-30.0, -25.0, -31.0, -24.0, -15.0)),
        "hit",
    ),
    case("op: volume, role: agent, params: {min_dbfs: -38}", BASE, "not_checked"),
    case("op: talk_ratio, params: {max_agent: 0.5}", BASE, "hit"),
    case("op: talk_ratio, params: {max_agent: 0.9, min_agent: 0.1}", BASE, "miss"),
    case("op: duration, params: {min_s: 60, max_s: 60}", BASE, "hit"),
    case("op: duration, params: {max_s: 59}", BASE, "miss"),
    case("op: ring_time, params: {max_s: 15}", replace(BASE, ring_ms=15_100), "hit"),
    case("op: ring_time, params: {max_s: 15}", replace(BASE, ring_ms=15_000), "miss"),
    case("op: ring_time, params: {max_s: 15}", BASE, "unsure"),
    case("op: hangup_by, params: {party: agent}", replace(BASE, hangup_party="agent"), "hit"),
    case(
        "op: hangup_by, params: {party: agent, max_after_last_speech_s: 1}", replace(BASE, hangup_party="agent"), "miss"
    ),
    case(
        "op: hangup_by, params: {party: agent, max_after_last_speech_s: 26}", replace(BASE, hangup_party="agent"), "hit"
    ),
    case("op: hangup_by, params: {party: agent}", replace(BASE, hangup_party="citizen"), "miss"),
    case("op: hangup_by, params: {party: agent}", BASE, "unsure"),
    case("op: ticket_linked, params: {required: true}", replace(BASE, ticket=TICKET), "hit"),
    case("op: ticket_linked, params: {required: true}", BASE, "miss"),
    case("op: ticket_fields, params: {required_fields: [title, location]}", replace(BASE, ticket=TICKET), "hit"),
    case("op: ticket_fields, params: {required_fields: [title, content]}", replace(BASE, ticket=TICKET), "miss"),
    case(
        "op: ticket_fields, params: {required_fields: [title, content], max_missing: 1}",
        replace(BASE, ticket=TICKET),
        "hit",
    ),
    case("op: ticket_fields, params: {required_fields: [urgent_flag]}", replace(BASE, ticket=TICKET), "miss"),
    case("op: ticket_fields, params: {required_fields: [title]}", BASE, "not_checked"),
    case("op: ticket_match, params: {fields: [contact_phone], min_score: 100}", replace(BASE, ticket=TICKET), "hit"),
    case(
        "op: ticket_match, params: {fields: [contact_phone], min_score: 100}",
        replace(BASE, ticket=replace(TICKET, contact_phone="13871206359")),
        "miss",
    ),
    case("op: ticket_match, params: {fields: [location], min_score: 70}", replace(BASE, ticket=TICKET), "hit"),
    case(
        "op: ticket_match, params: {fields: [location], min_score: 70}",
        replace(BASE, ticket=replace(TICKET, location="后湖大道怡康苑二十栋")),
        "miss",
    ),
    case("op: ticket_match, params: {fields: [matter_category], min_score: 60}", replace(BASE, ticket=TICKET), "hit"),
    case("op: ticket_match, params: {fields: [satisfaction], min_score: 90}", replace(BASE, ticket=TICKET), "unsure"),
    case("op: ticket_match, params: {fields: [satisfaction], min_score: 90}", BASE, "not_checked"),
    case(
        "op: ticket_match, params: {fields: [satisfaction], min_score: 90}",
        replace(
            call(GREETING, "c 6-10 没有修好。", "a 11-14 您对处理满意吗？", "c 15-18 不满意！"),
            ticket=replace(TICKET, satisfaction="满意"),
        ),
        "miss",
    ),
    case(
        "op: ticket_time, params: {from: ticket_created_at, to: dispatched_at, max_minutes: 10}",
        replace(BASE, ticket=TICKET),
        "hit",
    ),
    case(
        "op: ticket_time, params: {from: ticket_created_at, to: dispatched_at, max_minutes: 9.9}",
        replace(BASE, ticket=TICKET),
        "miss",
    ),
    case(
        "op: ticket_time, params: {from: ticket_created_at, to: closed_at, max_minutes: 9}",
        replace(BASE, ticket=TICKET),
        "unsure",
    ),
    case(
        "op: ticket_time, params: {from: call_ended, to: ticket_created_at, max_minutes: 5}",
        replace(BASE, ticket=TICKET, times=ProcessTimes(call_ended_at_ms=0)),
        "miss",
    ),
]


def states_of(operators: Mapping[str, Operator], cases: list[Case]) -> list[State]:
    return [run_check(case.check, case.facts, operators).results[0].state for case in cases]


@pytest.mark.parametrize(
    "case", CASES, ids=[f"{number}-{case.check[4:70]}-{case.state}" for number, case in enumerate(CASES)]
)
def test_operator(case: Case) -> None:
    result = run_check(case.check, case.facts).results[0]
    assert result.state is case.state, result.explanation
    assert result.explanation


def always(state: State) -> Finding:
    return Finding(state, "变异", (Hit(Evidence(None, 0, 1, "", "", "")),) if state is State.HIT else ())


@pytest.mark.parametrize("name", REGISTRY)
@pytest.mark.parametrize("state", [State.HIT, State.MISS])
def test_an_operator_that_always_says_the_same_is_noticed(name: str, state: State) -> None:
    cases = [case for case in CASES if case.operator == name]
    broken = replace(REGISTRY[name], evaluate=lambda _call, _scene: always(state))
    assert states_of({**REGISTRY, name: broken}, cases) != [case.state for case in cases]


def test_all_twenty_operators_are_there() -> None:
    assert len(REGISTRY) == 20
    assert {case.operator for case in CASES} == set(REGISTRY)


@pytest.mark.parametrize(
    "facts", [BASE, call(), replace(BASE, transcript=None), QUIET], ids=["base", "empty", "none", "quiet"]
)
def test_every_case_gives_a_state_on_any_call(facts: CallFacts) -> None:
    for other in CASES:
        assert run_check(other.check, facts).results[0].state in STATE_LABELS


def test_every_operator_describes_itself_in_chinese() -> None:
    for other in CASES:
        rubric = rubric_with(f"{{id: S1.1-1, {other.check}, on_hit: {{suggest: a}}}}")
        condition = rubric.item("S1.1").checks[0].condition
        assert isinstance(condition, OperatorCall)
        text = REGISTRY[condition.name].describe(condition)
        assert REGISTRY[condition.name].label in text and "=" not in text


class TestTaboo:
    """服务忌语: an accusation needs the very words; equal sound is a hint, near sound nothing."""

    CHECK = "op: keyword_any, role: agent, params: {lexicon: taboo_shirk}"

    def test_the_words_themselves_are_preselected(self) -> None:
        outcome = run_check(self.CHECK, call(GREETING, CITIZEN, RUDE))
        assert [s.level for s in outcome.suggestions] == [Level.PRESELECT]
        evidence = outcome.suggestions[0].evidence[0]
        assert (evidence.channel, evidence.start_ms, evidence.end_ms) == (Channel.AGENT, 13_000, 18_000)
        assert evidence.quote == "这个不归我们管。"
        assert evidence.operator == "keyword_any" and "不归我们管" in evidence.params

    def test_equal_sound_is_a_hint(self) -> None:
        outcome = run_check(self.CHECK, call(GREETING, CITIZEN, "a 13-18 这个不规我们管。"))
        assert [s.level for s in outcome.suggestions] == [Level.HINT]

    def test_near_sound_is_nothing(self) -> None:
        outcome = run_check(self.CHECK, call(GREETING, CITIZEN, "a 13-18 这个不归我们广。"))
        assert outcome.suggestions[0].option_code == "a"  # the miss

    def test_words_across_a_full_stop_are_nothing(self) -> None:
        outcome = run_check(self.CHECK, call(GREETING, CITIZEN, "a 13-18 费用不归。我们管好自己的事。"))
        assert outcome.results[0].state is State.MISS

    def test_the_citizen_may_say_them(self) -> None:
        outcome = run_check(self.CHECK, call(GREETING, "c 6-12 别跟我说什么不归我们管！", "a 13-18 您放心。"))
        assert outcome.results[0].state is State.MISS


def test_two_words_in_one_sentence_are_one_occurrence() -> None:
    check = "op: keyword_any, role: agent, params: {words: [不归, 管]}"
    outcome = run_check(check, call(GREETING, CITIZEN, RUDE, "c 19-20 啊", "a 21-24 说了不归我管"))
    assert outcome.suggestions[0].times == 2


def test_a_scope_counts_from_the_roles_first_words() -> None:
    """A callback starts with the citizen; a late agent has its own check."""
    check = "op: keyword_any, role: agent, scope: {from: start, unit: s, within: 5}, params: {words: [水务热线]}"
    facts = replace(call("c 0-3 喂？", "a 16-20 您好，水务热线。"), call_type=CallType.CALLBACK)
    assert run_check(check, facts).results[0].state is State.HIT


def test_the_end_counts_back_from_the_last_words() -> None:
    check = "op: keyword_any, role: agent, scope: {from: end, unit: s, within: 10}, params: {words: [再见]}"
    assert (
        run_check(check, call(GREETING, CITIZEN, "a 13-18 感谢来电，再见。", duration_s=90)).results[0].state
        is State.HIT
    )


def test_evidence_of_a_miss_is_what_was_heard_where_we_looked() -> None:
    check = "op: keyword_any, role: agent, scope: {from: start, unit: s, within: 15}, params: {words: [转接]}"
    (suggestion,) = run_check(check, BASE).suggestions
    (evidence,) = suggestion.evidence
    assert evidence.channel is Channel.AGENT
    assert (evidence.start_ms, evidence.end_ms) == (0, 15_000)
    assert evidence.quote.startswith("您好，武汉水务热线")
    silent = run_check(check, replace(BASE, transcript=call(CITIZEN, "a 40-44 好的您请说").transcript))
    assert silent.suggestions[0].evidence[0].quote == "好的您请说"


def test_speech_without_text_is_not_taken_for_silence() -> None:
    facts = call(GREETING, CITIZEN)
    assert facts.transcript is not None
    speech = (facts.transcript.speech[0], (*facts.transcript.speech[1], Span(14_000, 17_000)))
    facts = replace(facts, transcript=replace(facts.transcript, speech=speech))
    result = run_check("op: keyword_any, role: agent, params: {words: [再见]}", facts).results[0]
    assert result.state is State.NOT_CHECKED and "没有文字" in result.explanation


WORDS = "op: keyword_any, role: agent, params: {words: [%s]}"


def test_an_unclear_grunt_hides_nothing_that_sounds_otherwise() -> None:
    """嗯，行 written as 那先: half a second has room for 再见, but its sounds are others. The miss says so."""
    facts = call(GREETING, CITIZEN, "a? 13-13.5 那先。")
    for word in ("还有其他", "再见"):
        result = run_check(WORDS % word, facts).results[0]
        assert (
            result.state is State.MISS and "另有 1 句识别不可靠（如 0:13），但时长或读音与此不符" in result.explanation
        )
    assert run_check(WORDS % "那些", facts).results[0].state is State.NOT_CHECKED


def test_doubtful_words_that_sound_like_it_may_be_it() -> None:
    facts = call(CITIZEN, "a 6-10 好的您说。", "a? 13-15 要您走等了弟姐。")
    result = run_check(WORDS % "让您久等了", facts).results[0]
    assert result.state is State.NOT_CHECKED
    assert result.explanation == "没有听到，但0:13 有一句识别不可靠（“要您走等了”），不能排除“让您久等了”，待人工"


def test_below_the_gate_only_the_length_counts() -> None:
    facts = call(CITIZEN, "a 13-17 好的您说。", "a~ 18-19 嗯行吧就这样。")
    assert run_check(WORDS % "感谢您的来电再见", facts).results[0].state is State.NOT_CHECKED  # eight in a second
    assert run_check(WORDS % "感谢您的来电，祝您再见", facts).results[0].state is State.MISS


@pytest.mark.parametrize(
    ("said", "word", "state"),
    [
        ("请问您对结果买一码", "满意", "not_checked"),
        ("一号，水务热线", "你好", "not_checked"),
        ("锅号八零三", "工号", "not_checked"),
        ("您好，水污认线", "水务热线", "not_checked"),
        ("请问您贵姓啊", "请问您对", "miss"),  # other words
        ("您的电话是多少", "那边的电话是", "miss"),
        ("大家绕着走", "再见", "miss"),
    ],
)
def test_clear_words_that_sound_alike_are_no_miss(said: str, word: str, state: str) -> None:
    facts = call(CITIZEN, f"a 13-17 {said}")
    assert run_check(WORDS % word, facts).results[0].state == state


def test_an_accusation_is_not_sought_behind_clear_words() -> None:
    facts = call(GREETING, CITIZEN, "a 13-18 不归我们广。")
    check = "op: keyword_any, role: agent, params: {lexicon: taboo_shirk}"
    assert run_check(check, facts).results[0].state is State.MISS


def test_a_pattern_is_sought_by_sound_too() -> None:
    check = 'op: regex, role: agent, params: {pattern: "(电话|号码)(是|报).{0,3}吗"%s}'
    garbled = call(GREETING, "c 6-12 喂你好", "a 13-16 您的号买是八零一卖")
    assert "与“号码是吗”读音相近" in run_check(check % "", garbled).results[0].explanation
    assert run_check(check % "", call(GREETING, "c 6-12 喂", "a 13-16 请问您贵姓")).results[0].state is State.MISS
    ruled_out = run_check(check % ', not_pattern: "号买"', garbled).results[0]
    assert ruled_out.state is State.MISS


@pytest.mark.parametrize(
    ("line", "state"),
    [
        ("c 6-12 将下去指方熊平毕街东里外如酒洞", "unsure"),  # nearly the same by sound
        ("c 6-12 将下去指方熊平毕街东里外如十栋", "miss"),  # another number
        ("c 6-12 江夏区金桥大道平安里九栋", "miss"),  # other names
    ],
)
def test_an_address_that_sounds_alike_is_no_mismatch(line: str, state: str) -> None:
    facts = call(GREETING, line, duration_s=30, ticket=replace(TICKET, location="纸坊街熊廷弼街东林外庐九栋"))
    assert facts.transcript is not None
    garbled = tuple(replace(u, confidence=0.75) for u in facts.transcript.utterances)
    facts = replace(facts, transcript=replace(facts.transcript, utterances=garbled))
    check = "op: ticket_match, params: {fields: [location], min_score: 90}"
    assert run_check(check, facts).results[0].state == state


@pytest.mark.parametrize(
    ("said", "written", "state"),
    [
        ("c 6-9 我电话零二七八四七七零零零零", "84770000", "hit"),  # a landline with its area code, and without
        ("c 6-9 我电话八四七七零零零零", "02784770000", "hit"),
        ("c 6-9 我电话零二七八四七七零零零一", "84770000", "miss"),
        ("c 6-9 工单号八四七七零零零五", "02784770000", "unsure"),  # eight digits may be anything
        ("c 6-7 一三八七一|a 7-7.5 嗯|c 8-10 二零六三五八", "13871206358", "hit"),
        ("c 6-7 号码是一三八|c 8-9 七一二零|c 10-11 六三五九，对", "13871206358", "miss"),
        ("c 6-7 号码是一三八|c? 8-9 七一二零|c 10-11 六三五九", "13871206358", "unsure"),
        ("c 6-7 号码是一三八|c 8-9 不对|c 10-11 七一二零六三五八", "13871206358", "unsure"),
        ("c 6-9 一三八七一二零六三五八", "", "unsure"),
    ],
)
def test_phone_numbers_as_people_say_them(said: str, written: str, state: str) -> None:
    facts = call(GREETING, *said.split("|"), "c 20-23 你记好了没有", ticket=replace(TICKET, contact_phone=written))
    result = run_check("op: ticket_match, params: {fields: [contact_phone], min_score: 100}", facts).results[0]
    assert result.state == state, result.explanation


def test_a_matter_that_sounds_alike_is_no_other_matter() -> None:
    ticket = replace(TICKET, matter_category="排水")
    check = "op: ticket_match, params: {fields: [matter_category], min_score: 60}"
    facts = call(GREETING, "c 6-12 有个紧盖不见了，写着自来水", ticket=ticket)
    assert run_check(check, facts).results[0].state is State.UNSURE
    facts = call(GREETING, "c 6-12 写着自来水", ticket=ticket)
    assert run_check(check, facts).results[0].state is State.MISS


def test_a_time_ahead_is_not_when_it_happened() -> None:
    check = "op: ticket_match, params: {fields: [occurred_at], min_score: 60}"
    ticket = replace(TICKET, occurred_at_ms=3_600_000)  # 09:00 in Shanghai
    for said, state in (
        ("明天早上三点恢复", "unsure"),
        ("下午三点之前来水", "unsure"),
        ("每天晚上八点这样", "unsure"),
        ("下午三点停的", "miss"),
    ):
        assert run_check(check, call(GREETING, f"c 6-12 {said}", ticket=ticket)).results[0].state == state


def test_hurried_speech_that_could_not_be_read_is_a_hint() -> None:
    garbled = "我认识过好帮你去你公请问有什么可以帮你中学生体室咱有情况我已经登记了白时公司会将三十分钟"
    facts = call(f"a? 0-4.5 {garbled}", CITIZEN)
    check = "op: speech_rate, role: agent, params: {per: call, max_cpm: 400, min_cpm: 120, min_chars: 40}"
    (suggestion,) = run_check(check, facts).suggestions
    assert suggestion.level is Level.HINT and "请核听" in suggestion.reason
    slow = call(f"a? 0-30 {garbled}", CITIZEN)  # too few written: nothing follows
    assert run_check(check, slow).results[0].state is State.NOT_CHECKED


def test_a_mono_recording_is_not_judged() -> None:
    assert BASE.transcript is not None
    facts = replace(BASE, transcript=replace(BASE.transcript, separated=False))
    assert run_check("op: silence, params: {min_s: 5}", facts).results[0].state is State.NOT_CHECKED


def test_a_rule_about_one_speaker_abstains_on_a_mono_recording_whatever_the_gate() -> None:
    """Nobody's words are the agent's there: "not heard" would be said of every call."""
    unknown = tuple(replace(u, speaker=Speaker.UNKNOWN) for u in BASE.transcript.utterances)  # type: ignore[union-attr]
    facts = replace(BASE, transcript=replace(BASE.transcript, utterances=unknown, separated=False))  # type: ignore[type-var]
    small = rubric_with("{id: S1.1-1, op: keyword_any, role: agent, params: {words: [再见]}, on_miss: {suggest: a}}")
    open_gate = replace(small, gate=replace(small.gate, require_two_channels=False))
    outcome = score(open_gate, facts)
    assert outcome.results[0].state is State.NOT_CHECKED and outcome.suggestions == ()


def test_params_refuse_what_the_loader_should_have_refused() -> None:
    with pytest.raises(KeyError):
        Params((("min_s", "many"),)).number("min_s")
    assert place_of(Scene(BASE, gate=None, sound=None), OperatorCall("x", role=Role.ANY)).span.end_ms == 60_000  # type: ignore[arg-type]
