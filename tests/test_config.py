"""Settings: defaults, environment, refusal of unknown keys with the nearest real one."""

import tomllib
from pathlib import Path

import pytest

from callqa.config import Settings, default_toml, known_keys, load_settings
from callqa.errors import ConfigError


def load(tmp_path: Path, text: str, environ: dict[str, str] | None = None) -> Settings:
    path = tmp_path / "callqa.toml"
    path.write_text(text, encoding="utf-8")
    return load_settings(path, environ or {})


def test_a_missing_file_gives_every_default(tmp_path: Path) -> None:
    settings = load_settings(tmp_path / "callqa.toml", {})
    assert settings.sip.listen_port == 5060
    assert settings.var_dir == tmp_path / "var"
    assert settings.database_url == f"sqlite:///{tmp_path / 'var' / 'callqa.db'}"


def test_the_environment_overrides_the_file(tmp_path: Path) -> None:
    settings = load(tmp_path, "[sip]\nlisten_port = 5070\n", {"CALLQA_SIP__LISTEN_PORT": "5080"})
    assert settings.sip.listen_port == 5080


@pytest.mark.parametrize(
    ("text", "wrong", "near"),
    [
        ("[sip]\nlisten_prot = 5070\n", "sip.listen_prot", "sip.listen_port"),
        ("[spi]\nlisten_port = 5070\n", "spi", "sip"),
        ("[speech]\nmodel_path = 'x'\n", "speech.model_path", "speech.model_dir"),
    ],
)
def test_an_unknown_key_is_refused_with_the_nearest_real_one(tmp_path: Path, text: str, wrong: str, near: str) -> None:
    with pytest.raises(ConfigError, match=rf"“{wrong}”不存在；您是不是想写“{near}”"):
        load(tmp_path, text)


def test_a_misspelt_environment_variable_is_refused_too(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"web\.listen_port"):
        load(tmp_path, "", {"CALLQA_WEB__LISTN_PORT": "1"})


@pytest.mark.parametrize(
    "text",
    [
        "[sip]\nlisten_port = 70000\n",
        "[sip]\nrtp_port_min = 30000\nrtp_port_max = 20000\n",
        "[sip\n",
        "[speech]\ndevice = 'gpu'\n",
    ],
)
def test_a_wrong_value_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError):
        load(tmp_path, text)


def test_the_default_file_is_toml_and_names_every_setting() -> None:
    text = default_toml()
    assert tomllib.loads(text)  # sections only, every key commented out
    uncommented = tomllib.loads("\n".join(x.removeprefix("# ") if " = " in x else x for x in text.splitlines()))
    for section, keys in known_keys().items():
        if section:
            assert set(uncommented[section]) == set(keys)


def test_the_database_address_is_not_printed(tmp_path: Path) -> None:
    settings = load(tmp_path, "[database]\nurl = 'postgresql://u:geheim@h/d'\n")
    assert "geheim" not in repr(settings)
    assert settings.database_url.endswith("geheim@h/d")
