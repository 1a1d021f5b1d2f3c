"""The words that homophone repair prefers: the site's file, and the words that its people added, version by version."""

from collections.abc import Iterable
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import Session, col, select

from callqa.errors import CallqaError, ConfigError, StateError
from callqa.refusals import os_reason
from callqa.store import audit
from callqa.store.db import Database
from callqa.store.tables import VocabularyCandidate, VocabularyVersion
from callqa.transcribe.homophones import sound_twins
from callqa.transcribe.repair import Repairer, load_repairer
from callqa.transcribe.vocabulary import MAX_WORD_CHARS, NO_VOCABULARY, may_be_word, parse_vocabulary, with_words


def vocabulary_text(path: Path) -> str:
    """The text of vocabulary.yaml; "" where there is none. Raise ConfigError when it cannot be read."""
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""
    except OSError as e:
        raise ConfigError(f"词表 {path} 读不了：{os_reason(e)}；请检查权限") from e
    except UnicodeDecodeError as e:
        raise ConfigError(f"词表 {path} 不是 UTF-8 文本；请另存为 UTF-8") from e


def make_repairer(text: str, word_model: Path | None = None, words: tuple[str, ...] = ()) -> Repairer | None:
    """The repairer of this machine with the vocabulary in `text` (may be "") and the site's own words; None where no
    word model can be used.

    word_model: the file of the setting, None for the usual places.
    """
    return load_repairer(with_words(parse_vocabulary(text) if text else NO_VOCABULARY, words), word_model)


def newest_vocabulary(session: Session) -> VocabularyVersion | None:
    """The version of the site's own words that is in force; None while there are none."""
    return session.exec(select(VocabularyVersion).order_by(col(VocabularyVersion.version).desc()).limit(1)).first()


def site_words(db: Database) -> tuple[str, ...]:
    """The site's own words in force."""
    with db.read() as session:
        newest = newest_vocabulary(session)
    return tuple(newest.words) if newest is not None else ()


def find_site_words(db: Database) -> tuple[str, ...]:
    """The site's own words; none where the database cannot be read or is of an older version, which doctor tells of."""
    try:
        return site_words(db)
    except SQLAlchemyError:
        return ()


def packaged_words(path: Path) -> tuple[str, ...]:
    """The words of vocabulary.yaml. Raise ConfigError, RubricError when it cannot be read."""
    text = vocabulary_text(path)
    return tuple(parse_vocabulary(text).words) if text else ()


def accept_candidate(
    db: Database, candidate_id: int, word: str, *, actor: str, now_ms: int, packaged: Iterable[str] = ()
) -> int:
    """Take an offered word (as the leader wrote it) into the vocabulary. Returns the new version.

    packaged: the words of vocabulary.yaml. One that sounds like a word of either is refused: nobody hears which was said,
    so the repair would use neither any more.
    """
    word = word.strip()
    if not may_be_word(word):
        raise CallqaError(f"“{word[:40]}”不能收进词表：只收 1 到 {MAX_WORD_CHARS} 个汉字，不收数字、字母与标点")
    twins = next((group for group in sound_twins((*packaged, *site_words(db), word)) if word in group), ())
    if others := [each for each in twins if each != word]:
        raise CallqaError(
            f"“{word}”与词表里的“{'、'.join(others)}”听不出分别；收了它，两个都不再用于同音修正。"
            "请写成完整、听得出分别的词，或选“不收”"
        )
    with db.write() as session:
        _decide(session, candidate_id, "accepted", actor, now_ms)
        newest = newest_vocabulary(session)
        words = list(newest.words) if newest is not None else []
        if word in words:
            assert newest is not None
            return newest.version
        return _add_version(session, [*words, word], f"收入“{word}”", "vocabulary.accept", actor, now_ms)


def refuse_candidate(db: Database, candidate_id: int, *, actor: str, now_ms: int) -> None:
    """An offered word is no word of the trade."""
    with db.write() as session:
        found = _decide(session, candidate_id, "refused", actor, now_ms)
        audit.append(
            session,
            actor=actor,
            action="vocabulary.refuse",
            subject=found.word,
            detail={"id": candidate_id},
            now_ms=now_ms,
        )


def remove_word(db: Database, word: str, *, actor: str, now_ms: int) -> int:
    """Take one of the site's own words out again. Returns the new version."""
    with db.write() as session:
        newest = newest_vocabulary(session)
        if newest is None or word not in newest.words:
            raise StateError(f"词表里没有“{word[:40]}”；可能已被删去，请刷新")
        words = [each for each in newest.words if each != word]
        return _add_version(session, words, f"删去“{word}”", "vocabulary.remove", actor, now_ms)


def _decide(session: Session, candidate_id: int, state: str, actor: str, now_ms: int) -> VocabularyCandidate:
    found = session.get(VocabularyCandidate, candidate_id)
    if found is None or found.state != "offered":
        raise StateError("这个词已经处理过；请刷新")
    same = session.exec(
        select(VocabularyCandidate).where(
            VocabularyCandidate.word == found.word, VocabularyCandidate.state == "offered"
        )
    )
    for each in same:
        each.state, each.decided_by, each.decided_at_ms = state, actor, now_ms
        session.add(each)
    return found


def _add_version(session: Session, words: list[str], change: str, action: str, actor: str, now_ms: int) -> int:
    newest = newest_vocabulary(session)
    version = (newest.version if newest is not None else 0) + 1
    session.add(VocabularyVersion(version=version, words=words, change=change, made_by=actor, made_at_ms=now_ms))
    audit.append(
        session, actor=actor, action=action, subject=f"第 {version} 版", detail={"change": change}, now_ms=now_ms
    )
    return version
