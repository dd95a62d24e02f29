"""Updates the message catalogues from templates and code: `python -m adapters.web.framework.catalogues`.

Each section of the pages has one catalogue per language, `locale/<language>/<section>.po`. Texts of the frame and of
components belong to the section `common`, messages of the HTTP API to the section `api`. Translations of messages that
are not used any more are removed.
"""

import sys
from collections.abc import Iterator, Mapping
from io import BytesIO
from pathlib import Path
from typing import Final

from babel.messages.catalog import Catalog
from babel.messages.extract import DEFAULT_KEYWORDS, extract
from babel.messages.pofile import read_po, write_po

from adapters.web.framework.languages import API, CATALOGUES, DEFAULT, FIELDS, LANGUAGES
from adapters.web.framework.message_sources import message_templates

WEB: Final = Path(__file__).parent.parent
SECTIONS: Final[Mapping[str, str]] = {
    "pages/accounts.py": "account",
    "pages/account": "account",
    "templates/account": "account",
    "pages/shop": "shop",
    "templates/shop": "shop",
    "pages/seller": "seller",
    "templates/seller": "seller",
    "pages/admin": "admin",
    "templates/admin": "admin",
}
"""The section of a file or directory below `adapters/web`; all others belong to `COMMON`."""
COMMON: Final = "common"
_TRANSLATED: Final = tuple(code for code in LANGUAGES if code != DEFAULT)


def section_of(path: Path) -> str:
    """The section of a file, from its path below `adapters/web`."""
    name = path.relative_to(WEB).as_posix()
    return next((section for prefix, section in SECTIONS.items() if name.startswith(prefix)), COMMON)


def extract_messages() -> Mapping[str, Catalog]:
    """The messages of the source code, by section."""
    catalogues: dict[str, Catalog] = {}
    for path in _sources():
        # Without `silent`, a template that cannot be parsed is an error, instead of one without messages.
        method, options = (
            "jinja2",
            {"newstyle_gettext": "true", "trimmed": "true", "extensions": "jinja2.ext.do", "silent": "false"},
        )
        if path.suffix == ".py":
            method, options = "python", {}
        with path.open("rb") as source:
            for _, message, comments, context in extract(
                method, source, keywords=DEFAULT_KEYWORDS, comment_tags=["Translators:"], options=options
            ):
                catalogue = catalogues.setdefault(section_of(path), Catalog())
                catalogue.add(message, auto_comments=comments, context=context)
    messages = catalogues.setdefault(API, Catalog())
    for template in message_templates():
        messages.add(template)
    for name in FIELDS:
        messages.add(name, context="field")
    return catalogues


def _sources() -> Iterator[Path]:
    yield from sorted(WEB.glob("templates/**/*.html"))
    yield from sorted(WEB.glob("**/*.py"))


def update(language: str) -> Mapping[str, bytes]:
    """The new contents of the catalogues of a language, by section: all messages, with the translations so far."""
    return {section: _merge(language, section, messages) for section, messages in sorted(extract_messages().items())}


def _merge(language: str, section: str, messages: Catalog) -> bytes:
    path = CATALOGUES / language / f"{section}.po"
    merged = Catalog(locale=language)
    if path.exists():
        with path.open("rb") as stored:
            merged = read_po(stored, locale=language)
    # Fuzzy matches would be translations of other messages.
    merged.update(messages, no_fuzzy_matching=True)
    merged.obsolete.clear()
    written = BytesIO()
    write_po(written, merged, omit_header=True, no_location=True, sort_output=True, width=120)
    return _HEADER.format(language=language, forms=_PLURAL_FORMS[language]).encode() + written.getvalue()


_PLURAL_FORMS: Final = {
    "ru": "nplurals=3; plural=(n%10==1 && n%100!=11 ? 0 : n%10>=2 && n%10<=4 && (n%100<10 || n%100>=20) ? 1 : 2)"
}
_HEADER: Final = """msgid ""
msgstr ""
"Language: {language}\\n"
"Content-Type: text/plain; charset=utf-8\\n"
"Content-Transfer-Encoding: 8bit\\n"
"Plural-Forms: {forms};\\n"

"""


def main() -> int:
    """Write all catalogues; print the messages without a translation, and return 1 if there are any."""
    missing = 0
    for language in _TRANSLATED:
        for section, content in update(language).items():
            path = CATALOGUES / language / f"{section}.po"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            for message in read_po(BytesIO(content), locale=language):
                forms = message.string if isinstance(message.string, tuple | list) else [message.string]
                if message.id and not all(forms):
                    missing += 1
                    sys.stdout.write(f"{path.relative_to(WEB)}: {message.id!r} has no translation\n")
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
