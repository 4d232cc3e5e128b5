"""Which images have been used, as a status keeps it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox_operator.images.passes import decode, encode
from unit.sandbox_operator.images.samples import images

TEN = images(10)


@pytest.mark.parametrize(
    ("places", "text"), [([], ""), ([1], "1"), ([1, 2, 3, 5], "1-3,5"), ([9, 10], "9-10"), (range(1, 11), "1-10")]
)
def test_places_are_written_as_ranges(places: list[int], text: str) -> None:
    assert encode(TEN, {TEN[place - 1] for place in places}) == text


@given(st.sets(st.sampled_from(TEN)))
def test_what_is_written_is_read(used: set[str]) -> None:
    assert decode(TEN, encode(TEN, used)) == used


@given(st.text(alphabet="0123456789-,x ²", max_size=40))
def test_whatever_somebody_else_wrote_names_images_of_the_list_at_most(text: str) -> None:
    assert decode(TEN, text) <= set(TEN)


def test_the_longest_text_fits_the_field() -> None:
    many = images(2500)
    assert len(encode(many, many[::2])) < 16384
