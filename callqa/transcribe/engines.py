"""Which speech engines there are: one row each; a site's own engine is one file, named in the setting speech.engine.

An engine's file has a function like `EngineLoader`. Nothing heavy is imported before it is asked for.
"""

import importlib
from pathlib import Path
from typing import Final, Protocol, cast

from callqa.errors import EngineError
from callqa.transcribe.engine import Engine


class EngineLoader(Protocol):
    """Load an engine with its model. Raise EngineError, in Chinese and with the setting to change, when that cannot be."""

    def __call__(self, model_dir: Path, *, device: str, compute_type: str, threads: int) -> Engine: ...


ENGINES: Final = {"whisper": "callqa.transcribe.whisper:load_engine"}


def find_loader(name: str) -> EngineLoader:
    """The loader of a known engine, or of `module:function`. Raise EngineError when there is none."""
    module_name, _, function = ENGINES.get(name, name).partition(":")
    known = "、".join(ENGINES)
    if not function:
        raise EngineError(
            f"没有“{name}”这个语音引擎；请把设置 speech.engine 改为 {known}，或写成自备引擎的“模块:函数”。"
        )
    try:
        module = importlib.import_module(module_name)
    except ImportError as e:
        raise EngineError(
            f"语音引擎 {name} 的模块 {module_name} 装不上：{e}。请安装它，或把设置 speech.engine 改为 {known}。"
        ) from e
    loader = getattr(module, function, None)
    if not callable(loader):
        raise EngineError(f"语音引擎 {name}：模块 {module_name} 里没有函数 {function}。请检查设置 speech.engine。")
    return cast(EngineLoader, loader)
