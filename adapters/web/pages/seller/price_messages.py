"""Messages of the API about prices in the reader's language.

The API gives each message as an English template with parameters. `TEMPLATES` repeats the templates, so that they are
in the catalogues; a test compares them with those of the core. A template without a translation stays English.
"""

from collections.abc import Mapping
from typing import Any, Final

from babel.units import format_unit

from adapters.web.framework.languages import Language
from scalecommerce_core.domain.currencies import MINOR_PER_UNIT
from scalecommerce_core.domain.identifiers import PolicyId, ProductId
from scalecommerce_core.domain.money import minor_units
from scalecommerce_core.pricing.decisions import Decision
from scalecommerce_core.pricing.explaining import GUARDRAIL_MESSAGES
from scalecommerce_core.pricing.interface import Motive
from scalecommerce_core.pricing.messages import Amount, Message, Share


def N_(text: str) -> str:  # noqa: N802 - the usual name for texts that are translated later
    return text


TEMPLATES: Final = (
    N_("Kept at {price}"),
    N_("Raised by {share} to {price}"),
    N_("Lowered by {share} to {price}"),
    N_("the strategy proposes this price"),
    N_("there is no reason for another price"),
    N_("there is not enough demand data at this price yet"),
    N_("profit per view rose after the last change"),
    N_("profit per view fell after the last change"),
    N_("the stock would sell out too soon"),
    N_("the stock would last longer than needed"),
    N_("sales are clearly above your target"),
    N_("sales are clearly below your target"),
    N_("past sales at other prices indicate that this price earns most"),
    N_("sales at other prices are needed to estimate demand"),
    N_("the strategy proposed no price"),
    N_("no other price is likely to earn more"),
    N_("a price below the competitor's earns more than a higher one"),
    N_("the strategy proposed a price that is infinite, zero or negative"),
    N_("an experiment returns this product to your own price, to compare"),
    N_("an experiment compares the policy with your own prices, and this product keeps yours"),
    N_("too few people have viewed the product"),
    N_("the product is too new"),
    N_("the product is out of stock, so its sales say nothing about its price"),
    N_("you set this price yourself"),
    N_("a promotion is running"),
    N_("views, sales or refunds jumped by more than a change of the price explains"),
    N_("a lower price before the announced promotion would lower its prior price"),
    N_("the marketplace keeps each price of this category for a minimum time"),
    N_("the price changed recently"),
    N_("the change would be too small to matter"),
    N_("the circuit breaker limited this run, and no smaller change of this price is possible"),
    N_("limited by the lowest price that your limits and costs allow"),
    N_("limited by the highest price that your limits and the usual price allow"),
    N_("limited by the largest step"),
    N_("limited by the largest change in a day"),
    N_("limited by the largest change in 30 days"),
    N_("limited by the price ending"),
    N_("limited by the circuit breaker, because the run would have changed prices by too much on the whole"),
    N_("the price is unchanged"),
    N_("not in force: the run is in progress, was cancelled or not approved, or is in shadow"),
    N_("not in force: the price or the product was changed in the meantime"),
    N_("in force since {since}"),
    N_("in force from {since} until {until}"),
    N_("in force from {since} until {until}, when it was rolled back"),
    N_("rolled back"),
    N_("an experiment keeps the product at the seller's own price, to compare"),
    N_("the product is out of stock"),
    N_("the price was set by hand, restored by a rollback or withdrawn, and is kept for an epoch"),
    N_("views, sales or refunds jumped; the price is kept for an epoch"),
    N_("not below min_price, nor below cost, fees and the least margin"),
    N_("not above max_price, nor far above the median price of 90 days"),
    N_("limited to the largest change in an epoch"),
    N_("limited to the largest change in a day"),
    N_("limited to the largest change in 30 days"),
    N_("not lowered before an announced promotion, whose prior price would be lower"),
    N_("prices of the category are kept for the minimum hold that the marketplace has set"),
    N_("the price changed recently and is kept for a while"),
    N_("rounded to the price ending that the seller chose"),
    N_("reduced, because the run would have changed too many prices, or the mean price, by too much"),
    N_("{price}, in force for {days}"),
    N_("{price}, in force from the start"),
    N_("{price}, the seller's starting price"),
    N_("not used: a promotion is running"),
    N_("not used: a promotion ran, or the figures of the release before the last upgrade cannot be compared"),
    N_("no data at this price yet"),
    N_("{units} units sold in {days} on sale, compared with time: views are not counted"),
    N_("no views and no sales at this price in the last {days} on sale"),
    N_("{views} views and {units} units sold in {days} on sale"),
    N_("a conversion of {conversion}"),
    N_("used as {used_views} views, because views depend on the price"),
    N_("{views} views and {units} units sold, net of refunds: too unusual for this product to learn from"),
    N_(
        "{views} views and {units} units sold, net of refunds, used as {used_views} views and"
        " {used_units} units, because views rose or fell earlier without sales"
    ),
    N_(
        "{views} views and {units} units sold, net of refunds; unusual for this product, and used as"
        " {used_views} views and {used_units} units with a weight of {weight}"
    ),
    N_("{units} of earlier prices, {price} on average, paid"),
    N_("{units} of earlier prices, {price} on average, refunded"),
    N_("{units} units"),
    N_("enough for {days} at this rate of sales"),
    N_("intended to last {days}"),
    N_("unknown, so the price stays near the seller's price"),
    N_("{cost}: a margin of {margin} of the price"),
    N_("{cost} and a fee of {fee}: a margin of {margin} of the price"),
    N_("at least {lowest}"),
    N_("at most {highest}"),
    N_("at least {lowest} and at most {highest}"),
    N_("{days} for each price of the category"),
    N_("held out at the seller's own price, {price}"),
    N_("always {price} in the last {days}"),
    N_("{lowest} to {highest} in the last {days}"),
    N_("median {price} in the last {days}"),
    N_("median {price} in the last {days}; last set by hand, rollback or withdrawal {since_edit} earlier"),
    N_(
        "a price 1 % higher sells {less} % less, plus or minus {deviation} (elasticity {elasticity}); in"
        " its category {category} % less"
    ),
    N_("the product was listed at this price"),
    N_("the seller set this price"),
    N_("a pricing policy set this price; its decision is not kept any more"),
    N_("an import set this price"),
    N_("the pricing run that had changed the price was rolled back"),
    N_("this price replaces one that was withdrawn as a mistake"),
    N_("the price of an announced promotion"),
    N_("the promotion ended"),
    N_("No pricing policy has decided about this product yet."),
    N_("The strategy {strategy} does not estimate how demand depends on the price."),
    N_("The strategy {strategy} is not installed, so its estimates cannot be read."),
    N_("The last decision was made by an earlier release, whose estimates are not shown."),
    N_("Nobody viewed this product in the last epochs, so its sales cannot be estimated."),
    N_("The strategy {strategy} failed to estimate the demand: {error}"),
    N_("The cost of the product is unknown, so its profit cannot be estimated: enter the cost."),
)
HEADINGS: Final[Mapping[str, str]] = {
    "price": N_("Price"),
    "reference": N_("Your starting price"),
    "demand": N_("Demand"),
    "late sales": N_("Late sales"),
    "stock": N_("Stock"),
    "cost": N_("Cost"),
    "bounds": N_("Bounds"),
    "minimum hold": N_("Minimum hold"),
    "experiment": N_("Experiment"),
    "past prices": N_("Past prices"),
    "belief": N_("Learnt from sales"),
}
"""Headings of the inputs of a decision, by the name that the API uses."""
RENDERED: Final[Mapping[str, str]] = {
    "{price}, the seller's starting price": N_("{price}, as you set it"),
    "median {price} in the last {days}; last set by hand, rollback or withdrawal {since_edit} earlier": N_(
        "median {price} in the last {days}; {since_edit} before the decision, the price was set by hand, rolled back or"
        " withdrawn"
    ),
}
"""Other texts for messages that read badly beside the heading of their input on a page."""
_TIME_UNITS: Final = (("day", 1.0), ("hour", 1 / 24), ("minute", 1 / 1440))


def format_message(message: Mapping[str, Any], language: Language, currency: str) -> str:
    """A message of the API in the reader's language and formats."""
    parameters = {
        name: _format(each["kind"], each["value"], language, currency) for name, each in message["parameters"].items()
    }
    template = RENDERED.get(message["template"], message["template"])
    return language.gettext(template).format_map(parameters)


def decision_sentence(document: Mapping[str, Any], language: Language) -> str:
    """The price change and the causes of a decision that the API describes by `motive` and `guardrails`."""
    currency = document["currency"]
    decision = Decision(
        ProductId(document["product"]),
        PolicyId(document["policy"]),
        document["policy_version"],
        document["epoch"],
        minor_units(document["old_price"], currency),
        minor_units(document["new_price"], currency),
        None,
        Motive(document["motive"]),
        tuple(document["guardrails"]),
        MINOR_PER_UNIT[currency],
    )
    causes = "; ".join(_say(cause, language, currency) for cause in decision.causes)
    return f"{_say(decision.change, language, currency)}: {causes}."


def guardrail_sentences(document: Mapping[str, Any], language: Language) -> list[str]:
    """What each guardrail did that acted in a decision."""
    return [
        to_sentence(language.gettext(GUARDRAIL_MESSAGES.templates.get(name, name))) for name in document["guardrails"]
    ]


def _say(message: Message, language: Language, currency: str) -> str:
    """A message of the core, whose parameters are amounts and shares."""
    parameters = {}
    for name, value in message.parameters.items():
        match value:
            case Amount():
                parameters[name] = language.money(str(value), currency)
            case Share():
                parameters[name] = language.percent(value.value)
            case _:
                parameters[name] = str(value)
    return language.gettext(message.template).format_map(parameters)


def to_sentence(text: str) -> str:
    """The text with a capital letter and a full stop."""
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else ".")


def heading(name: str, language: Language) -> str:
    return language.gettext(HEADINGS.get(name, name))


def duration(days: float, language: Language) -> str:
    """A duration in its largest unit of time, up to days."""
    for unit, length in _TIME_UNITS:
        if days >= length:
            return format_unit(round(days / length, 1), unit, locale=language.locale)
    return format_unit(round(days * 86_400), "second", locale=language.locale)


def _format(kind: str, value: Any, language: Language, currency: str) -> str:
    match kind:
        case "amount":
            return language.money(value, currency)
        case "share":
            return language.percent(value)
        case "number":
            return language.number(round(value, 2))
        case "units":
            return language.ngettext("%(num)s unit", "%(num)s units", round(value)) % {"num": language.number(value)}
        case "days":
            return duration(value, language)
        case "moment":
            return f"{language.moment(value)} UTC"
        case _:
            return str(value)
