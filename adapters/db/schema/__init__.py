"""The tables as SQLAlchemy Core metadata. `migrations/` creates them; a test compares the two.

Constraints reject invalid data even if the domain has a bug: an oversell, an order line of a product that its seller
does not sell, a reservation without a deadline.

Three rules keep frequent updates fast. Columns that buyers change (stock) or readers change (views) are in narrow
tables of their own, not in the wide rows of products. Columns that are updated in bulk (price, stock, views) are in no
index of these tables, so their updates stay heap-only (HOT); `fillfactor` reserves space in the page for them. Queues
are partial indexes.
"""

from adapters.db.schema.accounts import (
    account_ids,
    account_tokens,
    accounts,
    api_key_ids,
    api_keys,
    outgoing_email_ids,
    outgoing_emails,
    second_factors,
    sessions,
)
from adapters.db.schema.archive import (
    ARCHIVED,
    all_order_lines,
    all_orders,
    all_rows_of,
    archived_months,
    archived_orders,
    archived_payments,
    archived_stock,
    archived_stock_movements,
    lines_of,
)
from adapters.db.schema.audit import audit_log
from adapters.db.schema.catalog import categories, category_ids, price_history, product_ids, products
from adapters.db.schema.events import (
    AUDIENCE,
    INDEXED_READERS,
    change_log,
    change_log_state,
    event_audience,
    event_consumers,
    event_counter,
    events,
    feed_key,
    outbox,
    reader_columns,
)
from adapters.db.schema.idempotency import idempotency_keys
from adapters.db.schema.installation import installation
from adapters.db.schema.metadata import Moment, Total, metadata
from adapters.db.schema.order_traces import order_traces
from adapters.db.schema.orders import order_ids, order_lines, orders, refunds
from adapters.db.schema.payments import payment_refunds, payments, sandbox_charges, sandbox_refunds
from adapters.db.schema.pricing import (
    experiment_ids,
    policy_ids,
    pricing_assignments,
    pricing_category_parameters,
    pricing_decisions,
    pricing_experiment_products,
    pricing_experiments,
    pricing_memory,
    pricing_policies,
    pricing_ranges,
    pricing_runs,
    pricing_schedules,
    pricing_stops,
    run_ids,
)
from adapters.db.schema.promotions import promoted_products, promotion_ids, promotions
from adapters.db.schema.replication import replication_heartbeats
from adapters.db.schema.search import product_prices, product_prices_pending, vocabulary, vocabulary_changes
from adapters.db.schema.statistics import (
    price_sales,
    product_hours,
    product_ranks,
    product_sales,
    product_stockouts,
    product_views,
    seller_hours,
    seller_product_counts,
    seller_sales,
    statistics_pending,
    view_batches,
)
from adapters.db.schema.stock import stock, stock_movements
from adapters.db.schema.webhooks import (
    delivery_ids,
    endpoint_ids,
    webhook_attempts,
    webhook_deliveries,
    webhook_endpoints,
)

__all__ = [
    "ARCHIVED",
    "AUDIENCE",
    "INDEXED_READERS",
    "Moment",
    "Total",
    "account_ids",
    "account_tokens",
    "accounts",
    "all_order_lines",
    "all_orders",
    "all_rows_of",
    "api_key_ids",
    "api_keys",
    "archived_months",
    "archived_orders",
    "archived_payments",
    "archived_stock",
    "archived_stock_movements",
    "audit_log",
    "categories",
    "category_ids",
    "change_log",
    "change_log_state",
    "delivery_ids",
    "endpoint_ids",
    "event_audience",
    "event_consumers",
    "event_counter",
    "events",
    "experiment_ids",
    "feed_key",
    "idempotency_keys",
    "installation",
    "lines_of",
    "metadata",
    "order_ids",
    "order_lines",
    "order_traces",
    "orders",
    "outbox",
    "outgoing_email_ids",
    "outgoing_emails",
    "payment_refunds",
    "payments",
    "policy_ids",
    "price_history",
    "price_sales",
    "pricing_assignments",
    "pricing_category_parameters",
    "pricing_decisions",
    "pricing_experiment_products",
    "pricing_experiments",
    "pricing_memory",
    "pricing_policies",
    "pricing_ranges",
    "pricing_runs",
    "pricing_schedules",
    "pricing_stops",
    "product_hours",
    "product_ids",
    "product_prices",
    "product_prices_pending",
    "product_ranks",
    "product_sales",
    "product_stockouts",
    "product_views",
    "products",
    "promoted_products",
    "promotion_ids",
    "promotions",
    "reader_columns",
    "refunds",
    "replication_heartbeats",
    "run_ids",
    "sandbox_charges",
    "sandbox_refunds",
    "second_factors",
    "seller_hours",
    "seller_product_counts",
    "seller_sales",
    "sessions",
    "statistics_pending",
    "stock",
    "stock_movements",
    "view_batches",
    "vocabulary",
    "vocabulary_changes",
    "webhook_attempts",
    "webhook_deliveries",
    "webhook_endpoints",
]
