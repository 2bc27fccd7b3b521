"""CSV files as people and programs leave them."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from echo_common.errors import DataError, DataNotFoundError
from echo_prep.dataset.csv_table import read_table

COLUMNS = ("A", "B", "C")


def read(path: Path, content: str | bytes) -> pd.DataFrame:
    path = path / "x.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return read_table(path, required=COLUMNS, optional=("D",))


def rows(path: Path, content: str | bytes) -> dict[int, list[str]]:
    table = read(path, content)
    return {int(line): list(cells) for line, cells in zip(table.index, table.values, strict=True)}


SOUND = {2: ["1", "2", "3"], 3: ["4", "5", "6"]}


@pytest.mark.parametrize(
    "content",
    [
        "A,B,C\n1,2,3\n4,5,6\n",
        "A,B,C\n1,2,3\n4,5,6",
        "A,B,C\r\n1,2,3\r\n4,5,6\r\n",
        "A,B,C\r1,2,3\r4,5,6\r",
        "\ufeffA,B,C\n1,2,3\n4,5,6\n",
        '\ufeff"A",B,C\n1,2,3\n4,5,6\n',
        '"A","B","C"\n"1","2","3"\n4,"5",6\n',
        "A, B ,C\n1,2,3\n4,5,6\n\n\n",
        "A,B,C,\n1,2,3,\n4,5,6,\n",
        "A,B,C\n1,2,3,,\n4,5,6,\n",
        "A,B,C,other\n1,2,3,9\n4,5,6\n",
        'A,B,C,other\n1,2,3,"9,"\n4,5,6\n',
    ],
)
def test_sound_rows_are_found(tmp_path: Path, content: str) -> None:
    assert rows(tmp_path, content) == SOUND


def test_columns_are_found_by_name_in_any_order(tmp_path: Path) -> None:
    table = read(tmp_path, "D,C,x,A,B\n7,3,0,1,2\n")
    assert table.loc[2].to_dict() == {"A": "1", "B": "2", "C": "3", "D": "7"}


def test_rows_keep_their_number_in_the_file(tmp_path: Path) -> None:
    content = "A,B,C\n\n1,2,3\n4,5,6,7\n,,\n8\n9,9,9\n"
    assert rows(tmp_path, content) == {3: ["1", "2", "3"], 6: ["8", "", ""], 7: ["9", "9", "9"]}


@pytest.mark.parametrize(
    "bad", ['"4,5,6', '4,"5,6', '"4"x,5,6', "4,5,6,7", '"', "4,5,6,,,0", "4,5,6,,0"]
)
def test_a_bad_row_swallows_no_other(tmp_path: Path, bad: str) -> None:
    content = f"A,B,C\n1,2,3\n{bad}\n7,8,9\n{bad}\n0,0,0\n"
    found = {2: ["1", "2", "3"], 4: ["7", "8", "9"], 6: ["0", "0", "0"]}
    assert rows(tmp_path, content) == found


def test_words_for_nothing_stay_words(tmp_path: Path) -> None:
    assert rows(tmp_path, "A,B,C\nNA,nan,None\n") == {2: ["NA", "nan", "None"]}


def test_bytes_that_are_no_utf8_spoil_their_cell_alone(tmp_path: Path) -> None:
    found = rows(tmp_path, b"A,B,C\n1,\xff\xfe,3\n4,5,6\n")
    assert found[3] == ["4", "5", "6"]
    assert found[2][1].encode("utf-8", "surrogateescape") == b"\xff\xfe"


def test_null_bytes_and_unicode_line_separators_break_nothing(tmp_path: Path) -> None:
    found = rows(tmp_path, "A,B,C\n1,\0,3\n\u2028,\x0c,\x85\n4,5,6\n")
    assert found == {2: ["1", "\0", "3"], 3: ["\u2028", "\x0c", "\x85"], 4: ["4", "5", "6"]}


@pytest.mark.parametrize("rest", ["", "x,y,\n", '"1",2,q\n', "1,2,3,4\n"])
def test_columns_of_numbers(tmp_path: Path, rest: str) -> None:
    path = tmp_path / "x.csv"
    lines = ["A,B,C", "1.5,a,nan", ",b,", "1e400,,-2", "-3,c,inf", "7", ",,", "oops,d,0.1"]
    for numbered in (lines, lines[:2] + lines[4:5]):
        path.write_text("\n".join(numbered) + "\n" + rest)
        table = read_table(path, required=COLUMNS, numbers=("A", "C"))
        expected = [
            (line, *(_number(cell) if at != 1 else cell for at, cell in enumerate(cells)))
            for line, cells in rows(tmp_path, path.read_text()).items()
            if any(cells)
        ]
        assert (table["A"].dtype, table["C"].dtype) == (np.float64, np.float64)
        found = list(table.itertuples(name=None))
        assert [str(row) for row in found] == [str(row) for row in expected]


def _number(cell: str) -> float:
    try:
        return float(cell)
    except ValueError:
        return float("nan")


@pytest.mark.parametrize(
    "content, message",
    [
        ("", "no column A, B, C"),
        ("A,B\n1,2\n", "no column C: its first row reads 'A, B'"),
        ("A:B:C\n1:2:3\n", "no column A, B, C"),
        ("a,b,c\n", "no column"),
        ("A,B,D".encode("utf-16"), "separated by commas, semicolons or tabs"),
        (b"PK\x03\x04" + bytes(99), r"an Excel workbook or a ZIP archive \(save its sheet as CSV"),
        (b"\xd0\xcf\x11\xe0" + bytes(99), "an Excel workbook"),
        ("version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        ("A,B,C,B\n1,2,3,4\n", "has the column B twice"),
        ("A,B,C,D,D\n", "has the column D twice"),
        (b"\0" * 4096, "no column"),
    ],
)
def test_what_is_no_such_table_is_named(tmp_path: Path, content: str | bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read(tmp_path, content)


ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32")


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("declared", ["", "sep={}", '"sep={}"'])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_what_spreadsheets_write_is_the_same_table(
    tmp_path: Path, encoding: str, separator: str, declared: str, end: str
) -> None:
    lines = ["A,B,C,more", "12.5,ü,-3", "1e-3,,", "", "7,x y,0.25,"]
    if separator != ",":
        lines = [line.replace(",", separator).replace(".", ",") for line in lines]
    if declared:
        lines.insert(0, declared.format(separator))
    (tmp_path / "x.csv").write_bytes(end.join(lines).encode(encoding))
    table = read_table(tmp_path / "x.csv", required=COLUMNS, numbers=("A", "C"))
    first = 3 if declared else 2
    assert list(table.index) == [first, first + 1, first + 3]
    assert table["A"].tolist() == [12.5, 1e-3, 7]
    assert table["B"].tolist() == ["ü", "", "x y"]
    np.testing.assert_array_equal(table["C"], [-3, np.nan, 0.25])


@pytest.mark.parametrize(
    "cells, numbers",
    [
        # Points with semicolons: LibreOffice in English.
        (["1.5", "1.25", "3"], [1.5, 1.25, 3]),
        (["1,5", "1.25", "1,234"], [1.5, 1.25, 1.234]),
        (["1.234,5", "1,2,3", ",5", "5,"], [np.nan] * 4),
    ],
)
def test_numbers_between_semicolons(tmp_path: Path, cells: list[str], numbers: list[float]) -> None:
    lines = ["A;B;C", *(f"{cell};x;" for cell in cells)]
    (tmp_path / "x.csv").write_text("\n".join(lines))
    table = read_table(tmp_path / "x.csv", required=COLUMNS, numbers=("A",))
    np.testing.assert_array_equal(table["A"], numbers)


@pytest.mark.parametrize(
    "cells, numbers",
    [
        (["51,25", "7,125", "3"], [51.25, 7.125, 3]),
        # A comma may separate thousands, and nothing says whether it does.
        (["1,234", "3"], [np.nan, 3]),
        (["1,234", "51,25", "3.5"], [np.nan, 51.25, 3.5]),
    ],
)
def test_quoted_numbers_between_commas(
    tmp_path: Path, cells: list[str], numbers: list[float]
) -> None:
    lines = ["A,B,C", *(f'"{cell}",x,' for cell in cells)]
    (tmp_path / "x.csv").write_text("\n".join(lines))
    table = read_table(tmp_path / "x.csv", required=COLUMNS, numbers=("A",))
    np.testing.assert_array_equal(table["A"], numbers)


def test_lines_that_excel_took_for_one_cell(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text('A;B;C\n"1,5;x;2"\n"2,5;""y"";3"\n')
    table = read_table(tmp_path / "x.csv", required=COLUMNS, numbers=("A",))
    assert table.to_numpy().tolist() == [[1.5, "x", "2"], [2.5, "y", "3"]]


def test_a_missing_file_and_a_folder(tmp_path: Path) -> None:
    with pytest.raises(DataNotFoundError, match=r"no x\.csv"):
        read_table(tmp_path / "x.csv", COLUMNS)
    with pytest.raises(DataError, match="not a file"):
        read_table(tmp_path, COLUMNS)


cells = st.text(st.characters(codec="utf-8", exclude_characters="\r\n\0"), max_size=8)


@settings(deadline=None, max_examples=100)
@given(table=st.lists(st.tuples(cells, cells, cells).filter(any), max_size=8))
def test_what_pythons_writer_writes_is_read_back(
    table: list[tuple[str, str, str]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([COLUMNS, *table])
    found = read(tmp_path_factory.mktemp("csv"), text.getvalue())
    assert [tuple(row) for row in found.values] == table


@settings(deadline=None, max_examples=150)
@given(content=st.lists(st.sampled_from([*'A1,"\n\r\0 é', "\xff"]), max_size=60).map("".join))
def test_any_bytes_are_a_table_or_an_error(
    content: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    found = read(tmp_path_factory.mktemp("csv"), "A,B,C\n" + content)
    assert list(found.columns) == list(COLUMNS)
    assert all(isinstance(cell, str) for cell in found.values.ravel())
