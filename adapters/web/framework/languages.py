"""Languages of the pages: message catalogues, and formats of money, numbers and times."""

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Final

from babel import Locale, negotiate_locale
from babel.dates import format_date, format_datetime, format_time
from babel.messages.catalog import Message
from babel.messages.pofile import read_po
from babel.numbers import format_compact_decimal, format_currency, format_decimal, format_percent
from babel.plural import to_python

from adapters.web.framework.api_messages import ApiMessages

CATALOGUES: Final = Path(__file__).parent.parent / "locale"
"""`<language>/<section>.po`: a section is a part of the pages, such as `shop`."""
API: Final = "api"
"""The section of the messages of the HTTP API."""
FIELDS: Final = (
    "action", "active", "actor", "address", "bio", "burn_in_epochs", "buyer", "category", "category_id", "code",
    "competitor_price", "competitor_price_at", "cost", "created_after", "created_before", "csv",
    "current_password", "delta", "description", "display_name", "email", "ends_at", "epoch_seconds", "expires_at",
    "fee", "first_name", "from", "in_stock", "is_active", "key", "kind", "last_name", "lines", "max_per_buyer",
    "max_price", "min_hold_days", "min_price", "name", "new_email", "new_password", "order_item", "ordering",
    "parameters", "password", "payment_method", "percent", "period_epochs", "policy", "price", "price_max",
    "price_min", "product", "products", "quantity", "reason", "restock", "scopes", "search", "seller", "series",
    "set", "share", "sku", "staff", "starts_at", "status", "stock", "stock_days", "stock_until", "target", "to",
    "token", "topics", "total_max", "total_min", "url", "user", "weeks",
)  # fmt: skip
"""Fields of the API that messages are about. Their names are in the catalogue `api`, in the context `field`."""
DEFAULT: Final = "en"
"""The language of the messages in the source code."""
LANGUAGES: Final[Mapping[str, str]] = {"en": "English", "ru": "Русский"}
"""The names of the languages in themselves, by code."""


class Language:
    """Translates messages, and formats values for a reader of one language."""

    def __init__(
        self, code: str, messages: Iterable[Message] = (), api_messages: Mapping[str, str] | None = None
    ) -> None:
        """`messages` are those of the catalogues; a message without a translation stays English. `api_messages` are
        the translations of the messages of the HTTP API.
        """
        self.code = code
        self.locale = Locale.parse(code)
        self.plural_form: Callable[[int], int] = _plural_index(self.locale)
        """The index of the plural form for a number."""
        self._texts: dict[tuple[str | None, str], tuple[str, ...]] = {}
        for message in messages:
            source = message.id if isinstance(message.id, str) else message.id[0]
            forms = [message.string] if isinstance(message.string, str) else list(message.string or ())
            translated = tuple(form for form in forms if form)
            if source and translated and len(translated) == len(forms):
                self._texts[message.context, source] = translated
        self.api_translations: Mapping[str, str] = api_messages or {}
        """The messages of the API by their English texts and templates."""
        self._api_messages = ApiMessages(self.api_translations, self)

    def translated(self, text: str | None) -> str:
        """A text of the HTTP API, or None, in this language."""
        return self._api_messages.translate(text or "")

    def gettext(self, message: str) -> str:
        return self._texts.get((None, message), (message,))[0]

    def ngettext(self, singular: str, plural: str, number: int) -> str:
        """The form of the message for `number`; `singular` is the key."""
        found = self._texts.get((None, singular))
        if found is None:
            return singular if number == 1 else plural
        return found[min(self.plural_form(number), len(found) - 1)]

    def pgettext(self, context: str, message: str) -> str:
        """The translation in a context, which distinguishes meanings of one English text."""
        return self._texts.get((context, message), (message,))[0]

    def npgettext(self, context: str, singular: str, plural: str, number: int) -> str:
        found = self._texts.get((context, singular))
        if found is None:
            return singular if number == 1 else plural
        return found[min(self.plural_form(number), len(found) - 1)]

    def field_name(self, path: str) -> str:
        """The name of a field of the API, such as `order_item[0].quantity`, for readers; English ones see the path."""
        key = "field", path.rpartition(".")[2].partition("[")[0]
        return self._texts[key][0] if key in self._texts else path

    def money(self, amount: str | Decimal, currency: str) -> str:
        """An amount in whole units of the currency, such as the decimal strings of the API."""
        return format_currency(Decimal(amount), currency, locale=self.locale)

    def number(self, value: float | Decimal) -> str:
        return format_decimal(value, locale=self.locale)

    def compact(self, value: float) -> str:
        """A short form of a large number, such as `12K`, for axes."""
        return format_compact_decimal(value, locale=self.locale, fraction_digits=1)

    def percent(self, share: float, digits: int = 1) -> str:
        """A share of 1 in percent."""
        pattern = self.locale.percent_formats[None].pattern.replace(
            "#,##0", f"#,##0.{'#' * digits}" if digits else "#,##0"
        )
        return format_percent(share, pattern, locale=self.locale)

    def moment(self, at: datetime | str) -> str:
        """Date and time in UTC; scripts replace it by the reader's time zone."""
        return format_datetime(as_utc(at), "medium", tzinfo=UTC, locale=self.locale)

    def clock(self, at: datetime | str, *, seconds: bool = False) -> str:
        """The time of day in UTC."""
        return format_time(as_utc(at), "medium" if seconds else "short", tzinfo=UTC, locale=self.locale)

    def day(self, at: datetime | str) -> str:
        """The date in UTC."""
        return format_date(as_utc(at).date(), "medium", locale=self.locale)


def as_utc(at: datetime | str) -> datetime:
    """A moment, or the RFC 3339 text of one, as a datetime in UTC."""
    moment = datetime.fromisoformat(at) if isinstance(at, str) else at
    return moment.astimezone(UTC)


@cache
def load(code: str) -> Language:
    """The language with this code, one of `LANGUAGES`. Its catalogues are read at the first use."""
    messages: list[Message] = []
    api_messages: dict[str, str] = {}
    for path in sorted((CATALOGUES / code).glob("*.po")):
        with path.open("rb") as source:
            catalogue = read_po(source, locale=code)
        if path.stem == API:
            found = [each for each in catalogue if each.id and each.string and each.context is None]
            api_messages = {str(each.id): str(each.string) for each in found}
            messages += [each for each in catalogue if each.context is not None]
        else:
            messages += catalogue
    return Language(code, messages, api_messages)


def choose(preferred: str | None, accept_language: str) -> Language:
    """The language that the reader has chosen, otherwise the best one of an Accept-Language header."""
    if preferred in LANGUAGES:
        return load(preferred)
    weighted: list[tuple[float, str]] = []
    for part in accept_language.split(",")[:20]:
        tag, _, parameter = part.strip().partition(";")
        try:
            weight = float(parameter.strip().removeprefix("q=")) if parameter else 1.0
        except ValueError:
            continue
        if tag and weight > 0:
            weighted.append((-weight, tag.strip().lower()))
    tags = [tag for _, tag in sorted(weighted, key=lambda pair: pair[0])]
    return load(negotiate_locale(tags, list(LANGUAGES), sep="-") or DEFAULT)


def _plural_index(locale: Locale) -> Callable[[int], int]:
    """The index of the plural form in a catalogue: forms are in the order of the categories of gettext."""
    category = to_python(locale.plural_form)
    order = ["one", "few", "many"] if locale.language == "ru" else ["one", "other"]

    def index(number: int) -> int:
        name = category(number)
        return order.index(name) if name in order else len(order) - 1

    return index
