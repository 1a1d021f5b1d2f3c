"""Fetching a model from servers that break off, lie, ignore ranges, redirect: whole and checked, or nothing usable."""

import hashlib
import json
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from callqa.cli import main
from callqa.errors import EngineError
from callqa.transcribe.download import Tools
from callqa.transcribe.fetch import Fetched, Order, check_name, check_sum, fetch_model, file_url, model_name, read_sums
from callqa.transcribe.model import inspect_model
from tests.conftest import need_tool

WEIGHTS = bytes(range(256)) * 2000
SHA = hashlib.sha256(WEIGHTS).hexdigest()
VOCABULARY = json.dumps([f"t{i}" for i in range(51_864)] + ["<|zh|>"]).encode()


@dataclass
class Behaviour:
    """How the server treats model.bin. cut: bytes of each answer before it breaks off, taken in turn (None: all)."""

    cuts: list[int | None] = field(default_factory=list)
    ranges: bool = True
    etag: str = '"v1"'
    weights: bytes = WEIGHTS
    extra_length: int = 0
    wrong_start: bool = False
    told_length: str | None = None
    told_range: str = ""
    redirect: str = ""
    linked: str = ""  # X-Linked-ETag of the redirect, as model libraries send it
    statuses: list[int] = field(default_factory=list)
    files: dict[str, bytes] = field(
        default_factory=lambda: {"config.json": b"{}", "tokenizer.json": b"{}", "vocabulary.json": VOCABULARY}
    )
    asked: list[tuple[str, str]] = field(default_factory=list)  # path, Range
    sent: int = 0


class Handler(BaseHTTPRequestHandler):
    behaviour: Behaviour

    def do_GET(self) -> None:
        b, name = self.behaviour, self.path.rsplit("/", 1)[-1]
        b.asked.append((self.path, self.headers.get("Range", "")))
        if name != "model.bin":
            body = b.files.get(name)
            self.send_response(404 if body is None else 200)
            self.send_header("Content-Length", str(len(body or b"")))
            self.end_headers()
            self.wfile.write(body or b"")
            return
        if b.statuses:
            self.send_error(b.statuses.pop(0))
        elif b.redirect and not self.path.startswith("/moved"):
            self.send_response(302)
            self.send_header("Location", b.redirect.replace("PORT", str(self.server.server_address[1])))
            if b.linked:
                self.send_header("X-Linked-ETag", b.linked)
            self.end_headers()
        else:
            self._weights(b)

    def _weights(self, b: Behaviour) -> None:
        start, total = 0, len(b.weights)
        given = self.headers.get("Range", "")
        if given and b.ranges and self.headers.get("If-Range", b.etag) == b.etag:
            start = int(given.removeprefix("bytes=").rstrip("-"))
            if start >= total:
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{total}")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            told = start + 7 if b.wrong_start else start
            self.send_response(206)
            whole = f"bytes {told}-{total - 1}/{total + b.extra_length}"
            self.send_header("Content-Range", b.told_range or whole)
        else:
            self.send_response(200)
        body = b.weights[start:]
        told_length = str(len(body) + b.extra_length) if b.told_length is None else b.told_length
        self.send_header("Content-Length", told_length)
        if b.etag:
            self.send_header("ETag", b.etag)
        self.end_headers()
        cut = b.cuts.pop(0) if b.cuts else None
        self.wfile.write(body[:cut])
        b.sent += len(body[:cut])
        self.close_connection = True

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def behaviour(monkeypatch: pytest.MonkeyPatch) -> Behaviour:
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    return Behaviour()


@pytest.fixture
def url(behaviour: Behaviour) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (Handler,), {"behaviour": behaviour}))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/models/turbo"
    server.shutdown()
    thread.join()
    server.server_close()


pauses: list[float] = []
TOOLS = Tools(pauses.append, free_bytes=lambda folder: 10 << 30)


def fetch(url: str, target: Path, tools: Tools = TOOLS, **order: object) -> Fetched:
    return fetch_model(Order(url, target, **order), tools)  # type: ignore[arg-type]


def refused(url: str, target: Path, said: str, tools: Tools = TOOLS, **order: object) -> str:
    with pytest.raises(EngineError, match=said) as caught:
        fetch(url, target, tools, **order)
    assert not target.exists(), "nothing may look like a model"
    return str(caught.value)


def test_a_model_is_fetched_whole_and_its_hash_told(url: str, behaviour: Behaviour, tmp_path: Path) -> None:
    fetched = fetch(url, tmp_path / "turbo")
    assert (fetched.facts.sha256, fetched.checked) == (SHA, ())
    assert (tmp_path / "turbo" / "model.bin").read_bytes() == WEIGHTS
    assert inspect_model(tmp_path / "turbo").n_tokens == 51_865
    assert sorted(p.name for p in tmp_path.iterdir()) == ["turbo"], "no part is left lying about"
    note = json.loads((tmp_path / "turbo" / "callqa-source.json").read_text())
    assert (note["url"], note["model_sha256"], note["checked"]) == (url, SHA, False)


def test_a_broken_download_goes_on_where_it_was(url: str, behaviour: Behaviour, tmp_path: Path) -> None:
    behaviour.cuts = [100_000, 200_000, None]
    assert fetch(url, tmp_path / "turbo", sums={"model.bin": SHA}).checked == ("model.bin",)
    ranges = [r for path, r in behaviour.asked if path.endswith("model.bin")]
    assert ranges == ["", "bytes=100000-", "bytes=300000-"]
    assert behaviour.sent == len(WEIGHTS), "no byte was sent twice"


def test_another_run_goes_on_where_the_first_gave_up(url: str, behaviour: Behaviour, tmp_path: Path) -> None:
    behaviour.cuts = [100_000, 0, 0, 0, 0]
    assert "再运行一次会接着下载" in refused(url, tmp_path / "turbo", "下载中断")
    fetch(url, tmp_path / "turbo", sums={"model.bin": SHA})
    assert behaviour.asked[-1][1] == "bytes=100000-"
    assert behaviour.sent == len(WEIGHTS)


@pytest.mark.parametrize("change", ["no ranges", "another version", "wrong range"])
def test_a_part_that_cannot_be_joined_is_fetched_anew(
    url: str, behaviour: Behaviour, tmp_path: Path, change: str
) -> None:
    behaviour.cuts = [100_000, 0, 0, 0, 0]
    refused(url, tmp_path / "turbo", "下载中断")
    behaviour.ranges = change != "no ranges"
    behaviour.wrong_start = change == "wrong range"
    if change == "another version":
        behaviour.etag, behaviour.weights = '"v2"', WEIGHTS[::-1]
    fetched = fetch(url, tmp_path / "turbo")
    assert fetched.facts.sha256 == hashlib.sha256(behaviour.weights).hexdigest()


def test_a_server_without_validator_still_resumes_and_the_hash_decides(
    url: str, behaviour: Behaviour, tmp_path: Path
) -> None:
    behaviour.etag, behaviour.cuts = "", [100_000]
    assert fetch(url, tmp_path / "turbo", sums={"model.bin": SHA}).checked == ("model.bin",)


def test_a_length_that_never_comes_is_given_up(url: str, behaviour: Behaviour, tmp_path: Path) -> None:
    behaviour.extra_length = 10
    refused(url, tmp_path / "turbo", "下载中断|从头下载")
    assert len(behaviour.asked) < 20


def test_a_file_shorter_than_it_should_be_is_told_by_the_hash_or_by_trying_it(
    url: str, behaviour: Behaviour, tmp_path: Path
) -> None:
    """The server's length fits what it sends: only the hash, or loading the model, can tell."""
    behaviour.weights = WEIGHTS[:-1000]
    said = refused(url, tmp_path / "turbo", "校验和不符", sums={"model.bin": SHA})
    assert "文件已删除" in said

    def loads(folder: Path) -> None:
        if (folder / "model.bin").read_bytes() != WEIGHTS:
            raise EngineError("语音模型装载失败")

    refused(url, tmp_path / "turbo", "装载失败", try_out=loads)
    behaviour.weights = WEIGHTS
    fetch(url, tmp_path / "turbo", try_out=loads)


def test_a_model_that_is_not_multilingual_is_refused_before_its_gigabytes(
    url: str, behaviour: Behaviour, tmp_path: Path
) -> None:
    behaviour.files["vocabulary.json"] = json.dumps([f"t{i}" for i in range(51_864)]).encode()
    refused(url, tmp_path / "turbo", "不是多语种")
    assert not any(path.endswith("model.bin") for path, _ in behaviour.asked)


def test_redirects_are_followed_with_their_range(url: str, behaviour: Behaviour, tmp_path: Path) -> None:
    behaviour.redirect, behaviour.cuts = "/moved/model.bin", [100_000]
    fetch(url, tmp_path / "turbo", sums={"model.bin": SHA})
    assert behaviour.asked[-1] == ("/moved/model.bin", "bytes=100000-")


ELSEWHERE = "http://localhost:PORT/moved/model.bin"  # another server than 127.0.0.1, as a library's store is


@pytest.mark.parametrize("linked", [f'"{SHA}"', SHA.upper(), f'W/"{SHA}"'])
def test_the_hash_that_a_model_library_tells_is_held_against_what_its_store_sends(
    url: str, behaviour: Behaviour, tmp_path: Path, linked: str
) -> None:
    behaviour.redirect, behaviour.linked, behaviour.cuts = ELSEWHERE, linked, [100_000]
    behaviour.etag = f'"{"5" * 64}"'  # the store's own is no hash of the bytes
    fetched = fetch(url, tmp_path / "turbo")
    assert (fetched.checked, fetched.told) == ((), ("model.bin",))
    assert behaviour.asked[-1] == ("/moved/model.bin", "bytes=100000-")
    assert json.loads((tmp_path / "turbo" / "callqa-source.json").read_text())["told"] is True


def test_another_file_than_the_library_tells_is_taken_away(url: str, behaviour: Behaviour, tmp_path: Path) -> None:
    behaviour.redirect, behaviour.linked, behaviour.weights = ELSEWHERE, f'"{SHA}"', WEIGHTS[::-1]
    said = refused(url, tmp_path / "turbo", "校验和不符：服务器说应为")
    assert SHA[:16] in said and "--sha256" in said
    assert not list(tmp_path.rglob("model.bin")) and not list(tmp_path.rglob("*.part")), "neither the file nor a part"
    theirs = hashlib.sha256(behaviour.weights).hexdigest()
    assert fetch(url, tmp_path / "turbo", sums={"model.bin": theirs}).told == (), "who gives a hash knows better"


@pytest.mark.parametrize(
    ("etag", "told"), [(f'"{SHA}"', ("model.bin",)), ('"v1"', ()), (f'"{SHA[:40]}"', ()), ("", ())]
)
def test_an_etag_that_is_a_sha256_is_one(
    url: str, behaviour: Behaviour, tmp_path: Path, etag: str, told: tuple[str, ...]
) -> None:
    behaviour.etag = etag
    assert fetch(url, tmp_path / "turbo").told == told


def test_an_etag_that_is_another_sha256_is_refused_from_the_server_itself_and_ignored_from_its_store(
    url: str, behaviour: Behaviour, tmp_path: Path
) -> None:
    behaviour.etag = f'"{"5" * 64}"'
    refused(url, tmp_path / "turbo", "服务器说应为 5555")
    behaviour.redirect = ELSEWHERE
    assert fetch(url, tmp_path / "turbo").told == ()


def test_a_file_that_was_whole_before_the_connection_ended_is_still_held_against_what_the_server_tells(
    url: str, behaviour: Behaviour, tmp_path: Path
) -> None:
    """All bytes are here, the last run ended before it knew: the next asks for none, and is told the hash again."""
    gathering = tmp_path / ".turbo.fetch"
    behaviour.redirect, behaviour.linked = ELSEWHERE, SHA
    behaviour.cuts = [100_000, 0, 0, 0, 0]
    refused(url, tmp_path / "turbo", "下载中断")
    (gathering / "model.bin.part").write_bytes(WEIGHTS)
    assert fetch(url, tmp_path / "turbo").told == ("model.bin",)
    assert behaviour.asked[-1][1] == f"bytes={len(WEIGHTS)}-"


@pytest.mark.parametrize("where", ["file:///etc/passwd", "ftp://127.0.0.1/x", "data:,x"])
def test_a_redirect_to_anything_but_http_is_refused(url: str, behaviour: Behaviour, tmp_path: Path, where: str) -> None:
    behaviour.redirect = where
    refused(url, tmp_path / "turbo", "http (或|与) https")


@pytest.mark.parametrize("where", ["http://[bad/x", "http://127.0.0.1:port/x", "http://a b/x"])
def test_a_redirect_to_nowhere_is_told_as_the_servers_fault(
    url: str, behaviour: Behaviour, tmp_path: Path, where: str
) -> None:
    behaviour.redirect = where
    refused(url, tmp_path / "turbo", "下载中断|下载不了|看不懂")


@pytest.mark.parametrize(
    "address", ["http://[", "http://[bad/x", "http://127.0.0.1:port/m", "http:///m", "http://a b/m"]
)
def test_an_address_that_is_none_is_refused_without_a_trace(tmp_path: Path, address: str, behaviour: Behaviour) -> None:
    with pytest.raises(EngineError):
        fetch(address, tmp_path / "turbo")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("length", ["²", "9" * 5000, "-1", "0x10", ""])
def test_a_length_that_is_none_counts_as_untold(url: str, behaviour: Behaviour, tmp_path: Path, length: str) -> None:
    behaviour.told_length = length
    assert fetch(url, tmp_path / "turbo").facts.sha256 == SHA


def test_a_range_that_nobody_can_count_is_fetched_anew(url: str, behaviour: Behaviour, tmp_path: Path) -> None:
    behaviour.cuts, behaviour.told_range = [1000], f"bytes {'9' * 5000}-{'9' * 5000}/{'9' * 5000}"
    assert fetch(url, tmp_path / "turbo").facts.sha256 == SHA


def test_a_circle_of_redirects_ends(url: str, behaviour: Behaviour, tmp_path: Path) -> None:
    behaviour.redirect = "/models/turbo/model.bin"
    refused(url, tmp_path / "turbo", "转来转去")
    assert len(behaviour.asked) < 60


@pytest.mark.parametrize("address", ["file:///etc/passwd", "/etc/passwd", "ftp://x/y"])
def test_an_address_that_is_not_http_is_refused(tmp_path: Path, address: str) -> None:
    refused(address, tmp_path / "turbo", "不是 http 或 https")
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_told_before_anything_is_written(url: str, behaviour: Behaviour, tmp_path: Path) -> None:
    tools = Tools(pauses.append, free_bytes=lambda folder: (1 << 30) + len(WEIGHTS) - 1)
    behaviour.files["vocabulary.json"] = VOCABULARY
    assert "paths.var" in refused(url, tmp_path / "turbo", "磁盘空间不够", tools)
    assert behaviour.sent <= len(WEIGHTS)
    assert not list(tmp_path.rglob("model.bin"))


def test_trouble_that_passes_is_waited_for_and_refusals_are_not(url: str, behaviour: Behaviour, tmp_path: Path) -> None:
    behaviour.statuses = [503, 429]
    fetch(url, tmp_path / "turbo")
    behaviour.statuses = [403]
    refused(url, tmp_path / "other", "拒绝访问（403）")


def test_a_web_page_instead_of_a_file_is_told(url: str, behaviour: Behaviour, tmp_path: Path) -> None:
    behaviour.files["config.json"] = b"<html>please sign in</html>"
    refused(url, tmp_path / "turbo", "可能是一个网页")
    behaviour.files["config.json"] = b"{}"
    fetch(url, tmp_path / "turbo")


def test_what_another_address_left_is_not_mixed_in(url: str, behaviour: Behaviour, tmp_path: Path) -> None:
    behaviour.cuts = [100_000, 0, 0, 0, 0]
    refused(url, tmp_path / "turbo", "下载中断")
    fetch(url.replace("turbo", "base"), tmp_path / "turbo")
    assert behaviour.asked[-1] == ("/models/base/model.bin", "")


def test_a_model_that_is_there_is_not_overwritten(url: str, tmp_path: Path) -> None:
    (tmp_path / "turbo").mkdir()
    (tmp_path / "turbo" / "mine").touch()
    with pytest.raises(EngineError, match="不会覆盖"):
        fetch(url, tmp_path / "turbo")


def test_a_manifest_names_what_is_missing(url: str, tmp_path: Path) -> None:
    refused(url, tmp_path / "turbo", "清单里有 preprocessor_config.json", sums={"preprocessor_config.json": SHA})


def test_a_server_that_is_not_there_is_told(tmp_path: Path, behaviour: Behaviour) -> None:
    said = refused("http://127.0.0.1:1/models/x", tmp_path / "x", "服务器拒绝连接")
    assert "保留着" not in said, "nothing came"
    assert list(tmp_path.iterdir()) == [], "and nothing is left of it"


def test_https_asked_of_a_plain_server_is_told_as_that(url: str, tmp_path: Path) -> None:
    refused(url.replace("http://", "https://"), tmp_path / "turbo", "对方多半不是 HTTPS 服务")


def test_http_asked_of_what_speaks_something_else_is_told_as_that(tmp_path: Path, behaviour: Behaviour) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def greet() -> None:
            for _ in range(TOOLS.idle_attempts):
                connection, _ = listener.accept()
                with connection:
                    connection.sendall(b"220 mail.example ESMTP\r\n")
                    connection.recv(65_536)

        thread = threading.Thread(target=greet)
        thread.start()
        refused(f"http://127.0.0.1:{listener.getsockname()[1]}/m", tmp_path / "m", "对方多半不是 HTTP 服务")
        thread.join()


@pytest.mark.parametrize(
    ("subject", "said"), [("IP:127.0.0.1", "是自签的"), ("DNS:other.example", "与地址里的 IP 不符")]
)
def test_what_is_wrong_with_a_certificate_is_told_at_once(
    tmp_path: Path, behaviour: Behaviour, monkeypatch: pytest.MonkeyPatch, subject: str, said: str
) -> None:
    """A certificate that SSL_CERT_FILE makes a trusted one may still be another server's."""
    pem = tmp_path / "server.pem"
    made = [need_tool("openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    made += ["-days", "2", "-subj", "/CN=callqa test", "-addext", f"subjectAltName={subject}"]
    made += ["-keyout", str(pem), "-out", f"{pem}.only"]
    subprocess.run(made, check=True, capture_output=True)
    pem.write_bytes(pem.read_bytes() + Path(f"{pem}.only").read_bytes())
    if said != "是自签的":
        monkeypatch.setenv("SSL_CERT_FILE", str(pem))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (Handler,), {"behaviour": behaviour}))
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    pauses.clear()
    try:
        address = f"https://127.0.0.1:{server.server_port}/m"
        refused(address, tmp_path / "m", said)
        assert pauses == [], "the next attempt would meet the same certificate"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize(
    ("address", "there"),
    [
        ("https://huggingface.co/Org/m-v3", "https://huggingface.co/Org/m-v3/resolve/main/model.bin"),
        ("https://hf-mirror.com/Org/m-v3/tree/abc", "https://hf-mirror.com/Org/m-v3/resolve/abc/model.bin"),
        (
            "https://www.modelscope.cn/models/Org/m/summary",
            "https://www.modelscope.cn/models/Org/m/resolve/master/model.bin",
        ),
        ("http://intern/m/?k=1", "http://intern/m/model.bin?k=1"),
    ],
)
def test_the_pages_of_model_libraries_are_understood(address: str, there: str) -> None:
    assert file_url(address, "model.bin") == there


def test_names_come_from_the_address_and_never_leave_the_folder() -> None:
    assert model_name("https://huggingface.co/Org/m-v3/tree/main") == "m-v3"
    assert model_name("https://modelscope.cn/models/Org/m/summary") == "m"
    for bad in ("http://host", "http://host/..", "http://host/.hidden"):
        with pytest.raises(EngineError, match="--name"):
            model_name(bad)
    for bad in ("../x", "a/b", ".x", ""):
        with pytest.raises(EngineError):
            check_name(bad)


def test_sums_are_read_as_sha256sum_writes_them() -> None:
    assert read_sums(f"# of today\n{SHA}  model.bin\n{SHA.upper()} *./config.json\n") == {
        "model.bin": SHA,
        "config.json": SHA,
    }
    for bad in ("", "xyz  model.bin", SHA):
        with pytest.raises(EngineError, match="清单"):
            read_sums(bad)
    with pytest.raises(EngineError, match="64 位"):
        check_sum("abc")


def test_the_verb_says_what_was_not_checked(
    url: str, behaviour: Behaviour, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("callqa.transcribe.whisper.load_engine", lambda folder, **_: None)
    config = tmp_path / "callqa.toml"
    config.write_text("[retention]\ndisk_alarm_mb = 0\n", encoding="utf-8")
    verb: Callable[..., int] = lambda *more: main(["--config", str(config), "model", "fetch", *more])  # noqa: E731
    assert verb() == 2, "the address is missing"
    assert verb(url) == 0
    said = capsys.readouterr().out
    assert SHA in said and "未核对" in said and 'model_dir = "models/turbo"' in said
    behaviour.etag = SHA
    assert verb(url, "--name", "told") == 0
    assert "与服务器所报的一致" in capsys.readouterr().out
    (tmp_path / "sums").write_text(f"{SHA}  model.bin\n")
    assert verb(url, "--name", "again", "--manifest", str(tmp_path / "sums")) == 0
    assert "校验和已核对：model.bin" in capsys.readouterr().out
    assert verb(url, "--name", "third", "--sha256", "0" * 64) == 1
    assert "校验和不符" in capsys.readouterr().err
