"""`callqa asr check`: every thing that can be wrong has its own line and its own advice; a site's engine is one file."""

from pathlib import Path

import pytest

from callqa.errors import EngineError
from callqa.transcribe import checkup
from callqa.transcribe.checkup import check_speech, word_model_finding
from callqa.transcribe.engine import Engine
from callqa.transcribe.engines import find_loader
from callqa.transcribe.repair import build_repairer
from callqa.transcribe.vocabulary import Vocabulary
from tests.fakes_engine import FakeEngine
from tests.transcribe.test_model import folder
from tests.transcribe.word_models import SMALL_WORD_MODEL, Unigrams


def load_fake(model_dir: Path, *, device: str, compute_type: str, threads: int) -> Engine:
    """A site's own engine, as the setting speech.engine would name it."""
    return FakeEngine()


def load_broken(model_dir: Path, *, device: str, compute_type: str, threads: int) -> Engine:
    raise EngineError("显存不足；请把设置 speech.device 改为 cpu")


def test_a_missing_model_ends_the_check_with_advice(tmp_path: Path) -> None:
    found = list(check_speech(load_fake, tmp_path / "none"))
    assert [f.subject for f in found] == ["模型", "词模型"] and found[0].level == "missing"
    assert "callqa model install" in found[0].text


def test_an_engine_that_does_not_load_says_why(tmp_path: Path) -> None:
    found = {f.subject: f for f in check_speech(load_broken, folder(tmp_path / "m"))}
    assert found["语种"].text.startswith("多语种")
    assert (found["引擎"].level, found["引擎"].text) == ("missing", "显存不足；请把设置 speech.device 改为 cpu")
    assert "试听样本" not in found


def test_an_engine_that_talks_nonsense_is_told_by_the_sample(tmp_path: Path) -> None:
    found = {f.subject: f for f in check_speech(load_fake, tmp_path, needs_model=False)}
    assert found["试听样本"].level == "missing" and "听不懂" in found["试听样本"].remedy
    assert "模型" not in found, "an engine of the site's own may need no Whisper folder"


def test_a_slow_machine_is_told_what_to_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkup, "SLOW", 0.0)
    found = {f.subject: f for f in check_speech(load_fake, tmp_path, needs_model=False)}
    assert found["速度"].level == "warn" and "speech.threads" in found["速度"].remedy


@pytest.mark.parametrize(
    ("there", "set_by_site", "advice"),
    [(False, False, "apt install"), (True, False, "重新安装"), (True, True, "改正设置"), (False, True, "改正设置")],
)
def test_language_data_that_cannot_be_used_say_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: bool, set_by_site: bool, advice: str
) -> None:
    place = tmp_path / "zh_CN.lm"
    if there:
        place.write_bytes(b"no model")
    monkeypatch.setattr("callqa.transcribe.language.USUAL_PLACES", (place,))
    found = word_model_finding(place if set_by_site else None)
    assert found.level == "warn" and advice in found.remedy


def test_words_that_nobody_can_tell_apart_are_named(tmp_path: Path) -> None:
    repairer = build_repairer(Unigrams(), Vocabulary({"三阳路": -4.6, "山阳路": -4.6}, ""))
    found = {f.subject: f for f in check_speech(load_fake, tmp_path, needs_model=False, repairer=repairer)}
    assert found["词表"].level == "warn" and "三阳路／山阳路" in found["词表"].text


def test_language_data_that_can_be_used_are_named() -> None:
    found = word_model_finding(SMALL_WORD_MODEL)
    assert found.level == "well" and found.text.startswith("words/small.lm ")


def test_an_engine_of_the_site_is_one_file_named_in_the_setting(tmp_path: Path) -> None:
    engine = find_loader("tests.transcribe.test_checkup:load_fake")(tmp_path, device="cpu", compute_type="", threads=1)
    assert engine.name == "fake 1"


@pytest.mark.parametrize(
    ("name", "said"), [("wisper", "没有“wisper”"), ("no.such:load", "装不上"), ("json:no_such", "没有函数 no_such")]
)
def test_a_wrong_engine_name_says_which_part(name: str, said: str) -> None:
    with pytest.raises(EngineError, match=said):
        find_loader(name)


def test_the_check_looks_at_the_sites_own_words_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from callqa import cli_speech
    from callqa.config import Settings, SpeechSettings
    from callqa.store.db import Database
    from callqa.store.tables import VocabularyVersion
    from callqa.usecases import vocabulary
    from tests.store_fixture import make_database

    asked: list[tuple[str, ...]] = []
    monkeypatch.setattr(vocabulary, "make_repairer", lambda text, model, words: asked.append(words))
    engine = SpeechSettings(engine="tests.transcribe.test_checkup:load_broken")
    make_database(tmp_path).dispose()
    fresh = Settings(home=tmp_path / "fresh", speech=engine)
    url = f"sqlite:///{tmp_path / 'callqa.db'}"
    used = Settings(home=tmp_path, speech=engine, database={"url": url})
    db = Database(url)
    with db.write() as session:
        session.add(VocabularyVersion(version=1, words=["泵站"], change="收入", made_by="leader", made_at_ms=1))
    db.dispose()
    (tmp_path / "broken.db").write_bytes(b"no database")
    broken = Settings(home=tmp_path, speech=engine, database={"url": f"sqlite:///{tmp_path / 'broken.db'}"})
    for settings in (fresh, used, broken):
        cli_speech._asr(settings, None)  # type: ignore[arg-type]  # no arguments are read
    assert asked == [(), ("泵站",), ()]
    assert not (tmp_path / "fresh").exists(), "a check makes nothing"
