"""What of the documentation is not written by hand: pages of the project's own files, and the reference.

Used by mkdocs, see mkdocs.yml. Nothing is written beside the sources: generated pages exist in `site/` alone.
"""

from __future__ import annotations

import ast
import contextlib
import io
import os
import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]

COPIES = {
    "datamodules/README.md": "rooms/datamodules.md",
    "lightning_modules/README.md": "rooms/lightning_modules.md",
    "experiments/README.md": "rooms/experiments.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "CHANGELOG.md": "changelog.md",
}
"""Files of the project that are pages as they stand, and the pages' places."""

PAGES = {**COPIES, "README.md": "index.md", "LICENSE": "licences.md"}
"""Files whose links lead to a page."""

LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s]+)\)")
SECTION = re.compile(r"^<!-- (\S+): (.+) -->$", re.MULTILINE)
METRICS = "metrics."

STAGES = "training.commands:"
"""Home of the commands on one row, which take the same options."""


def on_files(files: Files, config: Any) -> Files:
    """Adds the pages that are made."""
    pages = {place: (ROOT / name).read_text() for name, place in COPIES.items()}
    pages["reference/commands.md"] = commands()
    pages["reference/datamodules.md"] = "# Data\n\n" + names_of("datamodules")
    pages["reference/lightning_modules.md"] = "# Models\n\n" + names_of("lightning_modules", without=METRICS)
    pages["reference/metrics.md"] = (
        "# Metrics\n\nThe keys of `metrics.json` are described in `pixel_figures` and `frame_figures`, and in short "
        "under [Metrics](../rooms/lightning_modules.md#metrics).\n\n"
        + names_of("lightning_modules", only=METRICS)
        + "## metrics.thresholds\n\n::: lightning_modules.metrics.thresholds.choose_point\n"
    )
    for place, text in pages.items():
        files.append(File.generated(config, place, content=text))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Puts in the sections that a page names, and makes links to the project's files lead to pages."""
    place = page.file.src_uri
    home = next((name for name, copy in COPIES.items() if copy == place), f"docs/{place}")

    def section(match: re.Match[str]) -> str:
        name, title = match.groups()
        return with_links(section_of((ROOT / name).read_text(), title), name, place)

    return SECTION.sub(section, with_links(markdown, home, place))


def section_of(text: str, title: str) -> str:
    """A section of a Markdown text, without its heading."""
    parts = re.split(rf"^##+ {re.escape(title)}\n", text, flags=re.MULTILINE)
    if len(parts) != 2:
        raise ValueError(f"there are {len(parts) - 1} sections {title!r}, wanted one")
    return re.split(r"^## ", parts[1], flags=re.MULTILINE)[0].strip()


def with_links(text: str, home: str, place: str) -> str:
    """Markdown of a file of the project as it stands on a page: a link to what is no page leaves its text.

    Args:
        text: Markdown.
        home: Where it stands in the project.
        place: The page.
    """

    def link(match: re.Match[str]) -> str:
        mark, label, target = match.groups()
        path, hash_, anchor = target.partition("#")
        if not path or "://" in target:
            return match.group()
        named = posixpath.normpath(posixpath.join(posixpath.dirname(home), path))
        page = PAGES.get(named) or (named.removeprefix("docs/") if named.startswith("docs/") else "")
        if not page:
            return label
        return f"{mark}[{label}]({posixpath.relpath(page, posixpath.dirname(place) or '.')}{hash_}{anchor})"

    parts = re.split(r"(^```.*?^```$)", text, flags=re.MULTILINE | re.DOTALL)
    return "".join(part if part.startswith("```") else LINK.sub(link, part) for part in parts)


def names_of(room: str, only: str = "", without: str = "\n") -> str:
    """Directives for what a room offers, under the file that each comes from.

    Args:
        room: A package with an `__init__.pyi`.
        only: What the files' dotted names begin with; by default anything.
        without: What they do not begin with; by default nothing.
    """
    parts: dict[str, list[str]] = {}
    for node in ast.parse((ROOT / room / "__init__.pyi").read_text()).body:
        if isinstance(node, ast.ImportFrom) and node.module:
            parts.setdefault(node.module, []).extend(alias.name for alias in node.names)
    taken = {module: names for module, names in parts.items() if f"{module}.".startswith(only)}
    return "".join(
        f"## {module}\n\n" + "".join(f"::: {room}.{module}.{name}\n\n" for name in names)
        for module, names in taken.items()
        if not f"{module}.".startswith(without)
    )


def commands() -> str:
    """The page of make's targets and the program's commands, each by its own help."""
    os.environ["COLUMNS"] = "100"
    lines = ["# Commands", "", "## make", "", "| target | does | variables |", "|---|---|---|", *targets(), ""]
    lines += ["## python -m experiments", "", *told(), ""]
    return "\n".join(lines)


def targets() -> Iterator[str]:
    """Rows of a table of the Makefile's targets."""
    for line in (ROOT / "Makefile").read_text().splitlines():
        if match := re.match(r"([a-z0-9-]+):.*?## (.+?)(?:: | (?=\[)|$)(.*)$", line):
            target, does, variables = match.groups()
            yield f"| `make {target}` | {does} | {f'`{variables}`' if variables else ''} |"


def told() -> Iterator[str]:
    """What the program says of its commands and of the options of each."""
    from experiments.cli import COMMANDS, main

    yield from ("| command | does |", "|---|---|")
    for name, command in COMMANDS.items():
        yield f"| [`{name}`](#{name}) | {command.text.replace('[', chr(92) + '[')} |"
    for name, command in COMMANDS.items():
        yield from ("", f"### {name}", "")
        if command.home.startswith(STAGES) and name != "fit":
            yield "The options of [`fit`](#fit)."
            continue
        if name == "fit":
            yield "What follows `--model.init_args.` and `--data.init_args.` stands under"
            yield "[Models](lightning_modules.md) and [Data](datamodules.md)."
        said = io.StringIO()
        with contextlib.redirect_stdout(said), contextlib.suppress(SystemExit):
            main([name, "--help"])
        usage, _, options = said.getvalue().strip().partition("\n\n")
        yield from ("", "```text", options if name == "fit" else f"{usage}\n\n{options}", "```")
