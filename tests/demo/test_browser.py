"""The screenless browser reads forms as a browser would."""

from callqa.demo.browser import _FormReader

PAGE = """
<form method="post" action="/evaluate/7">
 <input type="hidden" name="version" value="3">
 <input name="at:S1.1:a" value=""><textarea name="summary">
好的</textarea>
 <input type="checkbox" name="d:S1.1:a" value="1"><input type="checkbox" name="na:S2.3" value="1" checked>
 <input type="radio" name="s:4" value="accepted"><input type="radio" name="s:4" value="rejected" checked>
 <select name="t:S1.1:a"><option value="1">一</option><option value="2" selected>二</option></select>
 <fieldset><input name="locked" value="x" disabled></fieldset>
 <button type="submit" name="action" value="submit">提交</button>
</form><form action="/logout" method="post"></form>
"""


def test_a_form_sends_what_stands_in_it_and_knows_its_choices() -> None:
    reader = _FormReader()
    reader.feed(PAGE)
    form = reader.forms[0]
    assert (form.action, form.method) == ("/evaluate/7", "post")
    assert dict(form.fields) == {
        "version": "3", "at:S1.1:a": "", "summary": "好的", "na:S2.3": "1", "s:4": "rejected", "t:S1.1:a": "2",
    }  # fmt: skip
    assert form.choices["s:4"] == ["accepted", "rejected"]
    assert form.checkboxes == [("d:S1.1:a", "1")]
    assert form.buttons == [("action", "submit")]
    form.set("s:4", "accepted")
    assert form.get("s:4") == "accepted"
    assert len(reader.forms) == 2
