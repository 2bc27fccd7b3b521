"""Progress: items pass through, and a log that is no terminal stays short."""

from __future__ import annotations

import pytest

from echo_common.cli import progress


@pytest.mark.parametrize("total", [1, 7, 100, 4321])
def test_items_pass_through_and_the_log_is_short(
    total: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert list(progress.show(range(total), total, "reading")) == list(range(total))
    out, err = capsys.readouterr()
    lines = err.splitlines()
    assert out == ""
    assert 1 <= len(lines) <= 20
    assert lines[-1] == f"reading: {total} of {total} (100 %)"
    if total == 100:
        assert lines[0] == "reading: 5 of 100 (5 %)"


def test_silence(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(progress.silent("abc", 3, "reading")) == ["a", "b", "c"]
    assert capsys.readouterr() == ("", "")
