"""The engine that docs/transcription.md shows as an example, taken from there word for word and run."""

import importlib
import json
import sys
import threading
from collections.abc import Iterator
from dataclasses import asdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from callqa.errors import EngineError
from callqa.speech import Speaker
from callqa.transcribe.assemble import transcribe_call
from callqa.transcribe.engine import DecodeRequest
from callqa.transcribe.engines import find_loader
from tests.fakes_engine import FakeEngine
from tests.transcribe.test_assemble import recording

PAGE = Path(__file__).resolve().parent.parent.parent / "docs" / "transcription.md"


class Service(BaseHTTPRequestHandler):
    """A recogniser in the house: a character per 200 ms of sound."""

    def do_POST(self) -> None:
        sent = np.frombuffer(self.rfile.read(int(self.headers["Content-Length"])), "<i2")
        heard = FakeEngine().decode((sent / 32768).astype(np.float32), DecodeRequest())
        words = [asdict(word) for segment in heard for word in segment.words]
        body = json.dumps(words).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def service() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Service)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/words"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def site_asr(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The module of the page, found as a site's would be."""
    code = PAGE.read_text(encoding="utf-8").split("## 换别的引擎")[1].split("```python\n")[1].split("```")[0]
    (tmp_path / "site_asr.py").write_text(code, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield importlib.import_module("site_asr")
    del sys.modules["site_asr"]


def test_the_example_of_the_page_transcribes_a_call(
    site_asr: ModuleType, service: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(site_asr, "SERVICE", service)
    engine = find_loader("site_asr:load")(tmp_path, device="auto", compute_type="int8", threads=1)
    audio = recording(9_000, [(2_000, 4_000)], [(500, 1_500), (5_000, 7_000)])
    transcript = transcribe_call(audio, engine, recording_sha256="abc")
    assert [u.speaker for u in transcript.utterances] == [Speaker.AGENT, Speaker.CITIZEN, Speaker.AGENT]
    assert all(u.reliable and set(u.text) & set("水务热线请问地址停漏") for u in transcript.utterances)
    assert transcript.made.engine == "site-asr 1" and ("service", "words") in transcript.made.options
    assert {name for name in dir(FakeEngine) if not name.startswith("_")} <= set(dir(engine)), "all of the protocol"


def test_the_example_says_when_its_service_is_away(
    site_asr: ModuleType, service: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(site_asr, "SERVICE", "http://127.0.0.1:9/words")  # discard: nobody answers there
    engine = find_loader("site_asr:load")(tmp_path, device="auto", compute_type="int8", threads=1)
    with pytest.raises(EngineError, match="识别服务没有答复"):
        transcribe_call(recording(3_000, [(500, 2_000)], []), engine, recording_sha256="")
