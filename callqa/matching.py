"""Distances and canonical forms of what people say and platforms store: phone numbers, names, addresses."""

import re
import unicodedata

_NUMBER_NOISE = re.compile(r"[\s()\-–—.]+")


def canonical_number(raw: str) -> str:
    """One form of a phone number: digits only, without +86 / 0086 / 86 before a mobile or area code.

    `+86 138-7120-6358`, `tel:+8613871206358`, `sip:013871206358@x` (trunk prefix 0 before a mobile) -> `13871206358`;
    `027-84770000` -> `02784770000`. A withheld or non-numeric caller gives "".
    """
    text = unicodedata.normalize("NFKC", raw).strip()
    text = re.sub(r"^(sips?|tel):", "", text, flags=re.IGNORECASE)
    text = re.split(r"[@;>?]", text, maxsplit=1)[0]
    text = _NUMBER_NOISE.sub("", text)
    if not re.fullmatch(r"\+?\d+", text):
        return ""
    digits = text.lstrip("+")
    if digits.startswith("0086"):
        digits = digits[4:]
    elif text.startswith("+86") or (digits.startswith("86") and len(digits) >= 12):
        digits = digits[2:]
    if re.fullmatch(r"0?1[3-9]\d{9}", digits):
        return digits[-11:]
    if text.startswith("+86") and re.fullmatch(r"[1-9]\d{9,10}", digits):
        return "0" + digits  # area code without its trunk 0: +86 27 8477 0000
    return digits


def edit_distance(a: str | tuple[str, ...], b: str | tuple[str, ...]) -> int:
    """Levenshtein distance of two sequences, O(len a * len b)."""
    if len(a) < len(b):
        a, b = b, a
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        previous, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            previous, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, previous + (x != y))
    return row[-1]
