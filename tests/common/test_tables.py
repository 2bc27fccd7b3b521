"""Tables as CSV: text from files stays text in a spreadsheet, and numbers stay numbers."""

from __future__ import annotations

import csv

import pytest
from hypothesis import given
from hypothesis import strategies as st

from echo_common.tables import csv_table, fixed


@pytest.mark.parametrize("first", ["=", "+", "-", "@", "\t", "\r", "＝", "＠"])
def test_a_formula_gets_an_apostrophe(first: str) -> None:
    text = f'{first}HYPERLINK("http://x")'
    ((cell,),) = csv.reader(csv_table([[text]]).splitlines(keepends=True))
    assert cell == "'" + text


def test_a_separator_of_another_country_starts_no_formula() -> None:
    assert csv_table([["a;=1+1", "a; b"]]) == "a;'=1+1,a; b\n"


@pytest.mark.parametrize("number", [-2.5, -3, fixed(-0.5, 2), fixed(-1e-9, 6), True])
def test_a_number_stays_a_number(number: object) -> None:
    assert csv_table([[number]]) == f"{number}\n"


@given(st.floats(-1e9, 1e9), st.integers(0, 6))
def test_digits_are_those_of_the_format(value: float, digits: int) -> None:
    assert csv_table([[fixed(value, digits)]]) == f"{value:.{digits}f}\n"


def test_a_name_that_is_no_utf8_is_escaped() -> None:
    assert csv_table([["a\udcff"]]).encode() == b"a\\udcff\n"


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\x00;\t\r\n"))))
def test_only_what_would_be_a_formula_is_changed(row: list[str]) -> None:
    (cells,) = csv.reader([csv_table([["first", *row]])])
    for text, cell in zip(row, cells[1:], strict=True):
        assert cell == ("'" + text if text[:1] in tuple("=+-@＝＋－＠") else text)
