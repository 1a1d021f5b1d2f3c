"""Files under static/: what the browser may keep, and that no page names one that is not there."""

import gzip
import re

import pytest

from callqa.web.app import STATIC_DIR
from callqa.web.assets import BUNDLES, load_assets
from callqa.web.templating import TEMPLATES_DIR

ASSETS = load_assets(STATIC_DIR)


def test_a_file_with_its_hash_in_the_address_is_kept_for_ever(app_client):
    address = ASSETS.address("app.css")
    answer = app_client.get(address)
    assert answer.content == (STATIC_DIR / "app.css").read_bytes()
    assert "immutable" in answer.headers["cache-control"]
    assert answer.headers["content-type"].startswith("text/css")
    for other in ("/static/app.css", "/static/app.css?v=0.1.0"):  # an old page's address: asked again each time
        assert app_client.get(other).headers["cache-control"] == "no-cache"
    again = app_client.get(address, headers={"If-None-Match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_it_is_compressed_for_who_can_read_that(app_client):
    body = (STATIC_DIR / "app.css").read_bytes()
    with app_client.stream("GET", ASSETS.address("app.css")) as answer:
        raw = b"".join(answer.iter_raw())
    assert answer.headers["content-encoding"] == "gzip" and answer.headers["vary"] == "Accept-Encoding"
    assert len(raw) < len(body) / 3 and gzip.decompress(raw) == body
    plain = app_client.get("/static/app.css", headers={"Accept-Encoding": "identity"})
    assert "content-encoding" not in plain.headers and plain.content == body


@pytest.mark.parametrize("path", ["nothing.css", "", "../app.py", "..%2fapp.py", "vendor/../../app.py"])
def test_nothing_else_is_served(app_client, path):
    assert app_client.get(f"/static/{path}").status_code == 404
    assert app_client.post("/static/app.css").status_code == 405


def test_every_page_names_files_that_are_there_by_their_hash():
    named = 0
    for template in TEMPLATES_DIR.rglob("*.html"):
        text = template.read_text(encoding="utf-8")
        assert not re.search(r"[\"']/static/", text), template
        for path in re.findall(r'asset\("([^"]+)"\)', text):
            assert ASSETS.address(path)
            named += 1
    assert named > 25


def test_what_is_loaded_together_is_one_file(app_client):
    for name, parts in BUNDLES.items():
        assert app_client.get(f"/static/{name}").text == "\n".join(
            app_client.get(f"/static/{part}").text for part in parts
        )
        assert not (STATIC_DIR / name).exists(), "a bundle must not hide a file"
