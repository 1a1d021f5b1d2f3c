"""The lines page over what an earlier version stored."""

from callqa.store.tables import DeskSetting


def test_lines_stored_without_newer_fields_open(browser, database):
    with database.write() as session:
        trunk = {"name": "旧中继", "addresses": ["192.0.2.1"], "host": "192.0.2.1", "port": 5060}
        session.add(DeskSetting(key="trunks", value=[trunk]))
        session.add(DeskSetting(key="dial_plan", value=[{"pattern": "1\\d{10}", "trunk": "旧中继"}]))
    answer = browser("admin").get("/people/lines?trunk=旧中继")
    assert answer.status_code == 200
    assert "旧中继" in answer.text
