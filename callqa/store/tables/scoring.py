"""Rubric versions, the machine's suggestions, sampling, and the leader's evaluations."""

from sqlalchemy import JSON, Boolean, CheckConstraint, Column, Index, UniqueConstraint, false
from sqlmodel import Field, SQLModel


class RubricVersion(SQLModel, table=True):  # 质检标准的一个版本
    __tablename__ = "rubric_version"
    rubric_hash: str = Field(primary_key=True)  # SHA-256 of the source text
    rubric_id: str
    version: int
    title: str
    source: str  # the YAML itself
    effective_from_ms: int
    loaded_at_ms: int


class RubricDraft(SQLModel, table=True):  # 标准的草稿
    """The one text that is being edited; publishing makes a version of it."""

    __tablename__ = "rubric_draft"
    id: int | None = Field(default=None, primary_key=True)  # always 1
    source: str
    based_on: str | None = Field(default=None, foreign_key="rubric_version.rubric_hash")
    updated_by: int = Field(foreign_key="account.id")
    updated_at_ms: int
    version: int = 1


class RubricTrial(SQLModel, table=True):  # 试跑：一个月的通话按两个文本各预评一次
    __tablename__ = "rubric_trial"
    __table_args__ = (
        CheckConstraint("state in ('wanted','running','done','failed','stopped')", name="ck_trial_state"),
    )
    id: int | None = Field(default=None, primary_key=True)
    month: str  # 2026-11
    old_hash: str = Field(foreign_key="rubric_version.rubric_hash")
    new_hash: str  # SHA-256 of new_source, which need not be published
    new_source: str
    state: str = "wanted"
    done: int = 0
    total: int = 0
    asked_by: int = Field(foreign_key="account.id")
    asked_at_ms: int
    ended_at_ms: int | None = None
    problem: str = ""
    result: dict = Field(default_factory=dict, sa_column=Column(JSON, nullable=False))  # usecases/try_rubric.py


class CheckRun(SQLModel, table=True):  # 机器预评
    """One run of one rubric over one transcript and the facts known then. The newest run has the highest id."""

    __tablename__ = "check_run"
    __table_args__ = (UniqueConstraint("call_id", "transcript_id", "rubric_hash", "facts_hash"),)
    id: int | None = Field(default=None, primary_key=True)
    call_id: str = Field(foreign_key="call.call_id", index=True)
    transcript_id: int = Field(foreign_key="transcript.id")
    rubric_hash: str = Field(foreign_key="rubric_version.rubric_hash")
    facts_hash: str = ""  # SHA-256 of call and ticket facts and of the program's version
    created_at_ms: int
    auto_score: float | None = None  # quality_score if every non-hint suggestion were accepted
    suspected_fatal: bool = False
    not_applicable: list = Field(default_factory=list, sa_column=Column(JSON, nullable=False))  # item ids


class CheckResultRow(SQLModel, table=True):
    """What one check of the rubric found: hit | miss | unsure | not_checked, and why in Chinese."""

    __tablename__ = "check_result"
    __table_args__ = (UniqueConstraint("check_run_id", "check_id"),)
    id: int | None = Field(default=None, primary_key=True)
    check_run_id: int = Field(foreign_key="check_run.id", index=True)
    check_id: str
    item_id: str  # S1.1 or F1
    state: str
    explanation: str = ""
    reasoning: list = Field(default_factory=list, sa_column=Column(JSON, nullable=False))  # scoring.explain.Step.kept()


class SuggestionRow(SQLModel, table=True):  # 建议扣分
    __tablename__ = "suggestion"
    id: int | None = Field(default=None, primary_key=True)
    check_run_id: int = Field(foreign_key="check_run.id", index=True)
    call_id: str = Field(foreign_key="call.call_id", index=True)
    check_id: str
    item_id: str
    option_code: str | None = None
    fatal_id: str | None = None
    level: str  # preselect | hint
    points: float = 0  # what accepting it deducts, times included
    times: int = 1
    reason: str  # Chinese
    evidence: list = Field(
        default_factory=list, sa_column=Column(JSON, nullable=False)
    )  # [{channel,start_ms,end_ms,quote,operator,params}]


class SamplingFrame(SQLModel, table=True):  # 抽样框, frozen
    __tablename__ = "sampling_frame"
    __table_args__ = (CheckConstraint("state in ('frozen','committed','revealed','void')", name="ck_frame_state"),)
    id: int | None = Field(default=None, primary_key=True)
    month: str = Field(index=True)  # 2026-11
    demo: bool = False
    partial: bool = False  # the month was not over when it was frozen
    state: str
    frozen_at_ms: int
    frozen_by: str
    frame_text: str  # the frame file F, byte for byte
    frame_hash: str
    plan_json: str
    plan_hash: str
    counts: dict = Field(default_factory=dict, sa_column=Column(JSON, nullable=False))
    # counts: {"connected": n, "exclusions": {code: n}, "gaps": {code: n}, "frame": N,
    #          "by_agent": {agent_no: {...same...}}}
    commit_a: str | None = None
    commit_b: str | None = None
    commit_a_by: str | None = None
    commit_b_by: str | None = None
    committed_at_ms: int | None = None
    nonce_a: str | None = None
    nonce_b: str | None = None
    seed: str | None = None
    revealed_at_ms: int | None = None
    revealed_by: str | None = None
    void_reason: str | None = None  # of a frame that is void, or that somebody asks to make void
    void_asked_by: str | None = None
    void_asked_at_ms: int | None = None
    voided_by: str | None = None  # the second person
    voided_at_ms: int | None = None
    blind_commit: str | None = None  # scoring.blind: published when the sample is revealed
    blind_secret: str | None = None  # shown to nobody before blind_revealed_at_ms
    blind_revealed_at_ms: int | None = None


class SampleEntry(SQLModel, table=True):  # 样本与递补
    __tablename__ = "sample_entry"
    __table_args__ = (
        UniqueConstraint("frame_id", "call_id"),
        CheckConstraint("kind in ('sample','reserve')", name="ck_sample_kind"),
        CheckConstraint("state in ('open','replaced','used','unused')", name="ck_sample_state"),
        Index("ix_sample_frame", "frame_id", "kind"),
    )
    id: int | None = Field(default=None, primary_key=True)
    frame_id: int = Field(foreign_key="sampling_frame.id")
    call_id: str = Field(foreign_key="call.call_id")
    agent_no: str
    stratum: str  # risk | callback | normal
    rank: str  # hex
    kind: str
    position: int  # 1-based within agent and stratum
    state: str = "open"
    replaced_by: str | None = None
    reason: str | None = None


class Evaluation(SQLModel, table=True):  # 质检评分记录
    __tablename__ = "evaluation"
    __table_args__ = (
        CheckConstraint(
            "status in ('draft','submitted','released','acknowledged','appealed','finalized')",
            name="ck_evaluation_status",
        ),
        UniqueConstraint("call_id", "kind"),
    )
    id: int | None = Field(default=None, primary_key=True)
    call_id: str = Field(foreign_key="call.call_id", index=True)
    kind: str = "first"  # first | blind_rescore | calibration:<session>:<account>
    sample_entry_id: int | None = Field(default=None, foreign_key="sample_entry.id")
    rubric_hash: str = Field(foreign_key="rubric_version.rubric_hash")
    transcript_id: int | None = Field(default=None, foreign_key="transcript.id")
    check_run_id: int | None = Field(default=None, foreign_key="check_run.id")
    recording_sha256: str | None = None
    evaluator_id: int = Field(foreign_key="account.id")
    status: str = "draft"
    blind: bool = False  # the machine's hints were hidden
    quality_score: float | None = None  # 质量分
    final_score: float | None = None  # 最终分
    grade: str | None = None
    summary: str = ""  # 总评
    opened_at_ms: int
    submitted_at_ms: int | None = None
    released_at_ms: int | None = None  # the first time
    answer_days: int | None = None  # the window's length, as it was set when released
    answer_due_at_ms: int | None = None  # until then the agent acknowledges or appeals; begins anew with each change
    answered_at_ms: int | None = None  # acknowledged, or the window's end
    answered_by_lapse: bool = Field(default=False, sa_column=Column(Boolean, nullable=False, server_default=false()))
    finalized_at_ms: int | None = None
    elapsed_ms: int = 0
    version: int = 1
    # item_id -> {"ok": bool, "why": str}: whether its suggestions were preselected when the card was opened
    trust: dict = Field(default_factory=dict, sa_column=Column(JSON, nullable=False))


class EvaluationItem(SQLModel, table=True):
    """One scored item of one evaluation."""

    __tablename__ = "evaluation_item"
    __table_args__ = (UniqueConstraint("evaluation_id", "item_id"),)
    id: int | None = Field(default=None, primary_key=True)
    evaluation_id: int = Field(foreign_key="evaluation.id", index=True)
    item_id: str
    not_applicable: bool = False
    na_by: str | None = None  # rule | person
    max_points: float
    points: float | None = None  # None when not applicable


class Deduction(SQLModel, table=True):  # 扣分
    __tablename__ = "deduction"
    __table_args__ = (UniqueConstraint("evaluation_id", "item_id", "option_code"),)
    id: int | None = Field(default=None, primary_key=True)
    evaluation_id: int = Field(foreign_key="evaluation.id", index=True)
    item_id: str
    option_code: str
    times: int = 1
    points: float
    at_ms: int | None = None  # evidence in the recording
    note: str = ""


class EvaluationComment(SQLModel, table=True):  # 评语
    __tablename__ = "evaluation_comment"
    id: int | None = Field(default=None, primary_key=True)
    evaluation_id: int = Field(foreign_key="evaluation.id", index=True)
    at_ms: int | None = None
    text: str


class FatalFinding(SQLModel, table=True):  # 致命项认定, needs two different people; the second may refuse it
    __tablename__ = "fatal_finding"
    __table_args__ = (UniqueConstraint("evaluation_id", "fatal_id"),)
    id: int | None = Field(default=None, primary_key=True)
    evaluation_id: int = Field(foreign_key="evaluation.id", index=True)
    fatal_id: str
    at_ms: int
    words: str
    confirmed_by: int = Field(foreign_key="account.id")
    second_confirmed_by: int | None = Field(default=None, foreign_key="account.id")
    second_confirmed_at_ms: int | None = None
    refused_by: int | None = Field(
        default=None, foreign_key="account.id"
    )  # the second person did not agree: it never counts
    refused_at_ms: int | None = None
    refusal: str = ""  # why, in the second person's words

    @property
    def waits(self) -> bool:
        """Whether its second person has not spoken yet."""
        return self.second_confirmed_by is None and self.refused_by is None


class SuggestionDecision(SQLModel, table=True):  # 采纳 / 驳回
    __tablename__ = "suggestion_decision"
    __table_args__ = (
        UniqueConstraint("evaluation_id", "suggestion_id"),
        CheckConstraint("decision in ('accepted','rejected')", name="ck_decision"),
    )
    id: int | None = Field(default=None, primary_key=True)
    evaluation_id: int = Field(foreign_key="evaluation.id", index=True)
    suggestion_id: int = Field(foreign_key="suggestion.id")
    decision: str
