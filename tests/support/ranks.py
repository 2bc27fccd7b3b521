"""Functions of a test that run in several processes, which import them by name."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import torch
from torch import nn

from echo_train.runtime import distributed
from echo_train.runtime.distributed import Process

CPU = torch.device("cpu")


def free_port() -> str:
    with socket.socket() as server:
        server.bind(("localhost", 0))
        return str(server.getsockname()[1])


def images_and_gradient() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(2)
    images = torch.randn(5, 3, 6, 4, generator=generator, dtype=torch.float64) * 3 + 1
    return images, torch.randn(5, 3, 6, 4, generator=generator, dtype=torch.float64)


def make_normalisation() -> nn.Sequential:
    network = nn.Sequential(nn.BatchNorm2d(3)).double()
    with torch.no_grad():
        network[0].weight.copy_(torch.tensor([1.0, 2.0, 0.5]))
        network[0].bias.copy_(torch.tensor([0.0, 1.0, -1.0]))
    return network


def normalise_a_share(rank: int, port: str, folder: Path) -> None:
    os.environ.update(MASTER_ADDR="localhost", MASTER_PORT=port)
    process = Process(rank=rank, world_size=2, local_rank=rank)
    with distributed.connected(process, CPU):
        network = make_normalisation()
        distributed.synchronise_batch_norm(network, process, CPU)
        images, gradient = images_and_gradient()
        own = images[rank::2].clone().requires_grad_()
        out = network(own)
        out.backward(gradient[rank::2])
        state = {"out": out.detach(), "grad": own.grad, "state": network.state_dict()}
        torch.save(state, folder / f"{rank}.pt")
