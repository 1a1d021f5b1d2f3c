"""The tree of callqa's own errors.

    CallqaError
    ├── ConfigError          callqa.toml or the environment: ours to refuse at start
    ├── UsageError           a command line that makes no sense as a whole
    ├── ProtocolError        bytes from a peer that break a protocol (SIP, SDP, RTP)
    ├── SpoolError           a spool, sidecar, journal or desk file that cannot be read
    ├── AudioError           a file that is no readable audio
    ├── EngineError          the speech engine or its model is missing or unfit
    ├── WordModelError       a word model for homophone repair cannot be used
    ├── ImportFileError      a file for import is unreadable as a whole (wrong columns, wrong encoding)
    ├── ImportRowError       one row of an import is wrong; the others go on
    ├── RubricError          rubric, lexicon or plan text with a mistake, with its line
    ├── StateError           an action that the present state does not allow
    ├── PermissionDenied     an action that the person's role does not allow
    ├── ConflictError        somebody else saved first (version check)
    └── StoreError           database or archive

Messages for staff are Chinese and say what, where and what to do next.
"""


class CallqaError(Exception):
    """Base of every error callqa raises on purpose; `str()` is a sentence for a person."""


class ConfigError(CallqaError):
    """A setting is unknown, missing or out of range."""


class UsageError(CallqaError):
    """Options of a verb contradict each other, or one that is needed is not there."""


class ProtocolError(CallqaError):
    """A peer sent bytes that break the protocol; the message is English, for the log."""


class SpoolError(CallqaError):
    """A file between processes is damaged or of another schema."""


class AudioError(CallqaError):
    """A file is no audio that we can decode."""


class EngineError(CallqaError):
    """The speech engine cannot run: model missing, damaged or not multilingual."""


class WordModelError(CallqaError):
    """A word model is damaged, of another kind, or not there."""


class ImportFileError(CallqaError):
    """A whole import file is refused."""


class ImportRowError(CallqaError):
    """One row of an import is refused.

    row: 1-based line in the file, the header being line 1. column: its Chinese name, or "".
    """

    def __init__(self, row: int, column: str, message: str) -> None:
        super().__init__(f"第 {row} 行{f'“{column}”' if column else ''}：{message}")
        self.row = row
        self.column = column
        self.message = message


class RubricError(CallqaError):
    """A rubric, lexicon or plan has a mistake. line: 1-based, 0 when it concerns the whole text."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(f"第 {line} 行：{message}" if line else message)
        self.line = line
        self.message = message


class StateError(CallqaError):
    """The present state does not allow the action."""


class PermissionDenied(CallqaError):
    """The person's role does not allow the action."""


class ConflictError(CallqaError):
    """The row has changed since it was loaded."""


class StoreError(CallqaError):
    """The database or the archive failed or holds something impossible."""
