"""Texts made from the fields of config.py: the commented callqa.toml of a first start, and docs/configuration.md. Pure."""

from pydantic import SecretStr

from callqa.config import Section, Settings


def default_toml() -> str:
    """A callqa.toml with every setting, its default and what it does, commented out."""
    lines = ["# callqa 设置。去掉行首的 # 并改值即可；每项也可用环境变量，如 CALLQA_SIP__LISTEN_PORT=5070。", ""]
    for name, field in Settings.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section):
            lines += [f"# {(field.annotation.__doc__ or '').strip()}", f"[{name}]"]
            for key, sub in field.annotation.model_fields.items():
                lines += [f"# {sub.description}", f"# {key} = {_toml(sub.default)}"]
            lines.append("")
    return "\n".join(lines)


def _toml(value: object) -> str:
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int) else f'"{value}"'


def settings_markdown() -> str:
    """docs/configuration.md: every setting with its default, its environment variable and what it does."""
    lines = [
        "# 设置",
        "",
        "设置写在 `callqa.toml`（首次 `./run up` 时生成，每项带说明），也可用环境变量覆盖；启动时读一次，改后需重启。",
        "写错的名字会被拒绝，并提示最接近的正确名字。席位、中继、拨号方案、质检标准是数据，不在这里，改动随时生效。",
        "",
        "本页由 `./run callqa settings` 生成，请勿手改。",
    ]
    for name, field in Settings.model_fields.items():
        if not (isinstance(field.annotation, type) and issubclass(field.annotation, Section)):
            continue
        lines += ["", f"## [{name}] {(field.annotation.__doc__ or '').strip()}", ""]
        lines += ["| 设置 | 默认值 | 环境变量 | 说明 |", "| --- | --- | --- | --- |"]
        for key, sub in field.annotation.model_fields.items():
            variable = f"CALLQA_{name.upper()}__{key.upper()}"
            lines.append(f"| `{key}` | `{_toml(sub.default)}` | `{variable}` | {sub.description} |")
    return "\n".join(lines) + "\n"
