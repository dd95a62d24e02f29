"""Ids and accounts of the demo market (`scalecommerce up --demo`). The same seed always creates the same data.

Resources that the examples create get the next free ids, provided that nothing else was created before.
"""

from datetime import UTC, datetime
from typing import Final

STAFF: Final = "omar.sexton.10@seed-1.example"
SELLER: Final = "karl.lopez.1@seed-1.example"
BUYER: Final = "rosa.tanaka.9@seed-1.example"
PASSWORD: Final = "admin"  # noqa: S105 - the demo prints it

STAFF_ID: Final = 10
SELLER_ID: Final = 1
BUYER_ID: Final = 9
COLLEAGUE: Final = "ida.lopez.2@seed-1.example"
COLLEAGUE_ID: Final = 2
HOME_APPLIANCES: Final = 5

PRODUCT: Final = 1
"""A seeded, active product with about 50 units."""
PRICED_PRODUCT: Final = 501
"""A product in the scope of `DEMO_POLICY`, of the same seller."""
NEW_PRODUCT: Final = 504
"""The product that the example of `listProduct` creates."""

DEMO_POLICY: Final = 4
NEW_POLICY: Final = 5
NEW_PROMOTION: Final = 1
"""The promotion that the example of `createPromotion` creates."""
SEEDED_POLICY: Final = 1
"""The first seeded policy, of `SELLER`; it covers about 200 products."""
EXPERIMENT: Final = 1
"""The experiment that the example of `startPricingExperiment` starts."""
RUN: Final = 1
"""The first run of the first seeded policy, shortly after the start of the market."""

PAID_ORDER: Final = 1651
PRODUCT_OF_PAID_ORDER: Final = 462
"""A product of `PAID_ORDER`: two units were sold, none was refunded."""
CANCELLED_ORDER: Final = 1609
"""A cancelled order. `PAID_ORDER` and this order belong to the staff account."""
NEW_ORDER: Final = 2001

NEW_WEBHOOK: Final = 1
NEW_DELIVERY: Final = 2
"""The delivery of `testWebhook`; the first one verifies `NEW_WEBHOOK`."""

NOW: Final = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
EARLIER: Final = datetime(2026, 2, 16, 6, 37, 51, 789_464, tzinfo=UTC)
LONG_AGO: Final = datetime(2025, 6, 5, 17, 47, 34, 290_307, tzinfo=UTC)

ROOT: Final = "http://127.0.0.1:8000"
CURSOR: Final = "RnfX-me0qn7VneArYCkKNVsiYWZ0ZXIiLDIwXQ"
GUIDE: Final = f"""

**Try it.** `scalecommerce up --demo` starts a small market, on which the examples below work unchanged, with the
exceptions at the end:

1. Execute `POST /users/api/v1/token/`. Its example logs in as staff (`{STAFF}`, `{PASSWORD}`), with access to
   every operation. This page then sends the access token with all requests, and fills in both tokens where an
   operation takes them. Elsewhere, copy `access` from the response, press **Authorize** and paste it.
2. Execute the other operations, tag after tag, from top to bottom; deletions come last. Ids in paths are those of
   the demo's data, or of resources that earlier examples created.

Exceptions:

- `POST /users/api/v1/password/` changes the password of the account, so `POST /users/api/v1/token/` has another example
  for later. `POST /users/api/v1/logout/` ends the session: log in again with that example, or leave it out.
- Examples with a token that is sent by e-mail, or with the code of an authenticator app, are refused. The e-mails
  are in the log of the worker, `.scalecommerce/logs/worker.log`.
- The deletion of the only staff account, and the end of a session that does not exist, are refused.
- `POST /webhooks/api/v1/{{id}}/deliveries/{{delivery}}/redeliver/` is refused until the message was tried: wait some
  seconds after `POST /webhooks/api/v1/{{id}}/test/`.
"""
