"""What people add to transcription: versions of the site's vocabulary, and the words that corrections offered for it."""

from sqlalchemy import JSON, CheckConstraint, Column, UniqueConstraint
from sqlmodel import Field, SQLModel


class VocabularyVersion(SQLModel, table=True):  # 词表的一个版本
    """The site's own words, all of them; the newest version is in force, beside the file vocabulary.yaml."""

    __tablename__ = "vocabulary_version"
    version: int = Field(primary_key=True)
    words: list = Field(default_factory=list, sa_column=Column(JSON, nullable=False))
    change: str  # what differs from the version before, in Chinese
    made_by: str
    made_at_ms: int


class VocabularyCandidate(SQLModel, table=True):  # 待收词
    """A word that a person wrote where the machine had written `was`; the leader takes it into the vocabulary or not."""

    __tablename__ = "vocabulary_candidate"
    __table_args__ = (
        UniqueConstraint("transcript_id", "word"),
        CheckConstraint("state in ('offered','accepted','refused')", name="ck_candidate_state"),
    )
    id: int | None = Field(default=None, primary_key=True)
    transcript_id: int = Field(foreign_key="transcript.id")
    word: str
    was: str
    context: str = ""  # a few characters around it
    state: str = "offered"
    offered_at_ms: int
    decided_by: str = ""
    decided_at_ms: int | None = None
