"""What the search index holds: one row a call whose newest transcript can be searched."""

from sqlmodel import Field, SQLModel


class SearchDoc(SQLModel, table=True):  # 检索条目
    """id grows with the call's start (see store/search.py). SQLite: the row of `search_fts`, which keeps no text.

    call_id None: a row whose tokens could not be taken out of SQLite's index; it is never found, a rebuild drops it.
    """

    __tablename__ = "search_doc"
    id: int = Field(
        primary_key=True, sa_column_kwargs={"autoincrement": False}
    )  # ten seconds since 1970, or the next free
    call_id: str | None = Field(default=None, foreign_key="call.call_id", unique=True)
    transcript_id: int | None = Field(default=None, foreign_key="transcript.id", unique=True)
    version: int  # INDEX_VERSION it was made with
    digest: str  # of the words on SQLite: whether they are still what was indexed
