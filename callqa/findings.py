"""What a look at the installation found: one line for people, with what to do about it. Pure."""

from dataclasses import dataclass

MARKS = {"well": "✓", "warn": "！", "missing": "✗"}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at. level: well, warn (works, but not as it should) or missing (does not work)."""

    level: str
    subject: str
    text: str
    remedy: str = ""

    @property
    def mark(self) -> str:
        return MARKS[self.level]
