"""Adds the reference of commands and settings to the site, generated from conf/*.yaml and its comments."""

from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from speechlstm.cli import main as cli
from speechlstm.configs.help import ConfigFile, read

CONF = Path(__file__).parent.parent / "conf"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*").replace("[", "\\[")


def _section(level: int, title: str, file: ConfigFile) -> list[str]:
    """Return the lines of one config file: its heading, its first comment, and a table."""
    lines = [f"{'#' * level} `{title}`", ""]
    if file.head:
        lines += ["```text", *file.head, "```", ""]
    choices = {"???": "required", None: "`null`"}
    rows = [
        f"| `{group}` | {choices.get(name, f'`{name}`')} | option |" for group, name in file.groups.items()
    ]
    for key, setting in file.settings.items():
        if not key.startswith("hydra"):
            value = f"`{setting.value}`".replace("|", "\\|") if setting.value else ""
            value = "required" if setting.value == "???" else value
            rows.append(f"| `{key}` | {value} | {_cell(setting.comment)} |")
    return [*lines, "| setting | default | meaning |", "|---|---|---|", *rows, ""] if rows else lines


def page() -> str:
    """Return the whole reference as Markdown."""
    lines = [
        "# Commands and settings",
        "",
        "Each command has settings of its own and uses one option from each of its groups, such as `encoder=bgru`.",
        "The settings of the options follow those of the commands. A range such as [0, inf) gives the allowed values.",
        "",
        "| command | purpose |",
        "|---|---|",
        *(f"| `speechlstm {name}` | {cli.summary(name)} |" for name in cli.commands()),
        "",
    ]
    for path in sorted(CONF.glob("*.yaml")):
        lines += _section(2, f"speechlstm {path.stem}", read(path))
    for folder in sorted(path for path in CONF.iterdir() if path.is_dir() and path.name != "hydra"):
        lines += [f"## Group `{folder.name}`", ""]
        for path in sorted(folder.glob("*.yaml")):
            lines += _section(3, f"{folder.name}={path.stem}", read(path))
    return "\n".join(lines)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the page to those of docs/."""
    files.append(File.generated(config, "reference/settings.md", content=page()))
    return files
