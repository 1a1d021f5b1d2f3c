"""One board from the recorder's socket, for a page that is made now. Following it is live.py's, commands are a use case."""

import socket
from pathlib import Path

from pydantic import ValidationError

from callqa.live import Board

FIRST_BOARD_WITHIN_S = 0.5
MAX_LINE_BYTES = 1024 * 1024  # a board of a thousand calls is 200 KB


def find_board(path: Path) -> Board | None:
    """The recorder's board now; None when it does not answer."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(FIRST_BOARD_WITHIN_S)
        try:
            connection.connect(str(path))
            with connection.makefile("rb") as lines:
                return parse_board(lines.readline(MAX_LINE_BYTES))
        except OSError:
            return None


def parse_board(line: bytes) -> Board | None:
    """The board that a line is; None for anything else."""
    try:
        return Board.model_validate_json(line)
    except ValidationError:
        return None
