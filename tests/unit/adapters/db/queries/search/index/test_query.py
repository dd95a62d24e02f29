import pytest

from adapters.db.queries.search.index.query import Phrase, UnsupportedTextQuery


@pytest.mark.parametrize(
    ("text", "lexemes", "distances"),
    [
        ("", (), ()),
        ("'tea'", ("tea",), (0,)),
        ("'blue' <-> 'tea' <2> 'pot'", ("blue", "tea", "pot"), (0, 1, 2)),
        ("'it''s' <-> ' <-> '", ("it's", " <-> "), (0, 1)),
        (r"'back\\slash'", (r"back\slash",), (0,)),
    ],
)
def test_a_phrase_is_parsed(text: str, lexemes: tuple[str, ...], distances: tuple[int, ...]) -> None:
    assert Phrase.parse(text) == Phrase(lexemes, distances)


@pytest.mark.parametrize("text", ["'tea' & 'pot'", "'tea' | 'pot'", "!'tea'", "'tea':A", "'tea':*", "( 'tea' )"])
def test_another_query_is_refused(text: str) -> None:
    with pytest.raises(UnsupportedTextQuery, match="Not a phrase"):
        Phrase.parse(text)
