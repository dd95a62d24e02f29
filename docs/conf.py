"""Sphinx configuration of the documentation site; `make docs` builds it into build/site."""

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

NAVIGATION: Final = {
    "docs/index": """
```{toctree}
:hidden:
:caption: Use the engine

Get started <../README>
Начало работы <../README.ru>
http-api
webhooks
pricing
announcing-reductions
library
```

```{toctree}
:hidden:
:caption: Operate the engine

operations
caching
upgrading
differences-from-v1
../CHANGELOG
Security <../SECURITY>
Licence of the sample data <../adapters/cli/online_retail/SAMPLE-LICENSE>
```

```{toctree}
:hidden:
:caption: Work on the engine

architecture
glossary
Contributing <../CONTRIBUTING>
adr/README
```
""",
    "docs/adr/README": """
```{toctree}
:hidden:
:glob:

0*
```
""",
}
"""Tables of contents, added here because GitHub would show the directives as code."""


def add_navigation(_app: Sphinx, document: str, content: list[str]) -> None:
    content[0] += NAVIGATION.get(document, "")


def setup(app: Sphinx) -> None:
    app.connect("source-read", add_navigation)
