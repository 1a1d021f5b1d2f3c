"""The house rules of docs/architecture.md as data: who may import whom, which packages live in one place only,
and which rooms are pure. A changed house changes these tables."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "callqa"

WORDS = {
    "errors", "files", "findings", "refusals", "units", "periods", "text", "matching", "speech", "privacy", "private_times",
    "searching",
}  # fmt: skip
CONTRACTS = {"sidecar", "desk", "journal", "live", "audiofile", "peaks", "playback"}
EVERYTHING = {"*"}

# room -> what of ours it may import besides itself. The longest room name that fits a module is its room.
MAY_IMPORT: dict[str, set[str]] = {
    **dict.fromkeys(WORDS, WORDS),
    **dict.fromkeys(CONTRACTS, WORDS | CONTRACTS),
    "arguments": WORDS,
    "background": set(),
    "config": WORDS,
    "config_text": {"config"},
    "terminal": WORDS,
    "sip": WORDS | CONTRACTS,
    "sip.process": WORDS | CONTRACTS | {"sip", "config"},
    "transcribe": WORDS | CONTRACTS,
    "scoring": WORDS,
    "tickets": WORDS,
    "reports": WORDS | {"scoring"},
    "store": WORDS | CONTRACTS,
    "usecases": WORDS | CONTRACTS | {"config", "sip", "transcribe", "scoring", "tickets", "reports", "store"},
    "web": WORDS | CONTRACTS | {"config", "usecases", "store", "scoring", "reports"},
    "pipeline": WORDS | {"background", "config", "usecases", "store"},
    "transcriber": WORDS | {"background", "config", "usecases", "store"},
    "demo": EVERYTHING,
    "app": EVERYTHING,
    "cli": EVERYTHING,
    "cli_calls": EVERYTHING,
    "cli_delete": EVERYTHING,
    "cli_imports": EVERYTHING,
    "cli_speech": EVERYTHING,
    "doctor": EVERYTHING,
    "__main__": EVERYTHING,
    "__init__": set(),
}

# third-party package -> the only places that may import it
ONE_PLACE: dict[str, tuple[str, ...]] = {
    "faster_whisper": ("transcribe/whisper.py",),
    "sqlmodel": ("store/", "usecases/", "demo/"),
    "sqlalchemy": ("store/", "usecases/"),
    "alembic": ("store/",),
    "fastapi": ("web/",),
    "starlette": ("web/",),
    "uvicorn": ("web/",),
    "dbos": ("pipeline.py",),
    "av": ("audiofile.py",),
    "uvloop": ("sip/process/",),
    "scipy": ("scoring/statistics.py",),
    "docx": ("reports/",),
    "xlsxwriter": ("reports/",),
    "typst": ("reports/render_pdf.py",),
    "pylopdf_fonts_zh_cn": ("reports/render_pdf.py",),
    "openpyxl": ("tickets/importers/", "tickets/export.py"),
    "pyVoIP": ("demo/",),
    "yaml": ("scoring/", "transcribe/vocabulary.py"),
    "zhconv": ("text.py",),
    "pylibsrtp": ("sip/media/srtp.py",),
    "argon2": ("usecases/accounts.py",),
}

# rooms whose modules are pure: values in, values out
PURE = (
    "text",
    "matching",
    "speech",
    "privacy",
    "private_times",
    "searching",
    "units",
    "errors",
    "refusals",
    "scoring",
    "tickets",
    "reports",
    "sip",
)
IMPURE_PARTS = ("sip.process", "reports.render_docx", "reports.render_xlsx")
FORBIDDEN_IN_PURE = {
    "socket",
    "asyncio",
    "threading",
    "time",
    "random",
    "os",
    "logging",
    "subprocess",
    "sqlmodel",
    "sqlalchemy",
    "fastapi",
    "dbos",
}


def modules() -> Iterator[tuple[str, Path]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        if "migrations" in parts:
            continue
        yield ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts), path


def room_of(module: str) -> str:
    candidates = [room for room in MAY_IMPORT if module == room or module.startswith(room + ".")]
    assert candidates, f"callqa.{module} belongs to no room; name it in MAY_IMPORT and docs/architecture.md"
    return max(candidates, key=len)


@cache
def imports(path: Path) -> tuple[tuple[int, str], ...]:
    """Line and name of each; every rule below asks for every file."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            if node.module == "callqa":
                found += [(node.lineno, f"callqa.{alias.name}") for alias in node.names]
            else:
                found.append((node.lineno, node.module))
    return tuple(found)


def test_rooms_import_only_what_they_may() -> None:
    wrong = []
    for module, path in modules():
        room = room_of(module)
        allowed = MAY_IMPORT[room]
        for line, name in imports(path):
            if not name.startswith("callqa.") or "*" in allowed:
                continue
            target = name.removeprefix("callqa.")
            if target == "__version__":
                continue
            there = room_of(target)
            if there != room and there not in allowed:
                wrong.append(f"{path.relative_to(ROOT)}:{line} {room} imports {there}")
    assert not wrong, "\n".join(wrong)


def test_the_product_never_imports_the_demo_or_the_softphone() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{line}"
        for module, path in modules()
        if not module.startswith("demo")
        for line, name in imports(path)
        if name.startswith(("callqa.demo", "pyVoIP"))
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("package", ONE_PLACE)
def test_a_third_party_package_has_one_place(package: str) -> None:
    wrong = []
    for _, path in modules():
        where = path.relative_to(PACKAGE).as_posix()
        for line, name in imports(path):
            if name.split(".")[0] == package and not where.startswith(ONE_PLACE[package]):
                wrong.append(f"callqa/{where}:{line}")
    assert not wrong, f"{package} imported outside {ONE_PLACE[package]}: {wrong}"


def test_pure_rooms_touch_nothing_outside() -> None:
    wrong = []
    for module, path in modules():
        if not module.startswith(PURE) or module.startswith(IMPURE_PARTS):
            continue
        for line, name in imports(path):
            if name.split(".")[0] in FORBIDDEN_IN_PURE:
                wrong.append(f"{path.relative_to(ROOT)}:{line} imports {name}")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                called = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
                bare = isinstance(node.func, ast.Name) and called in ("open", "print", "input")
                if bare or called in ("utcnow", "today"):
                    wrong.append(f"{path.relative_to(ROOT)}:{node.lineno} calls {called}()")
    assert not wrong, "\n".join(wrong)


def test_every_rule_speaks_of_something_that_is_there() -> None:
    """A permission nobody uses, or for a file that is gone, would let something in unseen."""
    found = dict(modules())
    used: dict[str, set[str]] = {}
    for module, path in found.items():
        ours = (name.removeprefix("callqa.") for _, name in imports(path) if name.startswith("callqa."))
        used.setdefault(room_of(module), set()).update(room_of(name) for name in ours if name != "__version__")
    idle = [f"no module is in the room {room}" for room in MAY_IMPORT if room not in used]
    idle += [
        f"{room} never imports {other}"
        for room, allowed in MAY_IMPORT.items()
        for other in sorted(allowed - EVERYTHING - WORDS - CONTRACTS - used.get(room, set()))
    ]
    idle += [
        f"no module begins with {name}" for name in PURE + IMPURE_PARTS if not any(m.startswith(name) for m in found)
    ]
    idle += [
        f"nothing in {place} imports {package}"
        for package, places in ONE_PLACE.items()
        for place in places
        if not any(
            name.split(".")[0] == package
            for path in found.values()
            if path.relative_to(PACKAGE).as_posix().startswith(place)
            for _, name in imports(path)
        )
    ]
    assert not idle, "\n".join(idle)


def _files_named(text: str) -> Iterator[str]:
    """Every path between backticks, `a/{b,c}.py` written out; what is no path (signatures, addresses, globs) left out."""
    for code in re.findall(r"`([^`\n]+)`", text):
        for name in (name.removesuffix("/.py") for word in code.split() for name in _written_out(word)):
            if re.fullmatch(r"[\w./-]+", name) and ("/" in name or name.endswith(".py")) and not name.startswith("/"):
                yield name


def _written_out(pattern: str) -> list[str]:
    found = re.search(r"\{([^{}]*)\}", pattern)
    if found is None:
        return [pattern]
    before, after = pattern[: found.start()], pattern[found.end() :]
    return [whole for part in found[1].split(",") for whole in _written_out(before + part.strip() + after)]


def test_every_file_the_map_names_is_there() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    table = text[text.index("## 4.") : text.index("## 5.")]
    roots = (ROOT, PACKAGE, PACKAGE / "web")
    gone = {
        name
        for name in _files_named(table)
        if name != "var/"  # made by the first start
        and not any((root / name).exists() or (root / f"{name}.py").exists() for root in roots)
    }
    assert not gone, sorted(gone)
