"""检索: the page, its filters, rights and export."""

from urllib.parse import quote

import pytest
from sqlmodel import select

from callqa.store.tables import AuditEntry, Call, UtteranceRow
from callqa.usecases.reindex import index_missing

NUMBER = "幺三八七幺二零六三五八"


@pytest.fixture
def indexed(month, database):
    with database.write() as session:
        line = session.exec(select(UtteranceRow).where(UtteranceRow.text.startswith("让您久等"))).first()
        line.text = f"让您久等了，您的电话是{NUMBER}对吗？"
        session.add(line)
    index_missing(database)
    return month


def actions(database):
    with database.read() as session:
        return [entry.action for entry in session.exec(select(AuditEntry).order_by(AuditEntry.sequence))]


def test_words_are_found_marked_and_lead_to_their_place(browser, indexed):
    page = browser("shift_leader").get("/search?q=" + quote("水管 宝丰路")).text
    assert f'href="/calls/{indexed}?t=5000"' in page
    assert "<mark>宝丰路</mark>" in page
    assert "<mark>水管</mark>" in page
    assert "共 " in page


def test_an_agent_finds_own_calls_only(browser, indexed, database):
    address = "/search?q=" + quote("宝丰路")
    assert indexed not in browser("agent").get(address).text  # 805 took it
    with database.write() as session:
        for call in session.exec(select(Call)):
            call.agent_no = "801"
            session.add(call)
    assert indexed in browser("agent").get(address).text
    assert browser("agent").get("/search.csv?q=" + quote("宝丰路")).status_code == 403
    assert browser("admin").get(address).status_code == 403


def test_filters_narrow_a_search(browser, indexed):
    leader = browser("shift_leader")
    base = "/search?q=" + quote("宝丰路")
    for more, found in (
        ("&speaker=citizen", True),
        ("&speaker=unknown", False),
        ("&from=2026-11-06&to=2026-11-06", True),
        ("&from=2026-11-07", False),
        ("&to=2026-11-05", False),
        ("&agent=805", True),
        ("&agent=801", False),
        ("&ticket=SW000", False),
    ):
        assert (indexed in leader.get(base + more).text) is found, more
    assert "没有找到" in leader.get("/search?q=" + quote("不曾说过")).text
    assert "没有可检索的字" in leader.get("/search?q=" + quote("，。")).text
    assert "颠倒" in leader.get(base + "&from=2026-11-07&to=2026-11-01").text
    assert leader.get(base + "&from=rubbish").status_code < 500


def test_a_number_is_found_by_who_may_and_that_is_noted(browser, indexed, database):
    address = "/search?q=13871206358"
    leader, supervisor = browser("shift_leader"), browser("client_supervisor")
    assert indexed not in supervisor.get(address).text
    assert "search.private" not in actions(database)
    page = leader.get(address).text
    assert indexed in page
    assert "<mark>幺三八****六三五八</mark>" in page
    assert NUMBER not in page
    assert actions(database)[-1] == "search.private"
    with database.read() as session:
        details = str([entry.detail for entry in session.exec(select(AuditEntry))])
    assert "13871206358" not in details


def test_results_are_exported_masked_and_noted(browser, indexed, database):
    answer = browser("client_supervisor").get("/search.csv?q=" + quote("电话"))
    text = answer.content.decode("utf-8-sig")
    assert text.splitlines()[0] == "通话编号,开始时间,坐席,工单,位置,说话人,语句"
    assert indexed in text
    assert "电话是幺三八****六三五八对吗" in text
    assert actions(database)[-1] == "search.export"


def test_the_call_list_shows_no_private_number_either(browser, indexed):
    page = browser("shift_leader").get("/calls?month=2026-11&words=" + quote("电话是")).text
    assert "幺三八****六三五八" in page
    assert NUMBER not in page
    assert NUMBER not in browser("client_supervisor").get("/calls?month=2026-11&words=" + quote(NUMBER)).text


@pytest.mark.parametrize("address", ["/search?q=%00", "/search?q=x&agent=80%00", "/calls?agent=%00", "/calls/C%00"])
def test_an_address_with_a_character_that_no_database_keeps_is_refused(browser, indexed, address):
    answer = browser("shift_leader").get(address)
    assert answer.status_code == 400
    assert "重新打开" in answer.text


def test_a_number_asked_for_in_small_pieces_is_noted_as_well(browser, indexed, database):
    browser("shift_leader").get("/search?q=" + quote("138 712 063 58"))
    assert actions(database)[-1] == "search.private"
    browser("shift_leader").get("/search?q=" + quote("第3次 宝丰路"))
    assert actions(database).count("search.private") == 1


@pytest.mark.parametrize(
    "q", ["%", "_", "\\", '"', "' OR 1", "水*", "水" * 200, "水 " * 100, "😀", "\u202e水", "㍿", "𠀀"]
)
@pytest.mark.parametrize("role", ["shift_leader", "agent", "client_supervisor"])
def test_whatever_is_searched_a_page_comes(browser, indexed, role, q):
    client = browser(role)
    for more in ("", "&page=9999999", "&page=%C2%B2", "&page=-1", "&speaker=%27", "&agent=%25", "&ticket=%25_"):
        assert client.get(f"/search?q={quote(q)}{more}").status_code == 200, more
    for more in ("&from=0001-01-01", "&to=9999-12-31", "&from=abc"):
        assert client.get(f"/search?q={quote(q)}{more}").status_code in (400, 422), more


def test_a_note_of_viewing_that_is_no_number_shows_nothing(browser, indexed):
    page = browser("shift_leader").get(f"/calls/{indexed}?shown=%C2%B2")
    assert page.status_code == 200
    assert NUMBER not in page.text
