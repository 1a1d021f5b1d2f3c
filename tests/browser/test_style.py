"""The pages with the framework's sheet as it is served, without the rules that they cannot match, look as with the whole of it."""

import pytest

from callqa.web.app import STATIC_DIR
from tests.browser.conftest import FIRST

LOOKS = """() => [...document.querySelectorAll('body, body *')].map((e) => {
  const s = getComputedStyle(e), b = e.getBoundingClientRect();
  const props = ['display', 'position', 'color', 'backgroundColor', 'backgroundImage', 'fontSize', 'fontWeight', 'lineHeight', 'letterSpacing',
    'borderTopWidth', 'borderTopColor', 'borderLeftWidth', 'borderRadius', 'boxShadow', 'opacity', 'textDecorationLine', 'cursor', 'gap', 'visibility'];
  return [e.tagName, e.className && String(e.className.baseVal ?? e.className), ...props.map((p) => s[p]), ...[b.x, b.y, b.width, b.height].map(Math.round)].join('|');
})"""
PATHS = (
    "/",
    "/calls",
    f"/calls/{FIRST}",
    f"/evaluate/call/{FIRST}",
    "/rubrics/draft",
    "/people",
    "/account/password",
    "/sampling/2026-11",
)


@pytest.mark.slow
def test_pages_look_as_with_the_whole_sheet(sign_in):
    page = sign_in("shift_leader")
    page.emulate_media(reduced_motion="reduce")
    whole = (STATIC_DIR / "vendor/tabler/tabler.min.css").read_text(encoding="utf-8")
    own = (STATIC_DIR / "app.css").read_text(encoding="utf-8")

    def looks(path: str) -> list[str]:
        page.goto(path)
        found: list[str] = page.evaluate(LOOKS)
        return found

    page.goto(f"/evaluate/call/{FIRST}")  # the draft that other pages tell of
    served = [looks(path) for path in PATHS]
    page.route("**/static/base.css*", lambda route: route.fulfill(body=whole + own, content_type="text/css"))
    for path, as_served in zip(PATHS, served, strict=True):
        assert len(as_served) > 100
        for one, other in zip(as_served, looks(path), strict=True):
            assert one == other, path
