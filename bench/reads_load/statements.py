"""The side to compare with: pgbench with the bare SQL of each read, as prepared statements."""
# ruff: noqa: S608 - the scripts contain constants only

import re
import subprocess
from pathlib import Path
from typing import Final

from adapters.db.core.connection_parameters import open_connection
from bench.orders_load.transactions import PgbenchFailed, connection_variables, pgbench_program
from bench.reads_load.market import LARGE_SELLER

_SHOWN: Final = """
    SELECT p.id, p.name, p.brand, p.price, p.currency, p.description, c.id, c.name, a.first_name, a.last_name, a.email,
           s.on_hand - s.reserved, p.is_active, p.created_at, v.views, p.version
    FROM products AS p JOIN categories AS c ON c.id = p.category_id JOIN accounts AS a ON a.id = p.seller_id
    LEFT JOIN stock AS s ON s.product_id = p.id LEFT JOIN product_views AS v ON v.product_id = p.id
"""
SCRIPTS: Final = {
    "detail_hot": rf"""
\set id random({{first}}, {{first}} + {{hot}} - 1)
{_SHOWN} WHERE p.id = :id AND p.withdrawn_at IS NULL;
""",
    "detail_cold": rf"""
\set id random(1, {{products}})
{_SHOWN} WHERE p.id = :id AND p.withdrawn_at IS NULL;
""",
    "list": rf"""
\set category random(1, 20)
{_SHOWN} WHERE p.is_active AND p.category_id = :category ORDER BY p.created_at DESC, p.id DESC LIMIT 21;
""",
    "search": rf"""
\set n random(0, {{terms}} - 1)
WITH ranked AS (
    SELECT found.id, ts_rank(found.document, query) AS rank
    FROM (SELECT word FROM bench_terms WHERE n = :n) AS term, websearch_to_tsquery('simple', word) AS query,
         LATERAL (SELECT id, document FROM products WHERE document @@ query AND is_active LIMIT 1000) AS found
    ORDER BY rank DESC LIMIT 21
)
{_SHOWN} JOIN ranked ON ranked.id = p.id ORDER BY rank DESC;
""",
    "facets": r"""
\set category random(1, 20)
WITH found AS MATERIALIZED (
    SELECT brand, price FROM products WHERE is_active AND category_id = :category LIMIT 10000
)
SELECT brand, count(*) FROM found GROUP BY brand;
""",
    "seller_stats": f"""
SELECT sum(products), sum(active_products), sum(views) FROM {{product_counts}} WHERE seller_id = {LARGE_SELLER};
""",
}


def write_scripts(directory: Path, url: str, *, products: int, hot: int, terms: int) -> None:
    """Write `<read>.pgbench` for each read, for the tables of the database at `url`."""
    with open_connection(url) as connection:
        # The table has had two names.
        row = connection.execute("SELECT to_regclass('seller_product_counts') IS NOT NULL").fetchone()
    product_counts = "seller_product_counts" if row and row[0] else "seller_shelves"
    for kind, script in SCRIPTS.items():
        (directory / f"{kind}.pgbench").write_text(
            script.format(products=products, first=1, hot=hot, terms=terms, product_counts=product_counts)
        )


def statements_per_second(url: str, script: Path, *, clients: int, seconds: float) -> float:
    command = [
        pgbench_program(), "--no-vacuum", "--protocol=prepared", f"--file={script}", f"--client={clients}", "--jobs=1",
        f"--time={round(seconds)}",
    ]  # fmt: skip
    done = subprocess.run(command, env=connection_variables(url), capture_output=True, text=True, check=False)
    found = re.search(r"^tps = ([0-9.]+)", done.stdout, re.MULTILINE)
    if done.returncode or found is None or "number of failed transactions: 0 " not in done.stdout:
        raise PgbenchFailed(f"pgbench failed:\n{done.stdout}{done.stderr}")
    return float(found[1])
