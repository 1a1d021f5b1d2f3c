"""The desk snapshot: numbers only grow, and nothing the recorder could not use gets in."""

import pytest

from callqa.desk import Desk, load_desk, save_desk
from callqa.errors import ConfigError, StateError
from callqa.usecases import people
from callqa.usecases.desk import publish_desk, set_dial_plan, set_realm, set_trunks
from callqa.usecases.routing import set_routing
from tests.store_fixture import make_database
from tests.usecases.ticket_office import T0, make_office

TRUNK = {"name": "中继一", "addresses": ["10.1.2.3", "2001:db8::1"], "host": "10.1.2.3", "port": 5060}


@pytest.fixture
def db(tmp_path):
    return make_office(tmp_path)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "state" / "desk.json"


def test_the_snapshot_holds_everything_and_reads_back(db, path):
    set_trunks(db, [TRUNK], actor="管理员", now_ms=T0)
    set_dial_plan(db, [{"pattern": r"1[3-9]\d{9}", "trunk": "中继一"}], actor="管理员", now_ms=T0)
    set_routing(db, {"inbound_mode": "answer", "hotline_number": "02785550096"}, actor="管理员", now_ms=T0)
    people.sign_in(db, seat_extension="8002", agent_no="801", actor="班长", now_ms=T0)
    desk = publish_desk(db, path, T0)
    assert load_desk(path) == desk
    assert [(s.extension, s.agent_no) for s in desk.seats] == [("8001", None), ("8002", "801")]
    assert (desk.trunks[0].name, desk.dial_plan[0].trunk, desk.routing.inbound_mode) == ("中继一", "中继一", "answer")


def test_numbers_only_grow_even_with_a_new_database(db, path, tmp_path):
    numbers = [publish_desk(db, path, T0).number for _ in range(3)]
    assert numbers == [1, 2, 3]
    fresh = tmp_path / "fresh"
    fresh.mkdir()
    assert publish_desk(make_database(fresh), path, T0).number == 4
    path.unlink()
    assert publish_desk(db, path, T0).number == 4


def test_a_damaged_snapshot_is_replaced(db, path):
    publish_desk(db, path, T0)
    path.write_text("{")
    assert publish_desk(db, path, T0).number == 2
    save_desk(path, Desk(number=70))
    assert publish_desk(db, path, T0).number == 71


def test_a_sign_in_publishes_when_told_where(db, path):
    people.sign_in(db, seat_extension="8001", agent_no="802", actor="班长", now_ms=T0, desk_path=path)
    assert load_desk(path).seats[0].agent_no == "802"
    people.sign_out(db, seat_extension="8001", actor="班长", now_ms=T0 + 1, desk_path=path)
    assert load_desk(path).seats[0].agent_no is None


@pytest.mark.parametrize(
    ("trunk", "part"),
    [
        (TRUNK | {"addresses": ["pbx.local"]}, "不是 IP 地址"),
        (TRUNK | {"name": " "}, "为空或重复"),
        (TRUNK | {"port": 70000}, "端口 70000"),
        (TRUNK | {"adress": []}, "中继填写有误：adress 没有这一项"),
        (TRUNK | {"host": "no such host!"}, "外呼主机“no such host!”不合法"),
        (TRUNK | {"addresses": [], "host": ""}, "至少填一项"),
    ],
)
def test_a_wrong_trunk_is_refused(db, trunk, part):
    with pytest.raises(ConfigError, match=part):
        set_trunks(db, [trunk], actor="管理员", now_ms=T0)


def test_a_hotline_number_that_is_none_is_refused(db):
    with pytest.raises(ConfigError, match="只能有数字"):
        set_routing(db, {"hotline_number": "<sip:x>"}, actor="管理员", now_ms=T0)


def test_the_dial_plan_needs_trunks_that_exist_and_can_send(db):
    rule = {"pattern": r"1\d{10}", "trunk": "中继一"}
    with pytest.raises(ConfigError, match="不存在的中继"):
        set_dial_plan(db, [rule], actor="管理员", now_ms=T0)
    set_trunks(db, [TRUNK | {"host": ""}], actor="管理员", now_ms=T0)
    with pytest.raises(ConfigError, match="只进不出"):
        set_dial_plan(db, [rule], actor="管理员", now_ms=T0)
    set_trunks(db, [TRUNK], actor="管理员", now_ms=T0)
    with pytest.raises(ConfigError, match="正则"):
        set_dial_plan(db, [rule | {"pattern": "1["}], actor="管理员", now_ms=T0)
    set_dial_plan(db, [rule], actor="管理员", now_ms=T0)
    with pytest.raises(ConfigError, match="拨号方案还在用"):
        set_trunks(db, [], actor="管理员", now_ms=T0)


def test_the_realm_is_fixed_once_there_are_seats(db, path, tmp_path):
    with pytest.raises(StateError, match="失效"):
        set_realm(db, "other", actor="管理员", now_ms=T0)
    fresh = tmp_path / "fresh"
    fresh.mkdir()
    empty = make_database(fresh)
    set_realm(empty, "hotline.example", actor="管理员", now_ms=T0)
    assert publish_desk(empty, path, T0).realm == "hotline.example"
