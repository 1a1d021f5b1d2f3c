"""The routing form and the prompts on the lines page."""

import pytest
from sqlmodel import select

from callqa.desk import DeskRouting, load_desk
from callqa.store.tables import AuditEntry, Seat
from tests.usecases.test_routing import tone

FORM = {
    "inbound_mode": "bridge", "ring_timeout_s": "40", "hotline_number": "96510", "ring_strategy": "longest_idle",
    "ring_each_s": "12", "seat_order": "", "queue_most": "6", "queue_wait_s": "240", "queue_music": "", "notice": "告知.wav",
    "queue_announce": "false", "overflow_number": "", "early_prompts": "false", "pause_allowed": "true",
    "pause_longest_s": "60", "seat_encryption": "off",
}  # fmt: skip


@pytest.fixture
def admin(browser, accounts):
    return browser("admin")


def upload(client, name="告知.wav", data=None):
    return client.post("/people/lines/prompts", files={"file": (name, data or tone(1.0), "audio/wav")})


def test_the_form_sets_every_field_and_the_drawing_follows(admin, settings):
    assert set(FORM) == set(DeskRouting.model_fields)
    upload(admin)
    answer = admin.post("/people/lines/routing", data=FORM)
    assert answer.status_code == 303
    routing = load_desk(settings.desk_path).routing
    assert (routing.ring_strategy, routing.queue_most, routing.notice, routing.pause_allowed) == (
        "longest_idle", 6, "告知.wav", True,
    )  # fmt: skip
    assert (routing.queue_announce, routing.early_prompts) == (False, False)
    html = admin.get("/people/lines").text
    for text in ("先振空闲最久的一席", "最多 6 人排队", "先应答再播放", "录音告知"):
        assert text in html, text
    assert '<option value="longest_idle" selected>' in html


def test_what_was_entered_wrongly_is_shown_again_with_the_reason_and_not_saved(admin, settings):
    admin.post("/people/lines/routing", data={"ring_timeout_s": "30"})
    wrong = {"overflow_number": "110", "ring_timeout_s": "33", "seat_order": "8001，8009"}
    answer = admin.post("/people/lines/routing", data=wrong)
    assert answer.status_code == 422
    assert "“8001”不是席位" in answer.text and 'value="110"' in answer.text and 'value="8001 8009"' in answer.text
    assert load_desk(settings.desk_path).routing.ring_timeout_s == 30
    assert admin.post("/people/lines/routing", data={"ring_timeout_s": "abc"}).status_code == 422
    assert "振铃上限（秒） 应为整数" in admin.post("/people/lines/routing", data={"ring_timeout_s": ""}).text


def test_fields_that_a_form_does_not_send_stay(admin, settings, database):
    with database.write() as session:
        session.add(Seat(extension="8001", ha1_md5="0" * 32, ha1_sha256="0" * 64))
    upload(admin)
    admin.post("/people/lines/routing", data={**FORM, "seat_order": "8001"})
    admin.post("/people/lines/routing", data={"hotline_number": "12345"})
    routing = load_desk(settings.desk_path).routing
    assert (routing.hotline_number, routing.seat_order, routing.queue_most) == ("12345", ("8001",), 6)


def test_a_prompt_is_uploaded_heard_replaced_and_deleted(admin, browser, settings, database):
    assert upload(admin).status_code == 303
    page = browser("client_supervisor")
    heard = page.get("/people/lines/prompts/告知.wav")
    assert heard.headers["content-type"] == "audio/wav" and heard.content[:4] == b"RIFF"
    assert len(heard.content) == 44 + 8000 * 2
    assert upload(admin, data=tone(2.0)).status_code == 303
    assert len(page.get("/people/lines/prompts/告知.wav").content) == 44 + 16_000 * 2
    admin.post("/people/lines/routing", data={"notice": "告知.wav"})
    admin.post("/people/lines/prompts/告知.wav/remove")
    assert "正用作录音告知" in admin.get("/people/lines").text
    admin.post("/people/lines/routing", data={"notice": ""})
    admin.post("/people/lines/prompts/告知.wav/remove")
    assert page.get("/people/lines/prompts/告知.wav").status_code == 404
    with database.read() as session:
        actions = [e.action for e in session.exec(select(AuditEntry)) if e.action.startswith("prompt.")]
    assert actions == ["prompt.save", "prompt.save", "prompt.remove"]


@pytest.mark.parametrize("name", ["../desk.json", "..%2Fdesk.json", "desk.json", ".wav"])
def test_nothing_else_can_be_read_by_a_prompts_name(admin, settings, name):
    admin.post("/people/lines/routing", data={"ring_timeout_s": "30"})  # there is a desk.json now
    assert admin.get(f"/people/lines/prompts/{name}").status_code in (404, 405)


def test_an_upload_that_is_no_audio_is_refused_with_a_reason(admin):
    upload(admin, "a.wav", b"no audio at all")
    assert "不是能识别的音频" in admin.get("/people/lines").text
    assert admin.post("/people/lines/prompts").status_code in (400, 422)


def test_who_may_only_look_gets_no_form_and_cannot_post(browser, accounts):
    page = browser("client_supervisor")
    html = page.get("/people/lines").text
    assert "保存来电路由" not in html and '/people/lines/prompts"' not in html
    assert upload(page).status_code == 403
    assert page.post("/people/lines/routing", data=FORM).status_code == 403
    assert page.post("/people/lines/prompts/a.wav/remove").status_code == 403


def test_a_trunk_has_its_term_its_encryption_and_its_transfers(admin, settings):
    line = {
        "name": "电信",
        "host": "10.0.8.2",
        "expires_s": "1800",
        "media_encryption": "required",
        "refer_allowed": "true",
    }
    admin.post("/people/lines/trunks", data=line)
    trunk = load_desk(settings.desk_path).trunks[0]
    assert (trunk.expires_s, trunk.media_encryption, trunk.refer_allowed) == (1800, "required", True)
    assert 'value="1800"' in admin.get("/people/lines", params={"trunk": "电信"}).text
    admin.post("/people/lines/trunks", data={"name": "电信", "expires_s": "30"})
    assert "登记有效期（秒） 应不小于 60" in admin.get("/people/lines").text
