"""What a form sends, before a use case sees it, and the status of a form that is given back."""

from typing import Annotated

from fastapi import Depends, Request

from callqa.errors import CallqaError, ConflictError

MAX_DIGITS = 9  # no version of anything was ever higher


async def _pairs(request: Request) -> list[tuple[str, str]]:
    return [(k, v) for k, v in (await request.form()).multi_items() if isinstance(v, str)]


async def _fields(request: Request) -> dict[str, str]:
    return dict(await _pairs(request))


PairsDep = Annotated[list[tuple[str, str]], Depends(_pairs)]
FieldsDep = Annotated[dict[str, str], Depends(_fields)]


def read_version(text: str) -> int:
    """The version a form was filled in against. Raise CallqaError for what is no number: the page did not send that."""
    if text.isascii() and text.isdigit() and len(text) <= MAX_DIGITS:
        return int(text)
    raise CallqaError("表单里的版本号不对，没有保存；请刷新页面再填一次")


def refused_status(error: CallqaError) -> int:
    """409 where somebody else was first, else 422."""
    return 409 if isinstance(error, ConflictError) else 422
