"""What a test needs and does not find: skipped on a bare machine, failed where everything is required."""

import pytest

from tests.conftest import lack, need_tool


@pytest.mark.parametrize(("required", "ends"), [("1", pytest.fail.Exception), ("", pytest.skip.Exception)])
def test_what_is_lacking_is_named(required: str, ends: type[BaseException], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CALLQA_TESTS_REQUIRE_ALL", required)
    with pytest.raises(ends, match="baresip with its SRTP module"):
        lack("baresip with its SRTP module")
    with pytest.raises(ends, match="no-such-program"):
        need_tool("no-such-program")
