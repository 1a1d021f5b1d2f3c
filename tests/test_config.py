"""Settings: defaults, environment, refusal of unknown keys with the nearest real one."""

import re
import tomllib
from pathlib import Path

import pytest

from callqa.config import Settings, known_keys, load_settings
from callqa.config_text import default_toml
from callqa.errors import ConfigError


def load(tmp_path: Path, text: str, environ: dict[str, str] | None = None) -> Settings:
    path = tmp_path / "callqa.toml"
    path.write_text(text, encoding="utf-8")
    return load_settings(path, environ or {})


def test_a_file_saved_by_notepad_is_read(tmp_path: Path) -> None:
    path = tmp_path / "callqa.toml"
    path.write_bytes(b"\xef\xbb\xbf[sip]\r\nlisten_port = 5070\r\n")
    assert load_settings(path, {}).sip.listen_port == 5070


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[web]\nlisten_port = 8080\nlisten_host = 192.168.1.5\n", "第 3 行“listen_host = 192.168.1.5”看不懂：值后面"),
        ("[web]\nlisten_host = “192.168.1.5”\n", "全角符号 “”，请改成半角"),
        ("[web]\nlisten_port ＝ 80\n", "等号用半角；这一行有全角符号 ＝"),
        ("[web\nlisten_port = 80\n", "第 1 行“[web”看不懂：方括号没有配对"),
        ('[paths]\nvar = "D:\\callqa"\n', "反斜杠要写两个"),
        ("[web]\n[web]\n", "第 2 行“[web]”看不懂：同一项或同一节写了两次"),
        ("[web]\nsecure_cookie = 是\n", "是否写 true 或 false"),
        ("[database]\nurl = postgresql://qa:geheim@db/qa\n", "第 2 行“url = …”看不懂：等号右边"),
        ('[hotline]\nname = "热线\n', '第 2 行“name = "热线”看不懂'),
        ("[web]\nlisten_port\n\n", "第 2 行“listen_port”看不懂：应写成 名称 = 值"),
    ],
)
def test_what_is_no_toml_is_told_with_its_line_in_chinese(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        load(tmp_path, text)
    assert said in str(refused.value)
    assert not re.search(r"[A-Z][a-z]+ [a-z]+ ", str(refused.value)), "nothing of the reader's English is left"


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
    ("variable", "near"),
    [("CALLQA_SIP_LISTEN_PORT", "CALLQA_SIP__LISTEN_PORT"), ("CALLQA_WEB__LISTN_PORT", "CALLQA_WEB__LISTEN_PORT")],
)
def test_a_misspelt_variable_is_named_as_it_was_written(tmp_path: Path, variable: str, near: str) -> None:
    with pytest.raises(ConfigError, match=rf"环境变量“{variable}”.*“{near}”"):
        load(tmp_path, "", {variable: "1"})


def test_variables_of_the_tests_are_no_settings(tmp_path: Path) -> None:
    assert load(tmp_path, "", {"CALLQA_TESTS_REQUIRE_ALL": "1"}).sip.listen_port == 5060


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[sip]\nlisten_port = 70000\n", "sip.listen_port”应不大于 65535"),
        ("[sip]\nlisten_port = 'abc'\n", "应为整数"),
        ("[sip]\nrtp_port_min = 30000\nrtp_port_max = 20000\n", "必须小于"),
        ("[sip\n", "方括号没有配对"),
        ("sip = 5\n", r"应写成 \[名称\]"),
        ("home = '/elsewhere'\n", "“home”不存在"),
        ("[speech]\ndevice = 'gpu'\n", "只能是 auto、cpu、cuda"),
        ("[speech]\ncompute_type = 'int7'\n", "只能是 int8"),
        ("[web]\nsecure_cookie = 'vielleicht'\n", "应为 true 或 false"),
        ("[hotline]\nname = ''\n", "至少 1 个字"),
    ],
)
def test_a_wrong_value_is_refused_in_chinese(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        load(tmp_path, text)


def test_a_wrong_value_of_a_variable_names_the_variable(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"环境变量 CALLQA_WEB__LISTEN_PORT.*应为整数"):
        load(tmp_path, "", {"CALLQA_WEB__LISTEN_PORT": "eighty"})


def test_a_settings_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "callqa.toml").mkdir()
    with pytest.raises(ConfigError, match=r"callqa\.toml 读不了：它是文件夹"):
        load_settings(tmp_path / "callqa.toml", {})


def test_the_default_file_is_toml_and_names_every_setting() -> None:
    text = default_toml()
    assert tomllib.loads(text)  # sections only, every key commented out
    uncommented = tomllib.loads(re.sub(r"(?m)^# (?=[a-z_]+ = )", "", text))
    for section, keys in known_keys().items():
        if section:
            assert set(uncommented[section]) == set(keys)


def test_the_database_address_is_not_printed(tmp_path: Path) -> None:
    settings = load(tmp_path, "[database]\nurl = 'postgresql://u:geheim@h/d'\n")
    assert "geheim" not in repr(settings)
    assert settings.database_url.endswith("geheim@h/d")
