"""Labels above vertical lines do not cover each other."""

from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from adapters.web.charts.label_rows import Box, free_box, place_labels

labels = st.lists(st.tuples(st.floats(60, 640), st.floats(40, 130)), max_size=5)


@given(labels)
def test_labels_of_the_wide_size_collide_with_nothing(wanted: list[tuple[float, float]]) -> None:
    places = place_labels(wanted, 0, 720)
    assert [place.line for place in places] == [at for at, _ in wanted]
    assert all(0 <= place.begin <= place.end <= 720 for place in places)
    assert not any(one.collides(other) for one, other in combinations(places, 2))


def test_distant_labels_share_a_row_above_their_lines() -> None:
    places = place_labels([(300, 80), (100, 80)], 0, 720)
    assert [(place.row, place.begin, place.end) for place in places] == [(0, 260, 340), (0, 60, 140)]


def test_equal_positions_stand_on_both_sides_and_in_rows() -> None:
    places = place_labels([(300, 100)] * 3, 0, 720)
    assert {place.row for place in places} == {0, 1}


def test_five_labels_of_a_narrow_chart_find_places() -> None:
    places = place_labels([(73, 92), (143, 84), (180, 116), (198, 104), (276, 98)], 0, 320)
    assert not any(one.collides(other) for one, other in combinations(places, 2))
    assert max(place.row for place in places) == 2


def test_labels_that_do_not_fit_get_rows_of_their_own() -> None:
    places = place_labels([(40 + 5 * index, 300) for index in range(4)], 0, 320)
    assert [place.row for place in places] == [0, 1, 2, 3]


def test_a_label_takes_the_first_free_place() -> None:
    boxes = [Box(0, 0, 10, 10), Box(20, 0, 30, 10), Box(40, 0, 50, 10)]
    assert free_box(boxes, []) == boxes[0]
    assert free_box(boxes, [Box(5, 5, 25, 5)]) == boxes[2]
    # A line through a corner, or one that only touches, counts; what passes above does not.
    assert free_box(boxes, [Box(0, 10, 60, 10)]) == boxes[0]
    assert free_box(boxes, [Box(0, 11, 60, 11)]) == boxes[0]


def test_a_label_without_a_free_place_covers_as_little_as_possible() -> None:
    boxes = [Box(0, 0, 10, 10), Box(20, 0, 30, 10), Box(40, 0, 50, 10)]
    assert free_box(boxes, [Box(0, 5, 24, 5), Box(35, 5, 60, 5)]) == boxes[1]
