"""Names that settings offer without importing torch are those of the components themselves."""

from __future__ import annotations

from echo_train.landmarks.decoders import DECODERS
from echo_train.landmarks.settings import DECODER_NAMES
from echo_train.losses.landmark_losses import LANDMARK_LOSSES
from echo_train.losses.mask_losses import MASK_LOSSES
from echo_train.losses.settings import LOSS_NAMES
from echo_train.networks.architecture import NETWORKS
from echo_train.networks.settings import NETWORK_NAMES
from echo_train.training.optimiser import WARM_UP
from echo_train.training.settings import SCHEDULES


def test_names_are_those_of_the_components() -> None:
    assert tuple(NETWORKS) == NETWORK_NAMES
    assert tuple(DECODERS) == DECODER_NAMES
    assert {"mask": tuple(MASK_LOSSES), "landmarks": tuple(LANDMARK_LOSSES)} == LOSS_NAMES
    assert tuple(WARM_UP) == SCHEDULES
