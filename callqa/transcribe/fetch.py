"""A model folder from the network: the hub, a mirror, ModelScope, or a plain folder on a web server; for `model fetch`.

The files gather in a hidden folder beside the target, small ones first, so that a model of the wrong kind is refused before
its gigabytes are fetched. The folder takes its name by one rename when every file is whole, checked and loadable; until
then nothing can use it, and a broken-off fetch goes on from where it was.
"""

import fcntl
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import quote, urlsplit, urlunsplit

from callqa.errors import EngineError
from callqa.refusals import os_reason
from callqa.transcribe.addresses import check_scheme
from callqa.transcribe.download import Tools, Wanted, download
from callqa.transcribe.model import MODEL_FILE, VOCABULARIES, ModelFacts, check_multilingual, inspect_model

MOST_SMALL_BYTES: Final = 64 << 20  # vocabulary.json of the largest model has 1 MB
MOST_MODEL_BYTES: Final = 16 << 30  # large-v3 in float32 has 6 GB
SOURCE_NOTE: Final = "callqa-source.json"
_JSON_FILES: Final = ("config.json", "tokenizer.json", "preprocessor_config.json", "vocabulary.json")
_HEX = re.compile(r"[0-9a-f]{64}")
_SUM_LINE = re.compile(r"([0-9a-fA-F]{64})[ \t]+[* ]?(?:\./)?(\S+)")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_HUBS: Final = {"huggingface.co": "main", "www.huggingface.co": "main", "hf-mirror.com": "main"}
_MODELSCOPE: Final = ("modelscope.cn", "www.modelscope.cn", "modelscope.com", "www.modelscope.com")

Report = Callable[[str, int, int], None]  # file name, bytes so far, bytes in all


@dataclass(frozen=True, slots=True)
class Fetched:
    """What came. checked: the names whose SHA-256 was given and fits; told: those whose SHA-256 is the one the server told."""

    facts: ModelFacts
    checked: tuple[str, ...]
    told: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Order:
    """What to fetch and where to. sums: file name -> SHA-256 that it must have; try_out: raises when it cannot run."""

    url: str
    target: Path
    sums: Mapping[str, str] = field(default_factory=dict)
    try_out: Callable[[Path], object] = lambda folder: None


def fetch_model(order: Order, tools: Tools, report: Report = lambda name, done, total: None) -> Fetched:
    """Fetch, check and put the model in place. Raise EngineError in Chinese; what has arrived is kept for the next run."""
    check_scheme(order.url)
    target = order.target
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise EngineError(f"{target} 已存在，不会覆盖。请用 --name 换个名字，或先移走它。")
    gathering = target.with_name(f".{target.name}.fetch")
    try:
        gathering.mkdir(parents=True, exist_ok=True)
        with _alone(gathering), _gone_if_nothing_came(gathering):
            _of_one_source(gathering, order.url)
            checked, told = _gather(order, gathering, tools, report)
            facts = inspect_model(gathering)
            try:
                order.try_out(gathering)
            except EngineError:
                (
                    gathering / MODEL_FILE
                ).unlink()  # cut short by a server that lied about its length, or no model at all
                raise
            _publish(gathering, target, _source_note(order, facts, told))
    except OSError as e:
        raise EngineError(f"写不进 {gathering}：{os_reason(e)}。请检查磁盘空间与权限。") from e
    return Fetched(inspect_model(target), checked, told)


def file_url(url: str, name: str) -> str:
    """Where a file of the model lies, from the page of a model library or the address of a folder."""
    parts = urlsplit(url)
    path = parts.path.rstrip("/")
    host = (parts.hostname or "").lower()
    path = re.sub(r"/(?:tree|blob)/([^/]+)$", r"/resolve/\1", path)
    segments = [s for s in path.split("/") if s]
    if host in _HUBS and len(segments) == 2:
        path += f"/resolve/{_HUBS[host]}"
    if host in _MODELSCOPE:
        path = re.sub(r"/(?:summary|files)$", "", path)
        if "resolve" not in segments:
            path += "/resolve/master"
    return urlunsplit((parts.scheme, parts.netloc, f"{path}/{quote(name)}", parts.query, ""))


def model_name(url: str) -> str:
    """A folder name from the address. Raise EngineError when it gives none."""
    path = re.sub(r"/(?:resolve|tree|blob)/[^/]+$", "", urlsplit(url).path.rstrip("/"))
    path = re.sub(r"/(?:summary|files)$", "", path)
    name = path.rsplit("/", 1)[-1]
    if not _NAME.fullmatch(name):
        raise EngineError(f"从地址 {url[:200]} 看不出模型的名字；请用 --name 指定（字母、数字、点、横线）。")
    return name


def check_name(name: str) -> str:
    """The name, if a folder may have it. Raise EngineError."""
    if not _NAME.fullmatch(name):
        raise EngineError(f"名字“{name}”不合用；请用字母、数字、点、下划线与横线，不以点开头。")
    return name


def read_sums(text: str) -> dict[str, str]:
    """File name -> SHA-256 from lines as sha256sum writes them. Raise EngineError for a line that is none."""
    sums: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        found = _SUM_LINE.fullmatch(line.strip())
        if found is None:
            raise EngineError(f"校验和清单第 {number} 行看不懂；应如 sha256sum 的输出：64 位十六进制、空格、文件名。")
        sums[found[2].rsplit("/", 1)[-1]] = found[1].lower()
    if not sums:
        raise EngineError("校验和清单里没有一行校验和。")
    return sums


def check_sum(text: str) -> str:
    """A SHA-256 as given on the command line. Raise EngineError."""
    if not _HEX.fullmatch(text.lower()):
        raise EngineError(f"校验和“{text[:80]}”不是 64 位十六进制的 SHA-256。")
    return text.lower()


def _gather(order: Order, folder: Path, tools: Tools, report: Report) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names of the files whose SHA-256 was given, and of those whose SHA-256 the server told."""
    checked: list[str] = []
    told: list[str] = []

    def get(name: str, *, optional: bool = False, most: int = MOST_SMALL_BYTES) -> bool:
        wanted = Wanted(file_url(order.url, name), folder / name, most, order.sums.get(name, ""), optional)
        arrived = download(wanted, tools, lambda done, total: report(name, done, total))
        if arrived is None:
            return False
        if name in _JSON_FILES:
            _check_json(wanted)
        if wanted.sha256:
            checked.append(name)
        if arrived.told:
            told.append(name)
        return True

    get("config.json")
    get("tokenizer.json")
    vocabulary = next((name for name in VOCABULARIES if get(name, optional=True)), None)
    if vocabulary is None:
        raise EngineError(f"{order.url} 没有 {' 或 '.join(VOCABULARIES)}，不是 CTranslate2 格式的 Whisper 模型。")
    try:
        check_multilingual(order.url, folder / vocabulary)
    except EngineError:
        for name in ("config.json", "tokenizer.json", vocabulary):
            (folder / name).unlink()
        raise
    get("preprocessor_config.json", optional=True)
    get(MODEL_FILE, most=MOST_MODEL_BYTES)
    missing = sorted((set(order.sums) - set(checked)) & {*_JSON_FILES, *VOCABULARIES, MODEL_FILE})
    if missing:
        raise EngineError(f"校验和清单里有 {'、'.join(missing)}，服务器上没有。请核对清单与地址。")
    return tuple(checked), tuple(told)


def _check_json(wanted: Wanted) -> None:
    """A web page instead of the file is the usual mistake. Takes the file away, so that the next run asks again."""
    try:
        json.loads(wanted.target.read_text(encoding="utf-8"))
    except ValueError as e:
        wanted.target.unlink()
        raise EngineError(f"{wanted.url} 给的不是 JSON 文件，可能是一个网页（登录页、目录页）。请核对地址。") from e


def _of_one_source(gathering: Path, url: str) -> None:
    """What an earlier fetch of another address left is thrown away: files of two models must never mix."""
    note = gathering / SOURCE_NOTE
    try:
        same = json.loads(note.read_text(encoding="utf-8")).get("url") == url
    except (OSError, ValueError, AttributeError):
        same = False
    if not same:
        for path in gathering.iterdir():
            if path.name != _LOCK:
                path.unlink()
        note.write_text(json.dumps({"url": url}), encoding="utf-8")


def _source_note(order: Order, facts: ModelFacts, told: Sequence[str]) -> dict[str, object]:
    """checked: against a sum that was given; told: against the server's own."""
    return {
        "url": order.url,
        "model_sha256": facts.sha256,
        "checked": bool(order.sums.get(MODEL_FILE)),
        "told": MODEL_FILE in told,
    }


def _publish(gathering: Path, target: Path, note: Mapping[str, object]) -> None:
    (gathering / SOURCE_NOTE).write_text(json.dumps(note), encoding="utf-8")
    (gathering / _LOCK).unlink()
    for path in gathering.iterdir():
        _sync(path)
    if target.exists():
        target.rmdir()
    gathering.rename(target)
    _sync(target.parent)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


_LOCK: Final = ".lock"


@contextmanager
def _gone_if_nothing_came(gathering: Path) -> Iterator[None]:
    """A wrong address leaves no folder behind."""
    try:
        yield
    except EngineError:
        if {path.name for path in gathering.iterdir()} <= {_LOCK, SOURCE_NOTE}:
            shutil.rmtree(gathering)
        raise


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    with open(folder / _LOCK, "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise EngineError(f"另一个下载正在进行（{folder}）；请等它结束。") from None
        yield
