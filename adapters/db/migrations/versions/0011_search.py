"""Add the search vocabulary, popularity tiers, and indexes for sorting by price and by views.

The tables are filled from existing products, except popularity tiers, which their task computes.

Revision ID: 0011
Revises: 0010
"""

from typing import Final

from alembic import op

revision: Final = "0011"
down_revision: Final = "0010"
branch_labels: Final = None
depends_on: Final = None

# Words of names and brands, and their variants: the word itself and the word without any one letter. Two words with a
# common variant differ by one typo: an added, missing or wrong letter, or two letters in the wrong order.
FUNCTIONS: Final = """
CREATE FUNCTION search_words(name text, brand text) RETURNS SETOF text
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    BEGIN ATOMIC
        SELECT word FROM (
            SELECT DISTINCT regexp_split_to_table(folded(name || ' ' || brand) COLLATE folding, '[^[:alnum:]]+') AS word
        ) AS words
        WHERE length(word) BETWEEN 2 AND 40;
    END;

CREATE FUNCTION word_variants(word text) RETURNS text[]
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN (
        SELECT array_agg(DISTINCT left(word, place - 1) || substr(word, place + 1)) || word
        FROM generate_series(1, length(word)) AS place
    );
"""

TABLES: Final = """
DROP INDEX products_typos_idx;
DROP FUNCTION spelling;

CREATE TABLE vocabulary (
    word TEXT COLLATE "C" NOT NULL,
    products BIGINT NOT NULL,
    variants TEXT[] GENERATED ALWAYS AS (word_variants(word)) STORED,
    CONSTRAINT vocabulary_pk PRIMARY KEY (word)
) WITH (fillfactor = 50);
CREATE INDEX vocabulary_typos_idx ON vocabulary USING gin (word gin_trgm_ops);
CREATE INDEX vocabulary_variants_idx ON vocabulary USING gin (variants);

CREATE TABLE vocabulary_news (
    id BIGINT GENERATED ALWAYS AS IDENTITY,
    word TEXT NOT NULL,
    products BIGINT NOT NULL,
    CONSTRAINT vocabulary_news_pk PRIMARY KEY (id)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);

CREATE TABLE product_prices (
    product_id BIGINT NOT NULL,
    category_id INTEGER NOT NULL,
    price BIGINT NOT NULL,
    CONSTRAINT product_prices_pk PRIMARY KEY (product_id),
    CONSTRAINT product_prices_product_id_fk FOREIGN KEY(product_id) REFERENCES products (id)
) WITH (fillfactor = 80);

CREATE TABLE product_prices_owed (
    id BIGINT GENERATED ALWAYS AS IDENTITY,
    first_id BIGINT NOT NULL,
    last_id BIGINT NOT NULL,
    CONSTRAINT product_prices_owed_pk PRIMARY KEY (id)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);

-- A constant default does not rewrite the table.
ALTER TABLE products ADD COLUMN prominence SMALLINT DEFAULT 0 NOT NULL,
    ADD CONSTRAINT products_prominence_range CHECK (prominence BETWEEN 0 AND 4);
-- More statistics, so that the planner has the frequency of more words.
ALTER TABLE products ALTER COLUMN document SET STATISTICS 300;
-- Each search scans the list of pending index entries, so the list is kept short (kB).
ALTER INDEX products_document_idx SET (gin_pending_list_limit = 256);
CREATE INDEX products_document_1_idx ON products USING gin (document) WITH (gin_pending_list_limit = 64)
    WHERE is_active AND prominence >= 1;
CREATE INDEX products_document_2_idx ON products USING gin (document) WITH (gin_pending_list_limit = 64)
    WHERE is_active AND prominence >= 2;
CREATE INDEX products_document_3_idx ON products USING gin (document) WITH (gin_pending_list_limit = 64)
    WHERE is_active AND prominence >= 3;
CREATE INDEX products_document_4_idx ON products USING gin (document) WITH (gin_pending_list_limit = 64)
    WHERE is_active AND prominence >= 4;
CREATE INDEX products_prominent_idx ON products (prominence, id) WHERE is_active;

INSERT INTO product_prices (product_id, category_id, price) SELECT id, category_id, price FROM products;
CREATE INDEX product_prices_category_idx ON product_prices (category_id, price, product_id);
CREATE INDEX product_prices_price_idx ON product_prices (price, product_id);
INSERT INTO product_views (product_id, views) SELECT id, 0 FROM products ON CONFLICT DO NOTHING;
CREATE INDEX product_views_most_idx ON product_views (views, product_id);
INSERT INTO vocabulary (word, products)
SELECT word, count(*) FROM products, search_words(name, brand) AS word WHERE is_active GROUP BY word;
"""

# Triggers, so that every writer of products maintains these tables: the engine, imports, and manual SQL.
TRIGGERS: Final = """
CREATE FUNCTION products_were_listed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO product_prices (product_id, category_id, price)
    SELECT id, category_id, price FROM listed ORDER BY id;
    INSERT INTO product_views (product_id, views)
    SELECT id, 0 FROM listed ORDER BY id ON CONFLICT (product_id) DO NOTHING;
    INSERT INTO vocabulary_news (word, products)
    SELECT word, count(*) FROM listed, search_words(name, brand) AS word WHERE is_active GROUP BY word;
    RETURN NULL;
END
$$;
CREATE TRIGGER products_listed AFTER INSERT ON products REFERENCING NEW TABLE AS listed
    FOR EACH STATEMENT EXECUTE FUNCTION products_were_listed();

CREATE FUNCTION product_was_reworded() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO vocabulary_news (word, products)
    SELECT word, sum(change) FROM (
        SELECT search_words(OLD.name, OLD.brand) AS word, -1 AS change WHERE OLD.is_active
        UNION ALL SELECT search_words(NEW.name, NEW.brand), 1 WHERE NEW.is_active
    ) AS changes
    GROUP BY word HAVING sum(change) <> 0;
    RETURN NULL;
END
$$;
CREATE TRIGGER products_reworded AFTER UPDATE OF name, brand, is_active ON products FOR EACH ROW
    WHEN ((OLD.name, OLD.brand, OLD.is_active) IS DISTINCT FROM (NEW.name, NEW.brand, NEW.is_active))
    EXECUTE FUNCTION product_was_reworded();

-- Few changed prices are copied at once. For many, the range of ids is recorded and copied later: updating the index
-- with each row would make repricing several times slower.
CREATE FUNCTION products_were_repriced() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    changed_count bigint;
    first_changed bigint;
    last_changed bigint;
BEGIN
    SELECT count(*), min(id), max(id) INTO changed_count, first_changed, last_changed FROM changed;
    IF changed_count > 100 THEN
        INSERT INTO product_prices_owed (first_id, last_id) VALUES (first_changed, last_changed);
    ELSIF changed_count > 0 THEN
        -- Lock in id order first: the task that copies recorded ranges locks the same rows.
        PERFORM FROM product_prices WHERE product_id IN (SELECT id FROM changed) ORDER BY product_id FOR NO KEY UPDATE;
        UPDATE product_prices SET price = changed.price, category_id = changed.category_id
        FROM changed
        WHERE product_id = changed.id
            AND (product_prices.price, product_prices.category_id)
                IS DISTINCT FROM (changed.price, changed.category_id);
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER products_repriced AFTER UPDATE ON products REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION products_were_repriced();
"""

DOWNGRADE: Final = """
DROP TRIGGER products_repriced ON products;
DROP TRIGGER products_reworded ON products;
DROP TRIGGER products_listed ON products;
DROP FUNCTION products_were_repriced, product_was_reworded, products_were_listed;
DROP INDEX product_views_most_idx, products_prominent_idx, products_document_4_idx, products_document_3_idx,
    products_document_2_idx, products_document_1_idx;
ALTER INDEX products_document_idx RESET (gin_pending_list_limit);
ALTER TABLE products ALTER COLUMN document SET STATISTICS -1, DROP COLUMN prominence;
DROP TABLE product_prices_owed, product_prices, vocabulary_news, vocabulary;
DROP FUNCTION word_variants, search_words;
CREATE FUNCTION spelling(name text, brand text) RETURNS text
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN folded(name || ' ' || brand);
CREATE INDEX products_typos_idx ON products USING gin (spelling(name, brand) gin_trgm_ops);
"""


def upgrade() -> None:
    for script in (FUNCTIONS, TABLES, TRIGGERS):
        op.get_bind().exec_driver_sql(script)


def downgrade() -> None:
    op.get_bind().exec_driver_sql(DOWNGRADE)
