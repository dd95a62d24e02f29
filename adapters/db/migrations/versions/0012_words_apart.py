"""Index words that are separated by any sign as separate words.

PostgreSQL's parser takes `black/white` for a path, `steel.Dishwasher` for a host name and the end of `iPhone-15` for a
negative number, so searches for `white` or `iphone 15` did not find them. Affected products are indexed again.

Revision ID: 0012
Revises: 0011
"""

from typing import Final

from alembic import op

revision: Final = "0012"
down_revision: Final = "0011"
branch_labels: Final = None
depends_on: Final = None

# The signs that the parser interprets, except the point in numbers, and invisible characters, which it takes for
# letters. The Cyrillic short i may consist of two characters; without its sign it would be another letter.
FOLDED: Final = r"""
CREATE OR REPLACE FUNCTION folded(value text) RETURNS text
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN lower(regexp_replace(
        unaccent(
            'unaccent', replace(replace(value, U&'\0438\0306', U&'\0439'), U&'\0418\0306', U&'\0419')
        ) COLLATE "C",
        U&'[-/+@:&<\200b\200e\200f\2060\fe0e\fe0f\feff]|[.](?![0-9])|(?<![0-9])[.]', ' ', 'g'
    ) COLLATE folding);
"""
FOLDED_BEFORE: Final = """
CREATE OR REPLACE FUNCTION folded(value text) RETURNS text
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN lower(unaccent('unaccent', value) COLLATE folding);
"""
# Block writers of products: they would index words by the former rules.
LOCK: Final = "LOCK TABLE products, vocabulary_news IN SHARE ROW EXCLUSIVE MODE"
INDEX: Final = """
UPDATE products SET name = name WHERE document IS DISTINCT FROM search_document(name, brand, description);
DELETE FROM vocabulary_news;
DELETE FROM vocabulary;
INSERT INTO vocabulary (word, products)
SELECT word, count(*) FROM products, search_words(name, brand) AS word WHERE is_active GROUP BY word;
"""


def upgrade() -> None:
    _read_as(FOLDED)


def downgrade() -> None:
    _read_as(FOLDED_BEFORE)


def _read_as(folded: str) -> None:
    for script in (LOCK, folded, INDEX):
        op.get_bind().exec_driver_sql(script)
