"""A catalog to read: word frequencies as in a language, and one large seller with all sales."""

import random
from collections.abc import Callable, Iterator
from typing import Final, LiteralString

import numpy as np
import psycopg
from attrs import frozen
from psycopg import sql

from adapters.db.core.connection_parameters import open_connection
from adapters.db.core.engine import database_engine
from adapters.db.migrate import upgrade
from adapters.db.store import PostgresStore
from adapters.system import SystemClock
from scalecommerce_core.services.search_index import SearchIndex
from scalecommerce_core.services.statistics import Statistics

SELLERS: Final = 2_000
LARGE_SELLER: Final = 1
"""Has a tenth of all products, and all of the sales."""
BUYER: Final = SELLERS + 1
BRANDS: Final = 2_000
WORDS: Final = 40_000
CHUNK: Final = 20_000
LETTERS: Final = (("bcdfghklmnprstvz", "aeiou"), ("бвгдзклмнпрстж", "аеиоу"))

PEOPLE: Final = """
INSERT INTO accounts (id, email, first_name, last_name, bio, is_staff, is_active, created_at)
SELECT nextval('account_ids'), 'person-' || n || '@example.com', 'Kara', 'Sexton', '', false, true, now()
FROM generate_series(1, {people}) AS n
"""
COPY: Final = """
COPY products (id, seller_id, category_id, name, brand, description, price, currency, is_active, created_at, updated_at,
    priced_at, version) FROM STDIN
"""
# Views are inversely proportional to the rank; ranks are spread over all ids.
REST: Final[tuple[LiteralString, ...]] = (
    "SELECT setval('product_ids', {products})",
    "INSERT INTO stock SELECT id, CASE WHEN id % 20 = 0 THEN 0 ELSE 50 END, 0 FROM products",
    """
    INSERT INTO price_history (product_id, valid_from, price, currency, cause)
    SELECT id, priced_at, price, currency, 'listed' FROM products
    """,
    """
    INSERT INTO product_views (product_id, views)
    SELECT id, 5000000 / (1 + id * 7919 % 1000003) FROM products
    ON CONFLICT (product_id) DO UPDATE SET views = excluded.views
    """,
)
SESSION: Final = """
INSERT INTO sessions (id, account_id, current, created_at, expires_at)
SELECT 'session-of-' || id, id, 'none', now(), now() + interval '1 day' FROM accounts WHERE id = {seller}
"""
SALES: Final[tuple[LiteralString, ...]] = (
    """
    INSERT INTO orders (id, command_id, buyer_id, currency, status, created_at, updated_at, paid_at, origin,
        decide_attempts)
    SELECT nextval('order_ids'), gen_random_uuid(), {buyer}, 'USD', 'PAID', at, at, at, 'api', 0
    FROM generate_series(1, {orders}) AS n,
        LATERAL (SELECT now() - (n / {orders}::float8) * interval '365 days' AS at) AS moment
    """,
    """
    INSERT INTO order_lines (order_id, position, product_id, seller_id, quantity, price, refunded)
    SELECT id, position, 10 * (1 + (id * 7919 + position * 104729) % ({products} / 10)), {seller}, 1 + id % 3, 500, 0
    FROM orders, generate_series(1, 2) AS position
    """,
)


@frozen
class Sizes:
    products: int = 1_000_000
    orders: int = 500_000
    """Each with two lines."""


class Words:
    """Random words, the most frequent first; a third of them in Cyrillic letters."""

    def __init__(self, seed: int = 1) -> None:
        chance = random.Random(seed)
        found: dict[str, None] = {}
        while len(found) < WORDS:
            consonants, vowels = LETTERS[chance.random() < 1 / 3]
            syllables = chance.choices((1, 2, 3, 4), (1, 6, 6, 2))[0]
            letters = [chance.choice(consonants) + chance.choice(vowels) for _ in range(syllables)]
            found["".join(letters) + chance.choice(consonants)] = None
        self.words = list(found)
        self.brands = [word.capitalize() for word in self.words[500 : 500 + BRANDS]]
        self._chances = _zipf(len(self.words))

    def pick(self, count: int, seed: int) -> list[str]:
        """Draw `count` words by their frequency."""
        chance = random.Random(seed)
        return [self.draw(chance) for _ in range(count)]

    def draw(self, chance: random.Random) -> str:
        number = int(np.searchsorted(self._chances, chance.random()))
        return self.words[min(number, len(self.words) - 1)]

    def misspelt(self, chance: random.Random) -> str:
        """Draw a word with one typo: two letters exchanged, one omitted or one added."""
        while len(word := self.draw(chance)) < 4:
            pass
        place = chance.randrange(len(word) - 1)
        return chance.choice((
            word[:place] + word[place + 1] + word[place] + word[place + 2 :],
            word[:place] + word[place + 1 :],
            f"{word[:place]}x{word[place:]}",
        ))  # fmt: skip


def _zipf(count: int) -> np.ndarray:
    """Return cumulated probabilities of a Zipf-like distribution."""
    weights = 1.0 / np.arange(10, count + 10)
    return np.asarray(np.cumsum(weights / weights.sum()))


def seed(url: str, sizes: Sizes, words: Words, say: Callable[[str], None]) -> None:
    """Migrate and fill an empty database. Indexes are dropped first and created afterwards, which is faster."""
    upgrade(url)
    given = {
        "people": sql.Literal(SELLERS + 1),
        "products": sql.Literal(sizes.products),
        "orders": sql.Literal(sizes.orders),
        "buyer": sql.Literal(BUYER),
        "seller": sql.Literal(LARGE_SELLER),
    }
    with open_connection(url, autocommit=True) as connection:
        connection.execute("SET maintenance_work_mem = '512MB'")
        indexes = _taken_off(connection)
        connection.execute(sql.SQL(PEOPLE).format(**given))
        with connection.cursor() as cursor, cursor.copy(COPY) as copy:
            for lines in _rows(sizes.products, words):
                copy.write(lines)
        connection.execute(sql.SQL(SESSION).format(**given))
        for statement in REST:
            connection.execute(sql.SQL(statement).format(**given))
        say(f"{sizes.products:,} products inserted; vocabulary and popularity …")
        engine = database_engine(url, statement_timeout=None)
        SearchIndex(PostgresStore(engine)).catch_up()
        say("Indexes …")
        for definition in indexes:
            connection.execute(definition)
        for statement in SALES if sizes.orders else ():
            connection.execute(sql.SQL(statement).format(**given))
        connection.execute("VACUUM (ANALYZE)")
    say("Statistics …")
    Statistics(PostgresStore(engine), SystemClock()).rebuild()
    engine.dispose()
    with open_connection(url, autocommit=True) as connection:
        connection.execute("VACUUM (ANALYZE)")
        connection.execute("CHECKPOINT")


READ: Final = ("accounts", "categories", "products", "product_prices", "product_views", "stock", "vocabulary")


def into_memory(url: str) -> None:
    """Load the tables that reads use, with their indexes, into shared buffers, as after some hours of service.

    Otherwise the benchmark mostly measures the first read of each page from the system's page cache.
    """
    with open_connection(url, autocommit=True) as connection:
        connection.execute("CREATE EXTENSION IF NOT EXISTS pg_prewarm")
        connection.execute(
            """
            SELECT sum(pg_prewarm(each)) FROM (
                SELECT CAST(name AS regclass) FROM unnest(%(tables)s::text[]) AS name
                UNION ALL
                SELECT CAST(indexrelid AS regclass) FROM pg_index JOIN unnest(%(tables)s::text[]) AS name
                    ON indrelid = CAST(name AS regclass)
            ) AS wanted(each)
            """,
            {"tables": list(READ)},
        )


def _taken_off(connection: "psycopg.Connection") -> list[bytes]:
    """Drop all indexes of products except unique ones; return their definitions."""
    found = connection.execute(
        """
        SELECT indexrelid::regclass::text, pg_get_indexdef(indexrelid) FROM pg_index
        WHERE indrelid = 'products'::regclass AND NOT indisunique
        """
    ).fetchall()
    for name, _ in found:
        connection.execute(sql.SQL("DROP INDEX {}").format(sql.Identifier(name)))
    return [definition.encode() for _, definition in found]


def _rows(products: int, words: Words) -> Iterator[str]:
    chance = np.random.default_rng(2)
    of_words, of_brands = _zipf(len(words.words)), _zipf(len(words.brands))
    for begin in range(0, products, CHUNK):
        size = min(CHUNK, products - begin)
        picked = np.searchsorted(of_words, chance.random((size, 16))).clip(0, len(words.words) - 1)
        brands = np.searchsorted(of_brands, chance.random(size)).clip(0, len(words.brands) - 1)
        lengths = chance.integers(3, 7, size)
        prices = np.exp(chance.normal(8.0, 1.2, size)).astype(int).clip(50, 9_999_999)
        lines = []
        for index in range(size):
            id_ = begin + index + 1
            row = [words.words[number] for number in picked[index]]
            name, description = " ".join(row[: lengths[index]]), " ".join(row[lengths[index] :])
            seller = LARGE_SELLER if id_ % 10 == 0 else 2 + id_ % (SELLERS - 1)
            # Older rows were listed earlier, a few a minute.
            moment = np.datetime64("2024-01-01T00:00:00") + np.timedelta64(id_ * 40, "s")
            lines.append(
                f"{id_}\t{seller}\t{1 + id_ * 7919 % 1009 % 20}\t{name.capitalize()}\t{words.brands[brands[index]]}\t"
                f"{description}\t{prices[index]}\tUSD\tt\t{moment}Z\t{moment}Z\t{moment}Z\t1"
            )
        yield "\n".join(lines) + "\n"
