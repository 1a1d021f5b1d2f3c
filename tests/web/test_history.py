"""The audit trail as sentences."""

from callqa.store.tables import AuditEntry
from callqa.web.history import say_history


def entry(actor: str) -> AuditEntry:
    return AuditEntry(
        sequence=1, at_ms=0, actor=actor, action="call.play", subject="c", detail={}, prev_hash="", hash=""
    )


def test_who_acted_is_named_with_the_account() -> None:
    names = {"banzhang": "刘班长"}
    said = [say_history(entry(actor), names) for actor in ("banzhang", "gone", "system")]
    assert [line.actor for line in said] == ["刘班长（banzhang）", "gone", "系统"]
    assert said[0].action == "播放录音"


def test_what_was_asked_for_and_not_done_says_so():
    refused = AuditEntry(
        sequence=1,
        at_ms=0,
        actor="li",
        action="recording.pause",
        subject="c",
        detail={"done": False},
        prev_hash="",
        hash="",
    )
    assert say_history(refused, {}).action == "暂停录音（没有办成）"
