"""Counter-based random numbers: their distribution, and independence of the batches."""

from __future__ import annotations

import numpy as np
import scipy.stats
import torch

from echo_train.runtime.counter_rng import epoch_key, frame_keys, normals, uniforms


def test_uniforms_are_uniform_over_frames_and_over_numbers() -> None:
    numbers = uniforms(frame_keys(torch.arange(4000), epoch_key(3, 1)), 12).numpy()
    assert numbers.min() >= 0 and numbers.max() < 1
    for column in numbers.T:
        assert scipy.stats.kstest(column, "uniform").pvalue > 1e-4
    # Consecutive frames and the numbers of one frame are uncorrelated.
    correlation = np.corrcoef(np.concatenate([numbers[1:].T, numbers[:-1].T]))
    assert np.abs(correlation - np.eye(24)).max() < 0.08


def test_normals_have_the_moments_of_the_normal_distribution() -> None:
    numbers = normals(frame_keys(torch.arange(40), epoch_key(0, 2)), 12544).numpy()
    assert abs(numbers.mean()) < 0.01
    assert abs(numbers.std() - 1) < 0.01
    assert abs(scipy.stats.skew(numbers, axis=None)) < 0.02
    # The excess kurtosis of a sum of four (the Irwin-Hall distribution) is -1.2 / 4.
    assert abs(scipy.stats.kurtosis(numbers, axis=None) + 0.3) < 0.03
    # Neighbouring numbers, which become neighbouring pixels, are independent.
    assert abs((numbers[:, 1:] * numbers[:, :-1]).mean()) < 0.01


def test_the_numbers_of_a_frame_do_not_depend_on_the_batch() -> None:
    full = uniforms(frame_keys(torch.arange(100), epoch_key(1, 4)), 5)
    part = uniforms(frame_keys(torch.tensor([70, 3]), epoch_key(1, 4)), 5)
    assert torch.equal(part, full[[70, 3]])


def test_seed_epoch_and_frame_each_change_the_key() -> None:
    keys = [
        frame_keys(torch.arange(1000), epoch_key(seed, epoch))
        for seed, epoch in [(0, 1), (0, 2), (1, 1)]
    ]
    assert len(torch.unique(torch.cat(keys))) > 2990
    assert torch.equal(keys[0], frame_keys(torch.arange(1000), epoch_key(0, 1)))
