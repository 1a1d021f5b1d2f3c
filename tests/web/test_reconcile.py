"""核对话单 in the web: upload, result, masked numbers, the result as a file."""

import re

from callqa.store.tables import Call
from tests import builders

CDR = """开始时间,主叫,被叫,状态,通话时长
2026-11-06 07:22:10,13871206358,02796510,ANSWERED,54
2026-11-06 08:00:00,13700001111,02796510,ANSWERED,30
2026-11-06 08:10:00,13700002222,02796510,NO ANSWER,0
2026-11-06 08:10:00,137****2222,02796510,NO ANSWER,0
"""


def upload(client, data: str = CDR, **form):
    return client.post("/reconcile", files={"file": ("cdr.csv", data.encode(), "text/csv")}, data=form)


def test_missing_recordings_are_shown(browser, month, database):
    with database.write() as session:
        builders.add_call(session, "OURS", builders.at("2026-11-06 07:40:00"), citizen_number="13655556666")
    client = browser("shift_leader")
    assert "核对话单" in client.get("/calls").text and "核对话单" in client.get("/system").text
    html = upload(client).text
    assert "缺录音 1 通" in html and "13700001111" in html and "已脱敏" in html
    assert "缺录音 1 行" in html and "另有 1 通，本系统有而话单里没有" in html
    assert '/calls/OURS"' in html, "ours that the PBX does not know"
    masked = upload(browser("client_supervisor")).text
    assert "13700001111" not in masked and "137****1111" in masked and "13655556666" not in masked
    assert upload(browser("agent")).status_code == 403


def test_a_list_without_gaps(browser, month):
    html = upload(browser("admin"), "\n".join(CDR.splitlines()[:2])).text
    assert "每个接通的通话都有录音或说明了原因" in html and "没有要处理的" in html


def test_what_cannot_be_read_is_said_on_the_form(browser, month):
    client = browser("shift_leader")
    for form, data in (({}, "a,b\n1,2\n"), ({"first": "昨天"}, CDR), ({"columns": "甲乙"}, CDR), ({}, "")):
        answer = upload(client, data, **form)
        assert answer.status_code == 400 and 'role="alert"' in answer.text, form


def test_the_result_as_a_file_and_a_mapping_that_stays(browser, month, database):
    client = browser("shift_leader")
    answer = upload(client, CDR.replace("主叫", "甲"), answer="csv", columns="甲=主叫")
    assert answer.headers["content-type"].startswith("text/csv") and "13700001111" in answer.text
    assert upload(client, answer="xlsx").content[:2] == b"PK"
    assert re.search(r">甲=from_number\s*</textarea>", client.get("/reconcile").text)
    assert upload(client, CDR.replace("主叫", "甲")).status_code == 200
    page = upload(browser("client_supervisor"), answer="csv")
    assert "13700001111" not in page.text, "who may not see numbers gets no file of them"
    with database.read() as session:
        assert session.get(Call, month) is not None
