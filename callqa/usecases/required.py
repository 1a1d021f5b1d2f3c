"""Text that a person has to write before something is done: a reason, a note. Cleaned, there, and not too long."""

import unicodedata

from callqa.errors import CallqaError
from callqa.privacy import mask_text


def one_line(text: str) -> str:
    """Without control characters, spaces and line ends run together."""
    return " ".join("".join(" " if unicodedata.category(c).startswith("C") else c for c in text).split())


def required_line(text: str, what: str, most_chars: int, *, missing: str = "") -> str:
    """One line, a citizen's number in it masked. what: its name in Chinese; missing: said instead of 请写明… when nothing was
    written. Raise CallqaError."""
    return mask_text(_checked(one_line(text), what, most_chars, missing))


def required_text(text: str, what: str, most_chars: int, *, missing: str = "") -> str:
    """The same where lines are kept, with the line ends of a file."""
    return _checked(text.replace("\r\n", "\n").strip(), what, most_chars, missing)


def told_text(text: str, what: str, most_chars: int, *, missing: str = "") -> str:
    """The same for what goes from one person to others, as an appeal and its answer do: a citizen's number in it is masked."""
    return mask_text(required_text(text, what, most_chars, missing=missing))


def _checked(clean: str, what: str, most_chars: int, missing: str) -> str:
    if not clean:
        raise CallqaError(missing or f"请写明{what}")
    if len(clean) > most_chars:
        raise CallqaError(f"{what}最多 {most_chars} 字，现在 {len(clean)} 字")
    return clean
