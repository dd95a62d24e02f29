"""Replace the transition tables of the triggers on products by triggers for each row.

Citus executes no triggers with transition tables. The tables beside products get the same rows as before.

Revision ID: 0055
Revises: 0054
"""

from typing import Final

from alembic import op

revision: Final = "0055"
down_revision: Final = "0054"
branch_labels: Final = None
depends_on: Final = None

# The triggers for rows only note which rows the statement concerns, in settings that end with the transaction. The
# trigger at the end of the statement maintains the other tables with a few statements, which is faster than some for
# each row.
#
# New products have no row in `product_prices` yet, so the range of their ids is enough to find them.
#
# Few changed prices are copied at once, with their rows locked in the order of ids: the task that copies recorded
# ranges locks the same rows. For more than a hundred, the range of ids is recorded, because updating the index with
# each row would make repricing several times slower. Its end is moved in steps, which sets the setting less often: the
# task compares a few products more.
UPGRADE: Final = """
CREATE FUNCTION product_was_listed() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    noted text := current_setting('scalecommerce.listed', true);
    first_id bigint;
    last_id bigint;
BEGIN
    IF noted IS NULL OR noted = '' THEN
        noted := NEW.id || ',' || NEW.id;
    ELSE
        first_id := split_part(noted, ',', 1);
        last_id := split_part(noted, ',', 2);
        noted := least(first_id, NEW.id) || ',' || greatest(last_id, NEW.id);
    END IF;
    PERFORM set_config('scalecommerce.listed', noted, true);
    RETURN NULL;
END
$$;
CREATE TRIGGER product_listed AFTER INSERT ON products FOR EACH ROW EXECUTE FUNCTION product_was_listed();

CREATE OR REPLACE FUNCTION products_were_listed() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    noted text := current_setting('scalecommerce.listed', true);
    first_listed bigint;
    last_listed bigint;
BEGIN
    IF noted IS NULL OR noted = '' THEN
        RETURN NULL;
    END IF;
    PERFORM set_config('scalecommerce.listed', '', true);
    first_listed := split_part(noted, ',', 1);
    last_listed := split_part(noted, ',', 2);
    INSERT INTO product_views (product_id, views)
    SELECT id, 0 FROM products
    WHERE id BETWEEN first_listed AND last_listed
        AND NOT EXISTS (SELECT FROM product_prices WHERE product_id = products.id)
    ORDER BY id ON CONFLICT (product_id) DO NOTHING;
    INSERT INTO vocabulary_changes (word, products)
    SELECT word, count(*) FROM products, search_words(name, brand) AS word
    WHERE id BETWEEN first_listed AND last_listed AND is_active
        AND NOT EXISTS (SELECT FROM product_prices WHERE product_id = products.id)
    GROUP BY word;
    INSERT INTO product_prices (product_id, category_id, price)
    SELECT id, category_id, price FROM products
    WHERE id BETWEEN first_listed AND last_listed
        AND NOT EXISTS (SELECT FROM product_prices WHERE product_id = products.id)
    ORDER BY id;
    RETURN NULL;
END
$$;
CREATE OR REPLACE TRIGGER products_listed AFTER INSERT ON products
    FOR EACH STATEMENT EXECUTE FUNCTION products_were_listed();

CREATE FUNCTION product_was_repriced() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    noted text := current_setting('scalecommerce.repriced', true);
    first_id bigint;
    last_id bigint;
BEGIN
    IF noted IS NULL OR noted = '' THEN
        noted := NEW.id;
    ELSIF starts_with(noted, '>') THEN
        first_id := split_part(noted, ',', 2);
        last_id := split_part(noted, ',', 3);
        IF NEW.id BETWEEN first_id AND last_id THEN
            RETURN NULL;
        END IF;
        noted := '>,' || least(first_id, NEW.id) || ','
            || CASE WHEN NEW.id > last_id THEN NEW.id + 100 ELSE last_id END;
    ELSIF length(noted) - length(replace(noted, ',', '')) < 99 THEN
        noted := noted || ',' || NEW.id;
    ELSE
        noted := (
            SELECT '>,' || min(id) || ',' || max(id)
            FROM unnest(CAST(string_to_array(noted || ',' || NEW.id, ',') AS bigint[])) AS id
        );
    END IF;
    PERFORM set_config('scalecommerce.repriced', noted, true);
    RETURN NULL;
END
$$;
CREATE TRIGGER product_repriced AFTER UPDATE ON products FOR EACH ROW
    WHEN ((OLD.price, OLD.category_id) IS DISTINCT FROM (NEW.price, NEW.category_id))
    EXECUTE FUNCTION product_was_repriced();

CREATE OR REPLACE FUNCTION products_were_repriced() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    noted text := current_setting('scalecommerce.repriced', true);
    ids bigint[];
BEGIN
    IF noted IS NULL OR noted = '' THEN
        RETURN NULL;
    END IF;
    PERFORM set_config('scalecommerce.repriced', '', true);
    IF starts_with(noted, '>') THEN
        INSERT INTO product_prices_pending (first_id, last_id)
        VALUES (CAST(split_part(noted, ',', 2) AS bigint), CAST(split_part(noted, ',', 3) AS bigint));
    ELSE
        ids := string_to_array(noted, ',');
        PERFORM FROM product_prices WHERE product_id = ANY (ids) ORDER BY product_id FOR NO KEY UPDATE;
        UPDATE product_prices SET price = products.price, category_id = products.category_id
        FROM products
        WHERE product_id = ANY (ids) AND products.id = product_id
            AND (product_prices.price, product_prices.category_id)
                IS DISTINCT FROM (products.price, products.category_id);
    END IF;
    RETURN NULL;
END
$$;
CREATE OR REPLACE TRIGGER products_repriced AFTER UPDATE ON products
    FOR EACH STATEMENT EXECUTE FUNCTION products_were_repriced();
"""

# As of revision 0023.
DOWNGRADE: Final = """
DROP TRIGGER product_repriced ON products;
DROP TRIGGER product_listed ON products;
DROP FUNCTION product_was_repriced, product_was_listed;
CREATE OR REPLACE FUNCTION products_were_listed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO product_prices (product_id, category_id, price)
    SELECT id, category_id, price FROM listed ORDER BY id;
    INSERT INTO product_views (product_id, views)
    SELECT id, 0 FROM listed ORDER BY id ON CONFLICT (product_id) DO NOTHING;
    INSERT INTO vocabulary_changes (word, products)
    SELECT word, count(*) FROM listed, search_words(name, brand) AS word WHERE is_active GROUP BY word;
    RETURN NULL;
END
$$;
CREATE OR REPLACE TRIGGER products_listed AFTER INSERT ON products REFERENCING NEW TABLE AS listed
    FOR EACH STATEMENT EXECUTE FUNCTION products_were_listed();

CREATE OR REPLACE FUNCTION products_were_repriced() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    changed_count bigint;
    first_changed bigint;
    last_changed bigint;
BEGIN
    SELECT count(*), min(id), max(id) INTO changed_count, first_changed, last_changed FROM changed;
    IF changed_count > 100 THEN
        INSERT INTO product_prices_pending (first_id, last_id) VALUES (first_changed, last_changed);
    ELSIF changed_count > 0 THEN
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
CREATE OR REPLACE TRIGGER products_repriced AFTER UPDATE ON products REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION products_were_repriced();
"""


def upgrade() -> None:
    op.get_bind().exec_driver_sql(UPGRADE)


def downgrade() -> None:
    op.get_bind().exec_driver_sql(DOWNGRADE)
