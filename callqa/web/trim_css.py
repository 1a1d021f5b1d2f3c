"""A style sheet without the rules that no page of ours can match. Pure.

A framework's sheet has ten rules for one that we use; the browser reads them all before it paints anything. A rule goes when
its selector needs a class (or a data attribute) that is no word of our templates and scripts. What is not understood stays.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

_WORD = re.compile(r"[A-Za-z_][\w-]*")
# A class put together while the page is made: alert-{{ kind }}, `cq-dot-${tone}`, "btn-" ~ size.
_STEM = re.compile(r"([A-Za-z_][\w-]*-)(?:\{[{%]|\$?\{|[\"']\s*[~+%])")
_TOKEN = re.compile(r""""(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|/\*.*?\*/|[{};]""", re.S)
_NEEDED = re.compile(r"\.((?:\\.|[\w-])+)|\[(data-[\w-]+)")
_COMMENT = re.compile(r"/\*.*?\*/", re.S)
_INNER = re.compile(r"\([^()]*\)")
_GROUPS = ("@media", "@supports", "@layer", "@container")


@dataclass(frozen=True, slots=True)
class Words:
    """What our pages may name: whole words, and beginnings of words."""

    whole: frozenset[str]
    stems: tuple[str, ...]

    def have(self, name: str) -> bool:
        """Whether a page may carry this class or attribute."""
        return name in self.whole or name.startswith(self.stems)


def words_of(texts: Iterable[str]) -> Words:
    """Every word of templates, scripts and modules: more than the classes in them, and none of those left out."""
    whole, stems = set[str](), set[str]()
    for text in texts:
        whole.update(_WORD.findall(text))
        stems.update(_STEM.findall(text))
    return Words(frozenset(whole), tuple(sorted(stems)))


def trim(css: str, words: Words) -> str:
    """The sheet with only the rules that may match, in their order."""
    return "".join(_kept(css, words))


def _kept(css: str, words: Words) -> Iterator[str]:
    for before, body in _statements(css):
        if body is None:
            yield before
            continue
        yield "".join(_COMMENT.findall(before))
        prelude = _COMMENT.sub("", before)
        if prelude.lstrip().startswith(_GROUPS):
            inner = trim(body, words)
            if inner.strip():
                yield f"{prelude}{{{inner}}}"
        elif prelude.lstrip().startswith("@"):
            yield f"{prelude}{{{body}}}"
        else:
            selectors = [one for one in _split(prelude) if _may_match(one, words)]
            if selectors:
                yield f"{','.join(selectors)}{{{body}}}"


def _statements(css: str) -> Iterator[tuple[str, str | None]]:
    """(what stands before its braces, what stands between them), or (a statement, None)."""
    depth = start = opened = 0
    for token in _TOKEN.finditer(css):
        match token[0]:
            case ";" if depth == 0:
                yield css[start : token.end()], None
                start = token.end()
            case "{":
                if depth == 0:
                    opened = token.start()
                depth += 1
            case "}":
                depth -= 1
                if depth == 0:
                    yield css[start:opened], css[opened + 1 : token.start()]
                    start = token.end()
    if css[start:].strip():
        yield css[start:], None


def _split(selectors: str) -> list[str]:
    """A list of selectors at its own commas, not at those between parentheses."""
    parts, depth, start = [], 0, 0
    for at, char in enumerate(selectors):
        depth += (char == "(") - (char == ")")
        if char == "," and depth == 0:
            parts.append(selectors[start:at])
            start = at + 1
    return [*parts, selectors[start:]]


def _may_match(selector: str, words: Words) -> bool:
    """Whether all that it needs can be there. What stands in parentheses (:not, :is) is taken as fulfilled."""
    while (bare := _INNER.sub("", selector)) != selector:
        selector = bare
    needed = _NEEDED.findall(selector)
    return all(
        attribute in words.whole if attribute else words.have(name.replace("\\", "")) for name, attribute in needed
    )
