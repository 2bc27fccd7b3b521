"""Positions that maps give."""

from __future__ import annotations

import torch

from echo_train.landmarks.maps import mean_position


def test_mean_position_of_a_single_pixel_is_that_pixel() -> None:
    maps = torch.zeros(1, 2, 5, 7)
    maps[0, 0, 1, 6] = maps[0, 1, 4, 0] = 1
    assert mean_position(maps).tolist() == [[[6.0, 1.0], [0.0, 4.0]]]
