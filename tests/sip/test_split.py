"""Splitting header values: the quick way gives what looking at every character gives."""

from hypothesis import given
from hypothesis import strategies as st

from callqa.sip.wire.headers import split_outside


def by_character(text: str, separator: str) -> list[str]:
    parts, part, quoted, depth, escaped = [], "", False, 0, False
    for c in text:
        if escaped or (quoted and c == "\\"):
            escaped = not escaped
        elif c == '"':
            quoted = not quoted
        elif not quoted and c in "<>":
            depth = max(0, depth + (1 if c == "<" else -1))
        elif not quoted and not depth and c == separator:
            parts.append(part)
            part = ""
            continue
        part += c
    return [p.strip() for p in (*parts, part) if p.strip()]


@given(st.text(alphabet='ab ,;<>"\\=\n水', max_size=20), st.sampled_from(",;"))
def test_the_quick_way_splits_as_looking_at_every_character_does(text, separator):
    assert split_outside(text, separator) == by_character(text, separator)


def test_separators_inside_quotes_and_brackets_do_not_split():
    assert split_outside('"a;b\\";c" <sip:x;lr>;tag=1; ;q="2;3"', ";") == ['"a;b\\";c" <sip:x;lr>', "tag=1", 'q="2;3"']
