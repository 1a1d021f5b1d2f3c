"""The documents say what the code does: settings, verbs, rooms, operators, report sections."""

import re
from pathlib import Path

import pytest

from callqa.cli import _parser
from callqa.config import load_settings
from callqa.config_text import settings_markdown
from callqa.scoring.evaluation import state_table
from callqa.web.permissions import PERMISSIONS, Role
from tests.web.routes import all_routes

ROOT = Path(__file__).resolve().parent.parent


def text_of(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def test_the_settings_page_is_made_from_the_settings() -> None:
    assert text_of("docs/configuration.md") == settings_markdown(), "run: ./run callqa settings > docs/configuration.md"


def test_the_states_of_an_evaluation_are_drawn_from_the_code() -> None:
    assert state_table() in text_of("docs/scoring.md"), "put callqa.scoring.evaluation.state_table() there"


def test_what_the_installation_page_tells_to_type_is_understood(tmp_path: Path) -> None:
    page = text_of("docs/install.md")
    for text in re.findall(r"```toml\n(.*?)```", page, re.DOTALL):
        (tmp_path / "callqa.toml").write_text(text, encoding="utf-8")
        load_settings(tmp_path / "callqa.toml", {})
    commands = [line.split("#")[0].split() for line in re.findall(r"callqa (--config /srv/[^`\n]*)", page)]
    assert len(commands) >= 5
    for words in commands:
        _parser().parse_args([*words, "doctor"] if len(words) == 2 else words)


def test_every_verb_is_in_the_readme() -> None:
    verbs = next(a for a in _parser()._actions if a.dest == "verb").choices
    readme = text_of("README.md")
    assert verbs
    missing = [verb for verb in verbs if f"callqa {verb}" not in readme]
    assert not missing


@pytest.mark.parametrize(
    "path",
    [
        "docs/architecture.md",
        "docs/domain/glossary.md",
        "docs/domain/sampling.md",
        "docs/domain/report-outline.md",
        "CHANGELOG.md",
        "LICENSE",
        "docs/transcription.md",
        "docs/recorder-down.md",
        "docs/install.md",
    ],
)
def test_a_document_is_there_and_not_empty(path: str) -> None:
    assert len(text_of(path)) > 300


def test_the_readme_shows_the_two_commands_and_a_picture() -> None:
    readme = text_of("README.md")
    assert "./run demo" in readme
    assert "./run test" in readme
    for part in readme.split("](")[1:]:
        target = part.split(")")[0].split("#")[0]
        if target and "://" not in target:
            assert (ROOT / target).exists(), f"README.md points to {target}"


def test_every_top_level_room_is_named_in_the_architecture() -> None:
    page = text_of("docs/architecture.md")
    rooms = {p.name for p in (ROOT / "callqa").iterdir() if p.is_dir() and not p.name.startswith("_")}
    missing = [room for room in rooms if f"callqa/{room}/" not in page]
    assert not missing


ROLES = {
    Role.SHIFT_LEADER: "班长",
    Role.AGENT: "坐席",
    Role.CLIENT_SUPERVISOR: "监督员",
    Role.ADMIN: "管理员",
}
NO_PAGE = {  # what answers a GET and is no page of its own: files, parts of pages, ways on
    "/calls.csv", "/cases.csv", "/followups.csv", "/search.csv", "/tickets.csv", "/tickets.xlsx", "/evaluate/export", "/reports/{month}/{version}/files/{name}",
    "/sampling/{month}/frame.tsv", "/sampling/{month}/plan.json", "/sampling/{month}/draw.tsv", "/sampling/{month}/verify_draw.py",
    "/account/session", "/calls/{call_id}/recording", "/calls/{call_id}/peaks.json", "/calls/{call_id}/audio", "/people/lines/prompts/{name}", "/healthz",
    "/live/events", "/live/own/events", "/calls/{call_id}/progress", "/transcription/progress", "/evaluate/ahead/{call_id}",
    "/evaluate/{evaluation_id}/reasoning", "/evaluate/next", "/evaluate/rescore/{call_id}", "/sampling", "/reports",
    "/trust/calibration/{session_id}/call/{call_id}",
}  # fmt: skip
LARGEST_PICTURE = 120 * 1024


def test_every_page_is_listed_with_who_may_open_it_and_a_small_picture() -> None:
    """docs/pages.md: one row a page, its roles as web/permissions.py has them."""
    rows = re.findall(
        r"^\| \[[^]]+\]\((images/[a-z-]+\.png)\) \| `([^`]+)` \| ([^|]+) \| [^|]+ \|$", text_of("docs/pages.md"), re.M
    )
    told = {path: who for _, path, who in rows}
    for route in all_routes():
        if "GET" not in route.methods or route.path in NO_PAGE:
            continue
        named = [d.call.permission for d in route.dependant.dependencies if hasattr(d.call, "permission")]
        roles = set.intersection(*(set(PERMISSIONS[name]) for name in named)) if named else set(Role)
        who = "所有人" if roles == set(Role) else "、".join(ROLES[role] for role in Role if role in roles)
        assert told.pop(route.path, "not listed") == who, route.path
    assert not told, "pages that are not there"
    for name in {picture for picture, _, _ in rows}:
        assert (ROOT / "docs" / name).stat().st_size <= LARGEST_PICTURE, name
