"""Sphinx configuration of the documentation site; `make docs` builds it into build/site."""

import re
import tomllib
from pathlib import Path
from typing import Final

from sphinx.application import Sphinx

ROOT: Final = Path(__file__).parent.parent

project = "ScaleCommerce"
author = "The ScaleCommerce developers"
version = release = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
extensions = ["myst_parser"]

# The root of the repository is the source directory, so that links between docs/ and README.md are the same on GitHub
# and on the site.
include_patterns = ["*.md", "docs/**.md", "adapters/cli/online_retail/*.md"]
exclude_patterns = ["tests", "bench", "entrypoints", "scalecommerce_core", "build", "dist", ".*"]
root_doc = "docs/index"

# Anchors of headings as on GitHub.
myst_heading_anchors = 4

html_theme = "furo"
html_title = f"ScaleCommerce {release}"
html_extra_path = ["site"]
html_copy_source = False
html_show_sphinx = False
html_show_copyright = False

INDEX_ROW: Final = re.compile(r"^\| \[(.+?)\]\((.+?)\.md\) \|", re.MULTILINE)
TOCTREE: Final = """
```{{toctree}}
:hidden:
{options}

{entries}
```
"""


def navigation(index: str) -> str:
    """One table of contents for each section of docs/index.md, with the links of the section's table."""
    sections = (section.partition("\n") for section in index.split("\n## ")[1:])
    return "".join(
        TOCTREE.format(
            options=f":caption: {heading}",
            entries="\n".join(f"{title} <{page}>" for title, page in INDEX_ROW.findall(body)),
        )
        for heading, _, body in sections
    )


def add_navigation(_app: Sphinx, document: str, content: list[str]) -> None:
    """Add what Sphinx needs and GitHub would show as code."""
    if document == root_doc:
        content[0] += navigation(content[0])
    elif document == "docs/adr/README":
        content[0] += TOCTREE.format(options=":glob:", entries="0*")
    elif not document.startswith("docs/") and "/" in document:
        # Reached by a link from a page, not from the navigation.
        content[0] = f"---\norphan: true\n---\n{content[0]}"


def setup(app: Sphinx) -> None:
    app.connect("source-read", add_navigation)
