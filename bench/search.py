# ruff: noqa: T201  a bench prints its figures
"""Search a made-up year of transcripts: how long a page of results takes, and how large the index is.

    python bench/search.py [--calls N] [--queries N] [--only sqlite|postgresql] [--seed N]

The transcripts are made by bench/search_corpus.py, stored by the databases' bulk statements, indexed by the product's
own `reindex` (both stores at once; PostgreSQL's expression index is taken away before the rows come), and searched by
`search_calls` with warm caches: what is timed is a whole page, the count with rights and the first 20 calls with their
utterances masked and marked. Words are drawn evenly from the classes by how many calls hold them. CPU is that of this
process and of the server's, for a machine that is not idle. Of each class some words are also looked for by reading all
texts: the count, the first and the last page must be the same.

PostgreSQL runs in a temporary folder on a Unix socket (Debian: apt install postgresql). Raw text is the bytes of all
utterances' text in UTF-8, stored once. The index's size is everything a search needs besides the tables of calls and
utterances: the tokens, and the rows of search_doc with their keys. The last line is one JSON object.
"""

import argparse
import gc
import json
import os
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from sqlalchemy import text  # noqa: E402  # after the path
from sqlmodel import Session  # noqa: E402

from bench.search_corpus import AT_ONCE, say_calls, vocabulary  # noqa: E402
from callqa.privacy import MAY_BE_PRIVATE  # noqa: E402
from callqa.searching import fold_text, terms_of  # noqa: E402
from callqa.store.db import Database  # noqa: E402
from callqa.store.migrate import migrate  # noqa: E402
from callqa.store.queries.search import MOST_CALLS, SearchQuery, search_calls  # noqa: E402
from callqa.text import is_han  # noqa: E402
from callqa.usecases.reindex import reindex  # noqa: E402
from tests.store import postgres  # noqa: E402

TARGET_MS, TARGET_SQLITE, TARGET_POSTGRESQL = 20.0, 1.2, 1.6
ALL = "two_characters"
PAGE, JUDGED = 20, 8  # calls a page; queries of each class that are also answered by reading all texts
EVERY_S = 315  # a call every five minutes: 100,000 in a year
FIRST_S = 1_767_225_600  # 2026-01-01 UTC
NO_CALL = {
    "mode": "b2bua", "outcome_reason": "", "from_number": "", "to_number": "", "citizen_number": "",
    "recovered": False, "recording_status": "ok", "gaps": "[]", "streams": "[]", "faults": "[]",
    "attribution_source": "login", "attribution_reason": "", "demo": False, "version": 1,
}  # fmt: skip


@dataclass(slots=True)
class Made:
    """What was stored, for choosing queries and judging answers."""

    raw_bytes: int = 0
    texts: list[str] = field(default_factory=list)  # a call's folded utterances, one a line; oldest first
    calls_with: Counter[str] = field(default_factory=Counter)  # character pairs and fours, in every 20th call
    phrases: Counter[str] = field(default_factory=Counter)

    def note(self, lines: Sequence[str]) -> None:
        """One more call."""
        self.raw_bytes += sum(len(line.encode()) for line in lines)
        if len(self.texts) % 20 == 0:
            self.calls_with.update({line[i : i + 2] for line in lines for i in range(len(line) - 1)})
            self.phrases.update({line[i : i + 4] for line in lines for i in range(len(line) - 3)})
        self.texts.append("\n".join(map(fold_text, lines)))

    def read_all(self, term: str, most: int) -> list[str]:
        """call_ids of the newest `most` calls with a term, found by reading."""
        newest = range(len(self.texts) - 1, -1, -1)
        return list(islice((f"B{n:06d}" for n in newest if term in self.texts[n]), most))


def fill(dbs: Sequence[Database], n_calls: int, seed: int) -> Made:
    """Store the same calls in all, by the drivers' own bulk statements: what is measured is the index."""
    made, calls = Made(), say_calls(n_calls, seed)
    _store(dbs, "agent", [{"agent_no": f"80{n}", "name": "坐席", "active": True} for n in range(1, 9)])
    for first in range(0, n_calls, AT_ONCE):
        here = range(first, min(n_calls, first + AT_ONCE))
        said = list(islice(calls, len(here)))
        numbered = [(n, at, *each) for n, lines in zip(here, said, strict=True) for at, each in enumerate(lines)]
        _store(dbs, "call", [_call(n) for n in here])
        _store(dbs, "transcript", [_transcript(n) for n in here])
        _store(dbs, "utterance", [_utterance(*each) for each in numbered])
        for lines in said:
            made.note([line for _, line in lines])
        _tell(f"stored {here.stop} calls")
    return made


def _store(dbs: Sequence[Database], table: str, rows: Sequence[dict[str, Any]]) -> None:
    columns, marks = ",".join(f'"{name}"' for name in rows[0]), ",".join("?" * len(rows[0]))
    values = [tuple(row.values()) for row in rows]
    for db in dbs:
        with db.write() as session:
            raw: Any = session.connection().connection.dbapi_connection
            if db.is_sqlite:
                raw.executemany(f'insert into "{table}" ({columns}) values ({marks})', values)
                continue
            with raw.cursor() as cursor, cursor.copy(f'copy "{table}" ({columns}) from stdin') as copy:
                for row in values:
                    copy.write_row(row)


def _call(n: int) -> dict[str, Any]:
    return {
        "call_id": f"B{n:06d}", "direction": "inbound", "call_type": "inbound", "outcome": "answered",
        "agent_no": f"80{n % 8 + 1}", "started_at_ms": (FIRST_S + n * EVERY_S) * 1000, **NO_CALL,
    }  # fmt: skip


def _transcript(n: int) -> dict[str, Any]:
    return {
        "id": n + 1, "call_id": f"B{n:06d}", "version": 1, "engine": "made", "model_sha256": "", "recording_sha256": "",
        "duration_ms": 180_000, "separated": True, "created_at_ms": (FIRST_S + n * EVERY_S) * 1000, "options": "{}",
        "speech": "[]", "notes": "[]",
    }  # fmt: skip


def _utterance(n: int, index: int, speaker: str, line: str) -> dict[str, Any]:
    return {
        "transcript_id": n + 1, "index": index, "speaker": speaker, "start_ms": index * 6000,
        "end_ms": index * 6000 + 5000, "text": line, "raw_text": line, "confidence": 0.9, "reliable": True,
        "repairs": "[]",
    }  # fmt: skip


def drop_index(db: Database) -> None:
    """Take PostgreSQL's index away while rows are loaded."""
    if not db.is_sqlite:
        with db.write() as session:
            session.execute(text("drop index ix_utterance_search_keys"))


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


def queries(made: Made, n: int, seed: int) -> dict[str, list[str]]:
    """Words to search by class. rare: in under 0.1 % of the calls; frequent: in over 10 %."""
    random, sampled, known = Random(seed + 1), max(1, len(made.texts) // 20), set(vocabulary(seed))

    def some(words: Sequence[str]) -> list[str]:
        words = sorted(words)
        return [random.choice(words) for _ in range(n)] if words else []

    share = {word: count / sampled for word, count in made.calls_with.items() if word in known}
    phrases = {phrase: count for phrase, count in made.phrases.items() if all(map(is_han, phrase))}
    common = sorted(phrases, key=lambda phrase: (-phrases[phrase], phrase))
    return {
        "rare": some([w for w, s in share.items() if s < 0.001]),
        "middle": some([w for w, s in share.items() if 0.001 <= s <= 0.1]),
        "frequent": some([w for w, s in share.items() if s > 0.1]),
        "one_character": some(list({char for word in share for char in word})),
        "phrase_4": some([*common[:300], *common[:: max(1, len(common) // 300)]]),
    }


@dataclass(frozen=True, slots=True)
class Timed:
    """One class of queries: milliseconds, and how many calls were found. cpu: this process and the server's."""

    p50_ms: float
    p95_ms: float
    cpu_p95_ms: float
    slowest: str
    slowest_ms: float
    mean_found: float


def measure(db: Database, words: Sequence[str]) -> Timed:
    """Search each word twice; the first fills the caches."""
    times, cpu, found = list[tuple[float, str]](), list[float](), 0
    for round_ in range(2):
        for word in words:
            with db.read() as session:
                served = server_cpu_ms(session)
            began, own = time.perf_counter(), time.process_time()
            with db.read() as session:
                page = search_calls(session, SearchQuery(terms_of(word)), offset=0, limit=PAGE)
            spent_ms, own_ms = (time.perf_counter() - began) * 1000, (time.process_time() - own) * 1000
            if round_:
                times.append((spent_ms, word))
                with db.read() as session:
                    cpu.append(own_ms + server_cpu_ms(session) - served)
                found += page.total
    times.sort()
    p50, p95, last = (min(len(times) - 1, len(times) * percent // 100) for percent in (50, 95, 100))
    return Timed(times[p50][0], times[p95][0], sorted(cpu)[p95], times[last][1], times[last][0], found / len(words))


def server_cpu_ms(session: Session) -> float:
    """CPU time of PostgreSQL's process behind the one connection of the pool; SQLite has none."""
    if session.get_bind().dialect.name == "sqlite":
        return 0.0
    connection: Any = session.connection().connection.dbapi_connection
    return int(Path(f"/proc/{connection.info.backend_pid}/schedstat").read_text().split()[0]) / 1e6


def judge(db: Database, made: Made, words: Sequence[str]) -> list[str]:
    """The words that are not answered as reading all texts answers them: the count, the first and the last page."""
    wrong = []
    for word in words:
        (term,) = terms_of(word)
        expected = made.read_all(term, MOST_CALLS + 1)
        n = min(len(expected), MOST_CALLS)
        for offset in {0, max(0, n - PAGE)}:
            with db.read() as session:
                page = search_calls(session, SearchQuery((term,)), offset=offset, limit=PAGE)
            here = [each.call_id for each in page.calls]
            if (page.total, page.capped, here) != (n, len(expected) > n, expected[:n][offset : offset + PAGE]):
                wrong.append(word)
    return wrong


@dataclass(frozen=True, slots=True)
class Indexed:
    """How long indexing took, both stores at once."""

    n_calls: int
    spent_s: float


def make_index(db: Database) -> Indexed:
    """Index everything by what `callqa reindex` calls."""
    began = time.monotonic()
    name = "SQLite" if db.is_sqlite else "PostgreSQL"
    done = reindex(db, now_ms=0, progress=lambda n: _tell(f"{name}: indexed {n} calls") if n % 10_000 == 0 else None)
    spent_s = time.monotonic() - began
    if not db.is_sqlite:
        with db.engine.connect() as connection:
            connection.execution_options(isolation_level="AUTOCOMMIT").execute(text("vacuum analyze"))
    return Indexed(done, spent_s)


def run(db: Database, made: Made, indexed: Indexed, asked: dict[str, list[str]]) -> dict[str, Any]:
    """Judge and measure one filled database."""
    raw, size, tokens = made.raw_bytes, index_bytes(db), fts_bytes(db)
    n, spent_s = indexed.n_calls, indexed.spent_s
    print(f"\n{'SQLite' if db.is_sqlite else 'PostgreSQL'}: {n} calls, raw text {raw / 2**20:.0f} MiB", end="")
    print(f", index {size / 2**20:.0f} MiB = {size / raw:.2f} x (tokens {tokens / raw:.2f} x)")
    print(f"indexing {spent_s:.0f} s ({1000 * spent_s / n:.1f} ms a call)", flush=True)
    result: dict[str, Any] = {
        "index_ratio": round(size / raw, 3),
        "tokens_ratio": round(tokens / raw, 3),
        "raw_mib": round(raw / 2**20, 1),
        "index_ms_per_call": round(1000 * spent_s / n, 2),
    }
    for kind, words in asked.items():
        timed = measure(db, words)
        print(f"  {kind:15} p50 {timed.p50_ms:7.1f} ms   p95 {timed.p95_ms:7.1f} ms", end="")
        print(f"   CPU p95 {timed.cpu_p95_ms:6.1f} ms   slowest {timed.slowest_ms:7.1f} ms ({timed.slowest})", end="")
        print(f"   calls found {timed.mean_found:7.0f} on average", flush=True)
        result |= {
            f"{kind}_p50_ms": round(timed.p50_ms, 1),
            f"{kind}_p95_ms": round(timed.p95_ms, 1),
            f"{kind}_cpu_p95_ms": round(timed.cpu_p95_ms, 1),
        }
    public = {
        kind: [word for word in words if MAY_BE_PRIVATE.isdisjoint(fold_text(word))] for kind, words in asked.items()
    }
    judged = [word for kind, words in public.items() if kind != ALL for word in words[:JUDGED]]
    wrong = judge(db, made, judged)
    print(f"  answers that reading all texts does not give: {len(wrong)} {' '.join(wrong)}", flush=True)
    return result | {"judged": len(judged), "wrong_answers": len(wrong)}


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
    began = time.monotonic()
    with ExitStack() as stack:
        dbs = []
        for url in databases(args.only, stack):
            migrate(url)
            dbs.append(Database(url))
            stack.callback(dbs[-1].dispose)
            drop_index(dbs[-1])
        made = fill(dbs, args.calls, args.seed)
        _tell("indexing")
        with ThreadPoolExecutor(len(dbs)) as pool:
            indexed = list(pool.map(make_index, dbs))
        asked = queries(made, args.queries, args.seed)
        asked[ALL] = [word for kind in ("rare", "middle", "frequent") for word in asked[kind]]
        asked = {kind: words for kind, words in asked.items() if words}
        result |= {"filled_and_indexed_s": round(time.monotonic() - began)}
        gc.freeze()  # the corpus is kept for judging; a server's collector would not walk it
        for db, done in zip(dbs, indexed, strict=True):
            result["sqlite" if db.is_sqlite else "postgresql"] = run(db, made, done, asked)
    fits = all(
        result[name][f"{ALL}_p95_ms"] <= TARGET_MS
        and result[name]["index_ratio"] <= limit
        and not result[name]["wrong_answers"]
        for name, limit in (("sqlite", TARGET_SQLITE), ("postgresql", TARGET_POSTGRESQL))
        if name in result
    )
    print(json.dumps({**result, "took_s": round(time.monotonic() - began), "fits": fits}))
    return 0 if fits else 1


if __name__ == "__main__":
    raise SystemExit(main())
