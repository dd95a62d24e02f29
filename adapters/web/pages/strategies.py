"""The strategies of pricing policies in the reader's language."""

from collections.abc import Mapping

from adapters.web.framework.languages import Language


def strategy_words(language: Language) -> Mapping[str, str]:
    """The titles of the strategies of this package; plug-ins are shown with their names only."""
    _ = language.gettext
    return {
        "competitor": _("Competitor's price"),
        "controlled_variance": _("Controlled variance"),
        "elasticity_learning": _("Learning from sales"),
        "hill_climb": _("Hill climbing"),
        "inventory": _("Limited stock"),
        "linear_demand": _("Linear demand"),
        "price_grid": _("Price grid"),
        "price_list_inventory": _("Price list for a limited stock"),
        "substitutes": _("Substitutes"),
        "threshold": _("Sales target"),
    }
