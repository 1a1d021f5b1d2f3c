"""The pages with the framework's sheet as it is served, without the rules that they cannot match, look as with the whole of it."""

import pytest
from playwright.sync_api import Page, Route

from callqa.web.app import STATIC_DIR
from tests.browser.conftest import FIRST

# Both looks are taken of one document in one go: no script, timer or answer comes between them. Two loads of a page, each
# looked at when it was loaded, differed on a busy machine by what its scripts had or had not yet put there (the waveform, the
# recording's length, 暂存于). Without transitions, so that a changed rule shows at once.
STILL = "*, *::before, *::after { transition: none !important; animation: none !important; }"
ADD_WHOLE = """async () => {
  const served = document.querySelector('link[href*="/static/base.css"]');
  for (const [id, path] of [['whole', '/static/whole.css'], ['still', '/static/still.css']]) {
    const link = document.createElement('link');
    link.rel = 'stylesheet'; link.id = id; link.href = path;
    await new Promise((done, failed) => { link.onload = done; link.onerror = failed; served.after(link); });
  }
}"""
LOOKS = """() => {
  const props = ['display', 'position', 'color', 'backgroundColor', 'backgroundImage', 'fontSize', 'fontWeight', 'lineHeight', 'letterSpacing',
    'borderTopWidth', 'borderTopColor', 'borderLeftWidth', 'borderRadius', 'boxShadow', 'opacity', 'textDecorationLine', 'cursor', 'gap', 'visibility'];
  const look = () => [...document.querySelectorAll('body, body *')].map((e) => {
    const s = getComputedStyle(e), b = e.getBoundingClientRect();
    return [e.tagName, e.className && String(e.className.baseVal ?? e.className), ...props.map((p) => s[p]), ...[b.x, b.y, b.width, b.height].map(Math.round)].join('|');
  });
  const served = document.querySelector('link[href*="/static/base.css"]'), whole = document.getElementById('whole');
  const use = (one, other) => { one.sheet.disabled = false; other.sheet.disabled = true; return look(); };
  return [use(served, whole), use(whole, served), use(served, whole)];
}"""
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


def whole_sheet() -> str:
    """What base.css would be without trimming."""
    sheets = (STATIC_DIR / "vendor/tabler/tabler.min.css", STATIC_DIR / "app.css")
    return "".join(sheet.read_text(encoding="utf-8") for sheet in sheets)


def serve_whole(page: Page, sheet: str) -> None:
    """Answer the two sheets that ADD_WHOLE asks for."""

    def answer(route: Route) -> None:
        body = sheet if route.request.url.endswith("/whole.css") else STILL
        route.fulfill(body=body, content_type="text/css")

    for name in ("whole", "still"):
        page.route(f"**/static/{name}.css", answer)


@pytest.mark.slow
def test_pages_look_as_with_the_whole_sheet(sign_in):
    page = sign_in("shift_leader")
    page.emulate_media(reduced_motion="reduce")
    serve_whole(page, whole_sheet())
    page.goto(f"/evaluate/call/{FIRST}")  # the draft that other pages tell of
    for path in PATHS:
        page.goto(path)
        page.evaluate(ADD_WHOLE)
        served, with_whole, again = page.evaluate(LOOKS)
        assert len(served) > 100
        assert served == again, f"{path}: nothing else changed meanwhile"
        for one, other in zip(served, with_whole, strict=True):
            assert one == other, path


@pytest.mark.slow
def test_a_rule_that_is_missing_is_seen(sign_in):
    """The comparison itself: one rule more in the whole sheet, on what every page has."""
    page = sign_in("shift_leader")
    serve_whole(page, whole_sheet() + ".cq-me { letter-spacing: 3px; }")
    page.goto("/calls")
    page.evaluate(ADD_WHOLE)
    served, with_whole, again = page.evaluate(LOOKS)
    assert served == again != with_whole
