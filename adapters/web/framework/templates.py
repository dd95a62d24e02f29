"""Templates of the pages (Jinja2). Every value is escaped, unless it is marked as markup."""

from collections.abc import Callable, Mapping
from functools import cache, partial
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined, pass_context
from jinja2.runtime import Context

from adapters.web.framework.api_client import encode_query
from adapters.web.framework.languages import LANGUAGES, Language
from adapters.web.framework.qr_codes import qr_code
from adapters.web.framework.static_files import static_url

DIRECTORY: Final = Path(__file__).parent.parent / "templates"
UNLIMITED: Final = "Circuit breaker not tripped: "
"""Start of the sentence of a circuit breaker that limited nothing."""


@cache
def environment(code: str, language: Language) -> Environment:
    """The environment of one language; compiled templates are kept. `code` is the language's."""
    env = Environment(
        loader=FileSystemLoader(DIRECTORY),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
        extensions=["jinja2.ext.i18n", "jinja2.ext.do"],
    )
    # The extension provides the method at run time.
    env.install_gettext_callables(  # type: ignore[attr-defined]
        language.gettext,
        _with_formatted_number(language),
        newstyle=True,
        pgettext=language.pgettext,
        npgettext=language.npgettext,
    )
    env.globals.update(
        static_url=static_url,
        languages=LANGUAGES,
        language=code,
        money=language.money,
        number=language.number,
        compact=language.compact,
        percent=language.percent,
        moment=language.moment,
        clock=language.clock,
        day=language.day,
        link=link_to,
        with_query=with_query,
        category_name=category_name,
        translated=language.translated,
        qr_code=qr_code,
        run_note=partial(run_note, language),
    )
    return env


def _with_formatted_number(language: Language) -> Callable[[str, str, int], str]:
    """`ngettext` of templates, with the number in the reader's format where the message has `%(num)d` or `%(num)s`."""

    def ngettext(singular: str, plural: str, number: int) -> str:
        text, shown = language.ngettext(singular, plural, number), language.number(number)
        return text.replace("%(num)d", shown).replace("%(num)s", shown)

    return ngettext


def category_name(name: str) -> str:
    """The name of a category for readers: `home_appliances` becomes `Home appliances`."""
    return name.replace("_", " ").capitalize()


def run_note(language: Language, note: str) -> str:
    """The note of a pricing run, without the figures of a circuit breaker that limited nothing."""
    before, _, rest = note.partition(UNLIMITED)
    if not rest:
        return language.translated(note)
    # The sentence ends with a percentage; full stops within it are decimal points.
    _, _, after = rest.partition("%. ")
    within = language.gettext("Within the limits of the circuit breaker.")
    return " ".join(filter(None, [language.translated(before.strip()), within, language.translated(after.strip())]))


def link_to(path: str, /, **query: object) -> str:
    """A link to a page with query parameters; None and empty ones are omitted."""
    encoded = encode_query(query)
    return f"{path}?{encoded}" if encoded else path


@pass_context
def with_query(context: Context, **changes: object) -> str:
    """The address of this page with some query parameters changed; None removes one."""
    page = context["page"]
    query: dict[str, object] = {}
    for name, value in page.query.multi_items():
        query.setdefault(name, []).append(value)  # type: ignore[attr-defined]
    return link_to(page.path, **{**query, **changes})


def render(name: str, language: Language, context: Mapping[str, Any]) -> str:
    """Render a template; raise `jinja2.UndefinedError` for a name that the context lacks."""
    return environment(language.code, language).get_template(name).render(context)
