# ruff: noqa: T201  a bench prints its figures
"""Search a made-up year of transcripts: how long a page of results takes, and how large the index is.

    python bench/search.py [--calls N] [--queries N] [--only sqlite|postgresql] [--seed N]

The transcripts are generated: words by a Zipf–Mandelbrot law over spoken function words, the words of
scorecards/vocabulary.yaml and pypinyin's dictionary, a few words of its own in each call, each word with its own companions, the hotline's greetings, and a
phone number said in digits; 600 characters a call. They are stored and indexed by the product's own functions, then
searched by `search_calls` with warm caches: what is timed is a whole page, the count with rights and the first 20
calls with their utterances masked and marked. Words are drawn evenly from the classes by how many calls hold them.

PostgreSQL runs in a temporary folder on a Unix socket (Debian: apt install postgresql). The index's size is everything
a search needs besides the tables of calls and utterances, the rows of search_doc and their keys included. Raw text is
the bytes of all utterances. The last line is one JSON object.
"""

import argparse
import hashlib
import json
import os
import shutil
import sys
import tempfile
import time
from bisect import bisect
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from random import Random
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

import yaml  # noqa: E402  # after the path
from pypinyin.phrases_dict import phrases_dict  # noqa: E402
from sqlalchemy import insert, text  # noqa: E402

from callqa.searching import terms_of  # noqa: E402
from callqa.store.db import Database  # noqa: E402
from callqa.store.migrate import migrate  # noqa: E402
from callqa.store.queries.search import SearchQuery, search_calls  # noqa: E402
from callqa.store.tables import Agent, Call, TranscriptRow, UtteranceRow  # noqa: E402
from callqa.text import is_han, simplified  # noqa: E402
from callqa.usecases.reindex import index_missing  # noqa: E402
from tests.store import postgres  # noqa: E402

TARGET_MS, TARGET_SQLITE, TARGET_POSTGRESQL = 20.0, 1.2, 1.6
CHARS, UTTERANCES, PAGE = 600, 30, 20
EVERY_S = 315  # a call every five minutes: 100,000 in a year
FIRST_S = 1_767_225_600  # 2026-01-01 UTC
SPOKEN = (  # noqa: SIM905  # words with spaces between are read more easily
    "的 我 是 了 你 那 就 有 不 在 这 这个 那个 我们 你们 他们 一个 没有 什么 怎么 可以 现在 知道 因为 所以 但是 就是 还是 已经 "
    "然后 如果 时候 今天 昨天 明天 早上 晚上 下午 这边 那边 这里 那里 我家 家里 说 来 去 要 会 能 都 也 还 又 再 好 好的 对 "
    "不是 是不是 有没有 能不能 怎么办 为什么 多少 几个 大概 可能 应该 需要 希望 觉得 看到 听到 打电话 一直 一下 一点 很多 非常 "
    "比较 马上 问题 情况 时间 地方 东西 事情 老人 孩子 邻居 楼上 楼下 门口 路边 师傅 麻烦 谢谢 不好意思 没关系 那么 这样 那样"
).split()
GREETING = ("您好，武汉水务热线，工号八零五，请问有什么可以帮您？", "请您稍等，我帮您查一下。")
CLOSING = ("请问您还有其他需要吗？", "感谢您的来电，祝您生活愉快，再见。")


class Words:
    """A vocabulary with a Zipf–Mandelbrot law, the same for the same seed."""

    def __init__(self, seed: int) -> None:
        groups = yaml.safe_load((ROOT / "scorecards" / "vocabulary.yaml").read_text(encoding="utf-8"))["groups"]
        service = [word for group in groups for word in group["words"]]
        tail = [w for w in phrases_dict if len(w) in (2, 3) and all(map(is_han, w)) and simplified(w) == w]
        tail.sort(key=lambda word: hashlib.sha256(f"{seed}{word}".encode()).digest())
        rare = [*service[120:], *tail[:25_000]]
        rare.sort(key=lambda word: hashlib.sha256(f"{word}{seed}".encode()).digest())
        self.all = list(dict.fromkeys([*SPOKEN, *service[:120], *rare]))
        self._seed, self._companions = seed, dict[str, list[str]]()
        self._sums = list(accumulate(1 / (rank + 2.7) ** 1.05 for rank in range(1, len(self.all) + 1)))

    def draw(self, random: Random) -> str:
        """Any word."""
        return self.all[bisect(self._sums, random.random() * self._sums[-1])]

    def draw_after(self, word: str, random: Random) -> str:
        """A word that often follows this one: each has 40 companions of its own, the first the commonest."""
        if word not in self._companions:
            own = Random(f"{self._seed}{word}")
            self._companions[word] = [self.draw(own) for _ in range(40)]
        return self._companions[word][min(39, int(random.expovariate(0.12)))]


def say_call(words: Words, random: Random) -> list[tuple[str, str]]:
    """(speaker, text) of one call of CHARS characters."""
    own = [words.draw(random) for _ in range(12)]
    number = (
        "一" + "".join(random.choice("三五七八九")) + "".join(random.choice("零幺二三四五六七八九") for _ in range(9))
    )
    said, word = [("agent", GREETING[0])], words.draw(random)
    left = CHARS - len(GREETING[0]) - sum(map(len, CLOSING)) - 20
    for n in range(UTTERANCES - 4):
        want, line = max(4, left // (UTTERANCES - 4 - n)), ""
        while len(line) < want - 1:
            kind = random.random()
            word = (
                random.choice(own)
                if kind < 0.15
                else words.draw_after(word, random)
                if kind < 0.65
                else words.draw(random)
            )
            line += word
            if random.random() < 0.12:
                line += "，"
        line = line[: want - 1].rstrip("，") + "。"
        left -= len(line)
        said.append(("agent" if n % 2 else "citizen", line))
    said.insert(UTTERANCES // 2, ("agent", f"您的电话是{number}，对吗？"))
    return [*said, *(("agent", each) for each in CLOSING)]


@dataclass(slots=True)
class Made:
    """What was stored, for choosing queries."""

    raw_bytes: int = 0
    calls_with: Counter[str] = field(default_factory=Counter)  # 2-character words of the vocabulary
    phrases: Counter[str] = field(default_factory=Counter)


def fill(db: Database, n_calls: int, seed: int) -> Made:
    """Store the calls with their transcripts."""
    words, random, made = Words(seed), Random(seed), Made()
    with db.write() as session:
        session.execute(insert(Agent), [{"agent_no": f"80{n}", "name": "坐席"} for n in range(1, 9)])
    for first in range(0, n_calls, 2000):
        calls, transcripts, utterances = [], [], []
        for n in range(first, min(n_calls, first + 2000)):
            call_id, start_ms = f"B{n:06d}", (FIRST_S + n * EVERY_S) * 1000
            calls.append(_call(call_id, start_ms, f"80{random.randint(1, 8)}"))
            transcripts.append(_transcript(n + 1, call_id, start_ms))
            said = say_call(words, random)
            for index, (speaker, line) in enumerate(said):
                made.raw_bytes += len(line.encode())
                utterances.append(_utterance(n + 1, index, speaker, line))
            whole = [line for _, line in said]
            if n % 20 == 0:  # a sample says enough of how common a word is
                made.calls_with.update({line[i : i + 2] for line in whole for i in range(len(line) - 1)})
                made.phrases.update({line[i : i + 4] for line in whole for i in range(len(line) - 3)})
        with db.write() as session:
            session.execute(insert(Call), calls)
            session.execute(insert(TranscriptRow), transcripts)
            session.execute(insert(UtteranceRow), utterances)
        _tell(f"stored {first + len(calls)} calls")
    known = set(words.all)
    for counter in (made.calls_with, made.phrases):
        for piece in [piece for piece in counter if not all(map(is_han, piece))]:
            del counter[piece]
    for piece in [piece for piece in made.calls_with if piece not in known]:
        del made.calls_with[piece]
    return made


def _call(call_id: str, start_ms: int, agent_no: str) -> dict[str, Any]:
    return {
        "call_id": call_id, "direction": "inbound", "call_type": "inbound", "outcome": "answered", "agent_no": agent_no,
        "from_number": "", "to_number": "", "citizen_number": "", "started_at_ms": start_ms, "gaps": [], "streams": [],
        "faults": [], "recording_status": "ok", "attribution_source": "login",
    }  # fmt: skip


def _transcript(id_: int, call_id: str, start_ms: int) -> dict[str, Any]:
    return {
        "id": id_, "call_id": call_id, "version": 1, "engine": "made", "model_sha256": "", "recording_sha256": "",
        "duration_ms": 180_000, "created_at_ms": start_ms, "options": {}, "speech": [], "notes": [],
    }  # fmt: skip


def _utterance(transcript_id: int, index: int, speaker: str, line: str) -> dict[str, Any]:
    return {
        "transcript_id": transcript_id, "index": index, "speaker": speaker, "start_ms": index * 6000,
        "end_ms": index * 6000 + 5000, "text": line, "raw_text": line, "confidence": 0.9, "repairs": [],
    }  # fmt: skip


def drop_index(db: Database) -> str:
    """Take PostgreSQL's index away while rows are loaded; what makes it again, as `callqa reindex` would."""
    if db.is_sqlite:
        return ""
    with db.write() as session:
        definition = session.execute(text("select pg_get_indexdef('ix_utterance_search_keys'::regclass)")).scalar_one()
        session.execute(text("drop index ix_utterance_search_keys"))
    return str(definition)


def index_bytes(db: Database) -> int:
    """Everything a search needs besides the transcripts themselves."""
    with db.read() as session:
        if db.is_sqlite:
            names = "('search_doc', 'sqlite_autoindex_search_doc_1', 'sqlite_autoindex_search_doc_2')"
            query = f"select sum(pgsize) from dbstat where name in {names} or name like 'search_fts%'"
        else:
            query = "select pg_total_relation_size('search_doc') + pg_relation_size('ix_utterance_search_keys')"
        return int(session.execute(text(query)).scalar_one())


def fts_bytes(db: Database) -> int:
    """The token index alone."""
    with db.read() as session:
        query = (
            "select sum(pgsize) from dbstat where name like 'search_fts%'"
            if db.is_sqlite
            else "select pg_relation_size('ix_utterance_search_keys')"
        )
        return int(session.execute(text(query)).scalar_one())


def queries(made: Made, n_calls: int, n: int, seed: int) -> dict[str, list[str]]:
    """Words to search by class. rare: in under 0.1 % of the calls; frequent: in over 10 %."""
    random, sampled = Random(seed + 1), max(1, n_calls // 20)

    def some(words: Sequence[str]) -> list[str]:
        words = sorted(words)
        return [random.choice(words) for _ in range(n)] if words else []

    share = {word: count / sampled for word, count in made.calls_with.items()}
    common = [word for word, count in made.phrases.most_common(3000)]
    chars = Counter("".join(made.calls_with.elements()))
    return {
        "rare": some([w for w, s in share.items() if s < 0.001]),
        "middle": some([w for w, s in share.items() if 0.001 <= s <= 0.1]),
        "frequent": some([w for w, s in share.items() if s > 0.1]),
        "one_character": some(list(chars)),
        "phrase_4": some([*common[:300], *list(made.phrases)[:: max(1, len(made.phrases) // 300)]]),
    }


def measure(db: Database, asked: dict[str, list[str]]) -> dict[str, tuple[float, float, float]]:
    """Class -> (p50, p95, mean number of calls found) in milliseconds."""
    result = {}
    for name, words in asked.items():
        if not words:
            continue
        times, totals = [], []
        for round_ in range(2):  # the first fills the caches
            for word in words:
                began = time.perf_counter()
                with db.read() as session:
                    found = search_calls(session, SearchQuery(terms_of(word)), offset=0, limit=PAGE)
                if round_:
                    times.append((time.perf_counter() - began) * 1000)
                    totals.append(found.total)
        times.sort()
        result[name] = (
            times[len(times) // 2],
            times[min(len(times) - 1, len(times) * 95 // 100)],
            sum(totals) / len(totals),
        )
    return result


def run(url: str, args: argparse.Namespace) -> dict[str, Any]:
    """Fill, index and search one database."""
    migrate(url)
    db = Database(url)
    try:
        definition = drop_index(db)
        made = fill(db, args.calls, args.seed)
        began, cpu = time.monotonic(), time.process_time()
        done = index_missing(db, lambda n: _tell(f"indexed {n} calls") if n % 5000 == 0 else None)
        with db.engine.connect() as connection:
            if definition:
                connection.execute(text("set maintenance_work_mem = '512MB'"))
                connection.execute(text(definition))
                connection.commit()
        spent_s, cpu_s = time.monotonic() - began, time.process_time() - cpu
        if not db.is_sqlite:
            with db.engine.connect() as connection:
                connection.execution_options(isolation_level="AUTOCOMMIT").execute(text("vacuum analyze"))
        sizes = index_bytes(db), fts_bytes(db)
        asked = queries(made, args.calls, args.queries, args.seed)
        asked["two_characters"] = [w for name in ("rare", "middle", "frequent") for w in asked[name]]
        figures = measure(db, asked)
    finally:
        db.dispose()
    name = "SQLite" if url.startswith("sqlite") else "PostgreSQL"
    print(f"\n{name}: {done} calls, raw text {made.raw_bytes / 2**20:.0f} MiB", end="")
    print(
        f", index {sizes[0] / 2**20:.0f} MiB = {sizes[0] / made.raw_bytes:.2f} x (tokens {sizes[1] / made.raw_bytes:.2f} x)"
    )
    print(f"indexing {spent_s:.0f} s ({1000 * spent_s / done:.1f} ms a call, own CPU {1000 * cpu_s / done:.1f} ms)")
    for kind, (p50, p95, total) in figures.items():
        print(f"  {kind:15} p50 {p50:7.1f} ms   p95 {p95:7.1f} ms   calls found {total:7.0f} on average")
    return {
        "index_ratio": round(sizes[0] / made.raw_bytes, 3),
        "tokens_ratio": round(sizes[1] / made.raw_bytes, 3),
        "raw_mib": round(made.raw_bytes / 2**20, 1),
        "index_ms_per_call": round(1000 * spent_s / done, 2),
        **{f"{kind}_p50_ms": round(f[0], 1) for kind, f in figures.items()},
        **{f"{kind}_p95_ms": round(f[1], 1) for kind, f in figures.items()},
    }


def _tell(sentence: str) -> None:
    print(f"  {sentence}", file=sys.stderr, flush=True)


def databases(only: str, stack: ExitStack) -> Iterator[str]:
    """The URLs to measure, each gone when the stack closes."""
    if only != "postgresql":
        folder = Path(tempfile.mkdtemp(prefix="callqa-search-"))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        yield f"sqlite:///{folder / 'callqa.db'}"
    if only != "sqlite":
        yield stack.enter_context(postgres.server())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=100_000)
    parser.add_argument("--queries", type=int, default=100, help="words of each class")
    parser.add_argument("--only", choices=["sqlite", "postgresql"], default="")
    parser.add_argument("--seed", type=int, default=20261122)
    args = parser.parse_args()
    print(f"{args.calls} calls; load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores, niceness {os.nice(0)}")
    result: dict[str, Any] = {"calls": args.calls, "load": round(os.getloadavg()[0], 1)}
    with ExitStack() as stack:
        for url in databases(args.only, stack):
            name = "sqlite" if url.startswith("sqlite") else "postgresql"
            result[name] = run(url, args)
    fits = all(
        result[name]["two_characters_p95_ms"] <= TARGET_MS and result[name]["index_ratio"] <= limit
        for name, limit in (("sqlite", TARGET_SQLITE), ("postgresql", TARGET_POSTGRESQL))
        if name in result
    )
    print(json.dumps({**result, "fits": fits}))
    return 0 if fits else 1


if __name__ == "__main__":
    raise SystemExit(main())
