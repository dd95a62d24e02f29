"""Search ignores markup and invisible characters, and finds numbers in other spellings and hyphenated words as one.

Products that may be affected are re-indexed, a range of ids at a time.

Revision ID: 0015
Revises: 0014
"""

import json
from html.entities import html5
from typing import Final

from alembic import op

from adapters.db.migrations.ranges import id_ranges
from scalecommerce_core.domain.text import DEFAULT_IGNORABLE

revision: Final = "0015"
down_revision: Final = "0014"
branch_labels: Final = None
depends_on: Final = None

# --- markup

# Elements of HTML and of its older versions. Anything else between < and > is text, as in "Teapot <blue>" and "<5 kg".
ELEMENTS: Final = (
    "a abbr acronym address area article aside audio b base basefont bdi bdo big blink blockquote body br button canvas"
    " caption center cite code col colgroup data datalist dd del details dfn dialog dir div dl dt em embed fieldset"
    " figcaption figure font footer form frame frameset h1 h2 h3 h4 h5 h6 head header hgroup hr html i iframe img input"
    " ins kbd label legend li link main map mark marquee menu meta meter nav nobr noframes noscript object ol optgroup"
    " option output p param picture pre progress q rp rt ruby s samp script search section select slot small source"
    " span strike strong style summary svg table tbody td template textarea tfoot th thead time title tr track tt u ul"
    " var video"
)
# These do not separate words: H<sub>2</sub>O is one word.
WITHIN_WORDS: Final = "sub sup wbr"
# Attributes with a value, or the names of HTML's boolean attributes.
ATTRIBUTE: Final = (
    r"""([a-z][-a-z0-9:_]*\s*=\s*("[^"]*"|''[^'']*''|[^\s"''<>]+)"""
    r"|hidden|disabled|checked|selected|nowrap|noshade|async|defer|controls|loop|muted|autoplay)"
)


def tag(names: str) -> str:
    return rf"</?({names.replace(' ', '|')})(\s+{ATTRIBUTE})*\s*/?>"


def entities() -> str:
    """JSON of the characters of HTML's named references, and of the numbers that HTML maps to others."""
    named = {name.removesuffix(";"): text for name, text in html5.items() if name.endswith(";")}
    # Numbers that HTML reads as Windows-1252.
    numbered = {f"#{code}": bytes([code]).decode("cp1252", "replace") for code in range(0x80, 0xA0)}
    return json.dumps({**named, **numbered}, ensure_ascii=True).replace("'", "''")


# In PL/pgSQL because its branches are cheap: most texts have no markup. It calls built-in functions only, since a
# restore runs it with an empty search path.
PLAIN_TEXT: Final = r"""
CREATE FUNCTION plain_text(value text) RETURNS text
    LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $function$
BEGIN
    IF strpos(value, '<') > 0 THEN
        value := regexp_replace(value, '<!--([^-]|-[^-]|--+[^->])*--+>', ' ', 'g');
        value := regexp_replace(value, '<script(\s[^>]*?)??>.*?</script\s*?>', ' ', 'gi');
        value := regexp_replace(value, '<style(\s[^>]*?)??>.*?</style\s*?>', ' ', 'gi');
        value := regexp_replace(value, '<tag within words>', '', 'gi');
        value := regexp_replace(value, '<tag>|<!doctype[^<>]*>', ' ', 'gi');
    END IF;
    IF strpos(value, '&') > 0 AND value ~ '&#?[0-9a-zA-Z]+;' THEN
        value := (
            SELECT string_agg(
                CASE
                    WHEN part[2] IS NULL THEN part[1]
                    WHEN code IS NULL THEN coalesce('<entities>'::jsonb ->> part[2], part[1])
                    WHEN code BETWEEN 128 AND 159 THEN '<entities>'::jsonb ->> ('#' || code)
                    WHEN code BETWEEN 1 AND 55295 OR code BETWEEN 57344 AND 1114111 THEN chr(code)
                    ELSE ' '
                END, '' ORDER BY place
            )
            FROM regexp_matches(
                    value, '([^&]+|&(#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[a-zA-Z][a-zA-Z0-9]*);|&)', 'g'
                ) WITH ORDINALITY AS parts(part, place),
                LATERAL (
                    SELECT CASE
                        WHEN part[2] ~ '^#[0-9]' THEN substr(part[2], 2)::integer
                        WHEN part[2] ~ '^#' THEN ('x' || lpad(substr(part[2], 3), 8, '0'))::bit(32)::integer
                    END AS code
                ) AS codes
        );
    END IF;
    RETURN value;
END
$function$;
"""

# --- words

# As of revision 0012, except that invisible characters do not separate words.
FOLDED: Final = rf"""
CREATE OR REPLACE FUNCTION folded(value text) RETURNS text
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN lower(regexp_replace(
        unaccent(
            'unaccent',
            CASE WHEN octet_length(value) = length(value) THEN value
            ELSE regexp_replace(normalize(value, NFC), '[{DEFAULT_IGNORABLE}]', '', 'g') END
        ) COLLATE "C",
        '[-/+@:&<]|[.](?![0-9])|(?<![0-9])[.]', ' ', 'g'
    ) COLLATE folding);
"""
FOLDED_BEFORE: Final = r"""
CREATE OR REPLACE FUNCTION folded(value text) RETURNS text
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN lower(regexp_replace(
        unaccent(
            'unaccent', replace(replace(value, U&'\0438\0306', U&'\0439'), U&'\0418\0306', U&'\0419')
        ) COLLATE "C",
        U&'[-/+@:&<\200b\200e\200f\2060\fe0e\fe0f\feff]|[.](?![0-9])|(?<![0-9])[.]', ' ', 'g'
    ) COLLATE folding);
"""

# For folded text. Groups of thousands are joined, a decimal comma becomes a point, a fraction of zeros is removed,
# and letters are separated from digits, unless a word begins with one letter and a digit: it is a code (A4, S21, x200).
SEARCH_TERMS: Final = r"""
CREATE FUNCTION plain_numbers(value text) RETURNS text
    LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $function$
BEGIN
    IF value ~ '[0-9][.,][0-9]' THEN
        value := regexp_replace(
            value, '(?<![0-9.,])([1-9][0-9]{0,2}),([0-9]{3}),([0-9]{3})(?![0-9]|,[0-9])', '\1\2\3', 'g'
        );
        value := regexp_replace(value, '(?<![0-9.,])([1-9][0-9]{0,2}),([0-9]{3})(?![0-9]|,[0-9])', '\1\2', 'g');
        value := regexp_replace(
            value, '(?<![0-9.,])([1-9][0-9]{0,2})[.]([0-9]{3})[.]([0-9]{3})(?![0-9]|[.][0-9])', '\1\2\3', 'g'
        );
        value := regexp_replace(
            value, '(?<![0-9.,])([1-9][0-9]{0,2})[.]([0-9]{3}),([0-9]{1,2})(?![0-9]|[.,][0-9])', '\1\2.\3', 'g'
        );
        value := regexp_replace(value, '(?<![0-9.,])([0-9]+),([0-9]+)(?![0-9]|[.,][0-9])', '\1.\2', 'g');
        value := regexp_replace(value, '(?<![0-9.])([0-9]+)[.](0{1,2})(?![0-9]|[.][0-9])', '\1', 'g');
    END IF;
    RETURN value;
END
$function$;

CREATE FUNCTION search_terms(value text) RETURNS text
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN CASE WHEN value ~ '[0-9]' THEN regexp_replace(
        plain_numbers(value) COLLATE folding,
        '((?<![[:alnum:]])(?!v)[[:alpha:]][0-9][[:alnum:]]*)|([0-9])(?=[[:alpha:]])|([[:alpha:]])(?=[0-9])',
        '\1\2\3 ', 'g'
    ) ELSE value END;
"""

# Wi-Fi is Wi, Fi and WiFi.
JOINED_WORDS: Final = r"""
CREATE FUNCTION has_hyphen(value text) RETURNS boolean
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN strpos(value, '-') > 0 OR strpos(value, U&'\2010') > 0 OR strpos(value, U&'\2011') > 0;

CREATE FUNCTION joined_words(value text) RETURNS text
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN CASE WHEN has_hyphen(value) THEN (
        SELECT coalesce(string_agg(regexp_replace(part[1], U&'[-\2010\2011]', '', 'g'), ' ' ORDER BY place), '')
        FROM regexp_matches(
            value COLLATE folding,
            U&'(?<![[:alnum:]])([[:alpha:]][[:alnum:]]*([-\2010\2011][[:alnum:]]+)+)', 'g'
        ) WITH ORDINALITY AS parts(part, place)
    ) ELSE '' END;
"""

DOCUMENT: Final = """
CREATE OR REPLACE FUNCTION search_document(name text, brand text, description text) RETURNS tsvector
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    BEGIN ATOMIC
        SELECT setweight(to_tsvector('market', search_terms(folded(plain.name))), 'A')
            || setweight(to_tsvector('market', search_terms(folded(plain.brand))), 'B')
            || setweight(to_tsvector('market', search_terms(folded(plain.description))), 'C')
            || CASE WHEN has_hyphen(plain.name) OR has_hyphen(plain.brand) OR has_hyphen(plain.description) THEN
                setweight(to_tsvector('market', search_terms(folded(joined_words(plain.name)))), 'A')
                || setweight(to_tsvector('market', search_terms(folded(joined_words(plain.brand)))), 'B')
                || setweight(to_tsvector('market', search_terms(folded(joined_words(plain.description)))), 'C')
            ELSE ''::tsvector END
        FROM (
            SELECT plain_text(search_document.name) AS name, plain_text(search_document.brand) AS brand,
                plain_text(search_document.description) AS description OFFSET 0
        ) AS plain;
    END;

CREATE OR REPLACE FUNCTION search_words(name text, brand text) RETURNS SETOF text
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    BEGIN ATOMIC
        SELECT word FROM (
            SELECT DISTINCT regexp_split_to_table(
                folded(plain.text || ' ' || joined_words(plain.text)) COLLATE folding, '[^[:alnum:]]+'
            ) AS word
            FROM (SELECT plain_text(name) || ' ' || plain_text(brand) AS text OFFSET 0) AS plain
        ) AS words
        WHERE length(word) BETWEEN 2 AND 40;
    END;
"""
DOCUMENT_BEFORE: Final = """
CREATE OR REPLACE FUNCTION search_document(name text, brand text, description text) RETURNS tsvector
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN setweight(to_tsvector('market', folded(name)), 'A')
        || setweight(to_tsvector('market', folded(brand)), 'B')
        || setweight(to_tsvector('market', folded(description)), 'C');

CREATE OR REPLACE FUNCTION search_words(name text, brand text) RETURNS SETOF text
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    BEGIN ATOMIC
        SELECT word FROM (
            SELECT DISTINCT regexp_split_to_table(folded(name || ' ' || brand) COLLATE folding, '[^[:alnum:]]+') AS word
        ) AS words
        WHERE length(word) BETWEEN 2 AND 40;
    END;
DROP FUNCTION joined_words, has_hyphen, search_terms, plain_numbers, plain_text;
"""

# --- what is there already

# Block writers of products: they would index words by the former rules.
LOCK: Final = "LOCK TABLE products, vocabulary_news IN SHARE ROW EXCLUSIVE MODE"
# Documents of texts with ASCII letters only do not change. Most others do, and computing a document to compare it takes
# as long as updating the row.
INDEX: Final = r"""
UPDATE products SET name = name
WHERE id BETWEEN %s AND %s
    AND (name ~ '[-0-9<&]|[^ -~]' OR brand ~ '[-0-9<&]|[^ -~]' OR description ~ '[-0-9<&]|[^\n -~]')
"""
VOCABULARY: Final = """
DELETE FROM vocabulary_news;
DELETE FROM vocabulary;
INSERT INTO vocabulary (word, products)
SELECT word, count(*) FROM products, search_words(name, brand) AS word WHERE is_active GROUP BY word;
"""


def upgrade() -> None:
    plain_text = PLAIN_TEXT
    for name, text in (("tag within words", tag(WITHIN_WORDS)), ("tag", tag(ELEMENTS)), ("entities", entities())):
        plain_text = plain_text.replace(f"<{name}>", text)
    _read_as(plain_text.replace("%", "%%"), FOLDED, SEARCH_TERMS, JOINED_WORDS, DOCUMENT)


def downgrade() -> None:
    _read_as(FOLDED_BEFORE, DOCUMENT_BEFORE)


def _read_as(*functions: str) -> None:
    connection = op.get_bind()
    for script in (LOCK, *functions):
        connection.exec_driver_sql(script)
    for first, last in id_ranges(connection, "products", "search index"):
        connection.exec_driver_sql(INDEX, (first, last))
    connection.exec_driver_sql(VOCABULARY)
