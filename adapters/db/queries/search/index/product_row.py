"""A product as the index reads it."""

from typing import NamedTuple


class ProductRow(NamedTuple):
    """A product on sale. `price` is in minor units, `created_at` in microseconds since the epoch.

    `tier` is the popularity tier.

    `document` is the text form of the tsvector: `'blue':1A,7C 'tea':2A`.
    """

    id: int
    category_id: int
    brand: str
    seller_id: int
    price: int
    currency: str
    created_at: int
    tier: int
    document: str
