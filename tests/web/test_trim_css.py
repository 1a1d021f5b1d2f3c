"""A sheet without what no page can match: nothing that may match is lost."""

import re

import pytest

from callqa.web.app import STATIC_DIR
from callqa.web.trim_css import Words, trim, words_of

WORDS = words_of(['<p class="card alert-{{ kind }}">', "node.className = `cq-dot-${tone}`", 'class="btn btn-" ~ size'])


@pytest.mark.parametrize(
    ("sheet", "kept"),
    [
        (".card{a:b}.gone{a:b}", ".card{a:b}"),
        ("p,.gone,.card>p{a:b}", "p,.card>p{a:b}"),
        (".card .gone{a:b}h1{c:d}", "h1{c:d}"),
        (".alert-warning{a:b}.cq-dot-good{a:b}.btn-lg{a:b}", ".alert-warning{a:b}.cq-dot-good{a:b}.btn-lg{a:b}"),
        (".card:not(.gone):is(.gone,.card){a:b}", ".card:not(.gone):is(.gone,.card){a:b}"),
        ("@media (min-width:1px){.gone{a:b}.card{a:b}}", "@media (min-width:1px){.card{a:b}}"),
        ("@media print{.gone{a:b}}:root{--a:1}", ":root{--a:1}"),
        ("@keyframes turn{from{a:b}to{a:c}}", "@keyframes turn{from{a:b}to{a:c}}"),
        ('@charset "utf-8";.card{a:b}', '@charset "utf-8";.card{a:b}'),
        ('.card{a:url("data:image/svg+xml,{};")}', '.card{a:url("data:image/svg+xml,{};")}'),
        ("[data-theme=dark] .card{a:b}[type=text]{a:b}", "[type=text]{a:b}"),
        (r".w-1\/2{a:b}.card{a:b}", ".card{a:b}"),
        ("/* of v1.2, from a.b */.card{a:b}/* .gone */.gone{a:b}", "/* of v1.2, from a.b */.card{a:b}/* .gone */"),
        (".card{a:b", ".card{a:b"),  # broken: left as it is
        ("", ""),
    ],
)
def test_only_what_may_match_stays(sheet, kept):
    assert trim(sheet, WORDS) == kept


def test_a_sheet_whose_every_word_is_used_stays_as_it_was():
    sheet = (STATIC_DIR / "vendor/tabler/tabler.min.css").read_text(encoding="utf-8").strip()
    everything = Words(frozenset(re.findall(r"[\w-]+", sheet)), ("",))
    assert trim(sheet, everything) == sheet


def test_the_sheet_of_our_pages_keeps_their_classes(app_client):
    whole = (STATIC_DIR / "vendor/tabler/tabler.min.css").read_text(encoding="utf-8")
    base = app_client.get("/static/base.css").text
    assert len(base) < len(whole) / 3
    for name in (
        "card-header",
        "btn-primary",
        "alert-danger",
        "alert-warning",
        "form-select-sm",
        "visually-hidden",
        "table",
        "mb-0",
    ):
        assert re.search(rf"\.{name}\b", whole) and re.search(rf"\.{name}\b", base), name
    for name in ("carousel", "offcanvas", "accordion"):
        assert f".{name}" in whole and f".{name}" not in base, name
