"""The words that homophone repair prefers: the site's file."""

from pathlib import Path

from callqa.errors import ConfigError
from callqa.refusals import os_reason
from callqa.transcribe.repair import Repairer, load_repairer
from callqa.transcribe.vocabulary import NO_VOCABULARY, parse_vocabulary


def vocabulary_text(path: Path) -> str:
    """The text of vocabulary.yaml; "" where there is none. Raise ConfigError when it cannot be read."""
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""
    except OSError as e:
        raise ConfigError(f"词表 {path} 读不了：{os_reason(e)}；请检查权限") from e
    except UnicodeDecodeError as e:
        raise ConfigError(f"词表 {path} 不是 UTF-8 文本；请另存为 UTF-8") from e


def make_repairer(text: str, word_model: Path | None = None) -> Repairer | None:
    """The repairer of this machine with the vocabulary in `text` (may be ""); None where no word model can be used.

    word_model: the file of the setting, None for the usual places.
    """
    return load_repairer(parse_vocabulary(text) if text else NO_VOCABULARY, word_model)
