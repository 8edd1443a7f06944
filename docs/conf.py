"""The site of the documents: `pip install '.[docs]' && sphinx-build -W -n docs build/docs`.

Sphinx, since it alone takes the API from the docstrings and checks each link while it builds; MyST,
since the documents are Markdown that is read where the repository is, too; furo, since it needs no
settings and its pages can be read without scripts. Links that leave the site are looked up by
`sphinx-build -b linkcheck docs build/links`.
"""

from __future__ import annotations

import re
from importlib.metadata import version as version_of
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from docutils import nodes
from docutils.parsers.rst import Directive

from azoth_dlq.cli import azoth_dlq

if TYPE_CHECKING:
    from sphinx.application import Sphinx

_DOCS = Path(__file__).parent
_OF_A_MODULE = re.compile(r"~(?:\w+\.)*|<factory>|<function \w+>")
_LINK = re.compile(r"\[([^\]]+)\]\((\.\./[^)#]+)[^)]*\)")

project = "azoth-dlq"
author = "The azoth-dlq authors"
version = release = version_of("azoth-dlq")
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinxcontrib.mermaid"]
html_theme = "furo"
html_title = f"azoth-dlq {release}"
smartquotes = False  # -- is what an option begins with

myst_enable_extensions = ["deflist"]
myst_heading_anchors = 3
myst_fence_as_directive = ["mermaid"]

default_role = "code"  # docstrings say `name`
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
# Without the network nothing tells of Python's own names; types of ours that are no public names
# stand in signatures alone.
nitpick_ignore_regex = [("py:.*", r"(?!azoth_dlq\.[A-Z]).*")]
linkcheck_anchors = False
suppress_warnings = ["misc.highlighting_failure"]  # what commands print is no shell


class Help(Directive):
    """What `--help` prints of each command, as the program has it."""

    def run(self) -> list[nodes.Node]:
        settings: dict[str, Any] = {**azoth_dlq.context_settings, "terminal_width": 94}
        context = click.Context(azoth_dlq, info_name="azoth-dlq", **settings)
        found = [self._section("azoth-dlq", azoth_dlq.get_help(context))]
        for name in azoth_dlq.list_commands(context):
            command = azoth_dlq.get_command(context, name)
            if command is not None:
                inner = click.Context(command, info_name=name, parent=context)
                found.append(self._section(name, command.get_help(inner)))
        return found

    def _section(self, name: str, text: str) -> nodes.Node:
        section = nodes.section(ids=[nodes.make_id(f"help-{name}")])
        section += nodes.title(text=name)
        section += nodes.literal_block(text, text, language="text")
        return section


def within_the_site(_app: Sphinx, name: str, source: list[str]) -> None:
    """Links to files of the repository that are no documents are told, not followed."""
    folder = (_DOCS / name).parent

    def told(match: re.Match[str]) -> str:
        is_within = (folder / match[2]).resolve().is_relative_to(_DOCS)
        return match[0] if is_within else match[1]

    source[0] = _LINK.sub(told, source[0])


def readable(_app: Sphinx, *found: Any) -> tuple[str | None, str | None]:
    """A signature without what only its module means."""
    signature, returned = found[-2:]
    if signature is not None:
        signature = _OF_A_MODULE.sub(lambda match: "" if match[0][0] == "~" else "…", signature)
    return signature, returned


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_directive("help-of-commands", Help)
    app.connect("source-read", within_the_site)
    app.connect("autodoc-process-signature", readable)
    return {"parallel_read_safe": True}
