"""Names that the code must not define again, by package; docs/glossary.md has the words that replaced them.

Each set holds names of classes, functions, parameters, fields and module variables.
"""

from typing import Final

RETIRED_NAMES: Final[dict[str, frozenset[str]]] = {
    "adapters/http/resources": frozenset(),
    "adapters/http": frozenset(
        {
            "Backend",
            "HASHERS",
            "READERS",
            "READS",
            "Readers",
        }
    ),
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
            "KEPT_SECONDS",
            "Kept",
            "OrderReads",
            "PricingReads",
            "ProductReads",
            "StatisticsReads",
            "StockReads",
            "WebhookReads",
        }
    ),
    "adapters/db": frozenset(
        {
            "Batch",
            "ChangeNotes",
            "Deliveries",
            "Endpoints",
            "IdempotencyKeys",
            "LEARNER",
            "MOVER",
            "PaymentRows",
            "PricingRuns",
            "RELAY",
            "SearchRows",
            "Sql",
            "StatisticsRows",
            "TELL",
            "Turn",
            "WriteBehind",
            "_settle",
            "among",
            "arrays_of",
            "copy_in",
            "from_array",
            "moment_array",
            "notes",
            "numbers_of",
            "revision_on",
            "run_to",
            "sent",
            "sentence_of",
            "tell",
            "to_binary",
            "translated",
        }
    ),
    "adapters/tasks": frozenset(),
    "adapters/cli": frozenset(),
    "entrypoints": frozenset(),
    "scalecommerce_core/pricing": frozenset(),
    "scalecommerce_core/services": frozenset(),
    "scalecommerce_core/domain": frozenset(),
    "scalecommerce_core/ports": frozenset(),
    "scalecommerce_core/queries": frozenset(
        {
            "Ordering",
            "ordering",
            "Sold",
            "SoldAtPrice",
            "PRICES_SHOWN",
            "SHOWN_ATTEMPTS",
            "FACET_VALUES",
            "FoundProducts",
            "check_place",
            "recorded",
            "by_sku",
            "of_buyer",
            "every_product",
            "every_order",
        }
    ),
    "scalecommerce_core/testing": frozenset(),
}
