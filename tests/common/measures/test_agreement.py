from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from echo_common.measures.agreement import agreement, confusion


def test_agreement_is_that_of_the_formulas() -> None:
    rng = np.random.default_rng(0)
    reference = rng.normal(55, 10, 60)
    measured = reference - 3 + rng.normal(0, 5, 60)
    found = agreement(np.append(measured, np.nan), np.append(reference, 50.0))
    difference = measured - reference
    assert found.n == 60
    assert found.bias == pytest.approx(difference.mean())
    assert found.mae == pytest.approx(np.abs(difference).mean())
    assert found.sd == pytest.approx(stats.tstd(difference))
    assert found.r == pytest.approx(stats.pearsonr(measured, reference).statistic)
    assert found.limits == pytest.approx(
        stats.norm.interval(0.95, difference.mean(), stats.tstd(difference)), rel=1e-4
    )


def test_agreement_of_no_or_one_pair() -> None:
    nothing = agreement(np.array([np.nan]), np.array([1.0]))
    assert nothing.n == 0
    assert np.isnan([nothing.mae, nothing.bias, nothing.sd, nothing.r]).all()
    single = agreement(np.array([40.0]), np.array([50.0]))
    assert (single.n, single.mae, single.bias) == (1, 10, -10)
    assert np.isnan([single.sd, single.r]).all()


def test_confusion_counts_each_side_of_the_limit() -> None:
    measured = np.array([30.0, 39.9, 40.0, 60.0, np.nan])
    reference = np.array([35.0, 45.0, 39.0, 40.0, 50.0])
    assert confusion(measured, reference, 40.0) == {
        "both_below": 1,
        "only_measured_below": 1,
        "only_reference_below": 1,
        "both_above": 1,
    }
