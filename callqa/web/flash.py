"""A message that the next page shows once, in a cookie."""

import base64
import json

from fastapi.responses import Response

FLASH_COOKIE = "callqa_flash"
FLASH_KINDS = ("success", "info", "warning", "danger")
FLASH_MAX_CHARS = 600  # a cookie holds 4 KB; a Chinese character takes up to 6 bytes after base64 of UTF-8


def set_flash(response: Response, message: str, kind: str = "success") -> None:
    """Have the next page show `message`. kind: one of FLASH_KINDS."""
    if kind not in FLASH_KINDS:
        raise ValueError(f"flash kind {kind!r} is none of {FLASH_KINDS}")
    text = message if len(message) <= FLASH_MAX_CHARS else message[: FLASH_MAX_CHARS - 1] + "…"
    value = base64.urlsafe_b64encode(json.dumps([kind, text], ensure_ascii=False).encode()).decode()
    response.set_cookie(FLASH_COOKIE, value, max_age=60, httponly=True, samesite="lax")


def read_flash(value: str) -> tuple[str, str] | None:
    """(kind, message) of a flash cookie; None for none or for anything that we did not write."""
    if not value:
        return None
    try:
        kind, text = json.loads(base64.urlsafe_b64decode(value.encode()))
    except (ValueError, TypeError):
        return None
    if kind not in FLASH_KINDS or not isinstance(text, str):
        return None
    return kind, text[:FLASH_MAX_CHARS]
