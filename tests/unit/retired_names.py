"""Names that the code must not define again, by package; docs/glossary.md has the words that replaced them.

Each set holds names of classes, functions, parameters, fields and module variables.
"""

from typing import Final

RETIRED_NAMES: Final[dict[str, frozenset[str]]] = {
    "adapters/http/resources": frozenset(),
    "adapters/http": frozenset({"Backend", "Readers", "READERS", "READS", "HASHERS"}),
    "adapters/http/framework": frozenset(
        {
            "Answer",
            "Directory",
            "Envelope",
            "ON_EVERY_ANSWER",
            "PAUSES",
            "Ready",
            "Shortcut",
            "after_twins",
            "caller",
            "context_of",
            "fingerprint_of",
            "holds_free_values",
            "json_answer",
            "keyed",
            "mistake",
            "refusals",
            "routes_of",
            "who",
        }
    ),
    "adapters/http/cache": frozenset(),
    "adapters/db/queries": frozenset(
        {
            "AccountReads",
            "EventReads",
            "ExportReads",
            "OrderReads",
            "PricingReads",
            "ProductReads",
            "StatisticsReads",
            "StockReads",
            "WebhookReads",
            "KEPT_SECONDS",
            "Kept",
        }
    ),
    "adapters/db": frozenset(),
    "adapters/tasks": frozenset(),
    "adapters/cli": frozenset(),
    "entrypoints": frozenset(),
    "scalecommerce_core/pricing": frozenset(),
    "scalecommerce_core/services": frozenset(),
    "scalecommerce_core/domain": frozenset(),
    "scalecommerce_core/ports": frozenset(),
    "scalecommerce_core/queries": frozenset({"Ordering", "ordering"}),
    "scalecommerce_core/testing": frozenset(),
}
