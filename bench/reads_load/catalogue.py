"""A catalogue as large as wanted, with words as uneven as those of a language: few very frequent, most of them rare."""

import random
from collections.abc import Iterator
from typing import Final

import numpy as np
from attrs import field, frozen
from sqlalchemy import Engine, text

SELLERS: Final = 2_000
BRANDS: Final = 5_000
WORDS: Final = 60_000
CHUNK: Final = 20_000
LATIN: Final = ("bcdfghklmnprstvz", "aeiou")
CYRILLIC: Final = ("бвгдзклмнпрстж", "аеиоу")

# Rebuilt when all rows are there, which takes a fraction of the time.
INDEXES: Final = (
    "products_document_idx",
    "products_document_1_idx",
    "products_document_2_idx",
    "products_document_3_idx",
    "products_document_4_idx",
    "products_prominent_idx",
    "vocabulary_typos_idx",
    "vocabulary_variants_idx",
    "product_prices_category_idx",
    "product_prices_price_idx",
    "product_views_most_idx",
    "products_brand_newest_idx",
    "products_category_newest_idx",
    "products_newest_idx",
    "products_seller_newest_idx",
)

ACCOUNTS: Final = text(
    """
    INSERT INTO accounts (id, email, first_name, last_name, bio, is_staff, is_active, created_at)
    SELECT n, n || '@example.com', 'Kara', 'Sexton', '', false, true, now() FROM generate_series(1, :sellers) AS n
    ON CONFLICT DO NOTHING
    """
)
COPY: Final = """
COPY products (id, seller_id, category_id, name, brand, description, price, currency, is_active, created_at, updated_at,
    priced_at, version) FROM STDIN
"""
REST: Final = (
    "INSERT INTO stock SELECT id, CASE WHEN mod(id, 20) = 0 THEN 0 ELSE 50 END, 0 FROM products",
    """
    INSERT INTO price_history (product_id, valid_from, price, currency, cause)
    SELECT id, priced_at, price, currency, 'listed' FROM products
    """,
    # The few that everybody looks at: views fall as one over the rank, over all ids alike.
    "UPDATE product_views SET views = 5000000 / (1 + mod(product_id * 7919, 1000003))",
)


@frozen
class Words:
    """`words[0]` is the most frequent; a third of all words is Russian."""

    seed: int = 1
    words: list[str] = field(init=False)
    brands: list[str] = field(init=False)

    def __attrs_post_init__(self) -> None:
        chance = random.Random(self.seed)
        found: dict[str, None] = {}
        while len(found) < WORDS:
            consonants, vowels = CYRILLIC if chance.random() < 1 / 3 else LATIN
            syllables = chance.choices((1, 2, 3, 4), (1, 6, 6, 2))[0]
            letters = [chance.choice(consonants) + chance.choice(vowels) for _ in range(syllables)]
            found["".join(letters) + (chance.choice(consonants) if chance.random() < 0.7 else "")] = None
        object.__setattr__(self, "words", [word for word in found if len(word) > 2][: WORDS - 1000])
        brands = {self.words[number].capitalize() for number in range(500, 500 + 8 * BRANDS, 8)}
        object.__setattr__(self, "brands", sorted(brands))


def frequencies(count: int, exponent: float = 1.0) -> np.ndarray:
    """Cumulated chances by Zipf's law."""
    weights = 1.0 / np.power(np.arange(10, count + 10), exponent)
    return np.cumsum(weights / weights.sum())


def fill(engine: Engine, products: int, words: Words) -> None:
    """Into an empty, migrated database; indexes that are slow to grow are made at the end."""
    with engine.begin() as connection:
        definitions = [
            connection.exec_driver_sql(f"SELECT pg_get_indexdef('{name}'::regclass)").scalar_one() for name in INDEXES
        ]
        connection.exec_driver_sql(f"DROP INDEX {', '.join(INDEXES)}")
        connection.execute(ACCOUNTS, {"sellers": SELLERS})
    with engine.connect() as connection:
        driver = connection.connection.driver_connection
        assert driver is not None  # noqa: S101 - it was checked out
        for lines in _rows(products, words):
            with driver.cursor() as cursor, cursor.copy(COPY) as copy:
                copy.write(lines)
            driver.commit()
    with engine.begin() as connection:
        connection.exec_driver_sql("SET LOCAL maintenance_work_mem = '512MB'; SET LOCAL work_mem = '256MB'")
        for statement in (*REST, *definitions):
            connection.exec_driver_sql(statement)


def _rows(products: int, words: Words) -> Iterator[str]:
    chance = np.random.default_rng(words.seed)
    of_words, of_brands = frequencies(len(words.words)), frequencies(len(words.brands))
    for begin in range(0, products, CHUNK):
        size = min(CHUNK, products - begin)
        picked = np.searchsorted(of_words, chance.random((size, 16)))
        brands = np.searchsorted(of_brands, chance.random(size))
        lengths = chance.integers(3, 7, size)
        prices = np.exp(chance.normal(8.0, 1.2, size)).astype(int).clip(50, 9_999_999)
        lines = []
        for index in range(size):
            id_ = begin + index + 1
            row = [words.words[number] for number in picked[index]]
            name, description = " ".join(row[: lengths[index]]), " ".join(row[lengths[index] :])
            # Older rows were created earlier, a few a minute.
            moment = np.datetime64("2024-01-01T00:00:00") + np.timedelta64(id_ * 40, "s")
            lines.append(
                f"{id_}\t{1 + id_ % SELLERS}\t{1 + int(id_ * 7919 % 1009) % 20}\t{name.capitalize()}\t"
                f"{words.brands[brands[index]]}\t{description}\t{prices[index]}\tUSD\tt\t{moment}Z\t{moment}Z\t{moment}Z\t1"
            )
        yield "\n".join(lines) + "\n"
