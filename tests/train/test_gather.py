"""Gathering over two processes: the values, and the gradient of one process with the whole batch."""

from pathlib import Path

import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from hr_retrieval.train.gather import gather_parts

WEIGHT = torch.arange(12, dtype=torch.float32).reshape(4, 3) / 10
INPUTS = torch.linspace(-1, 1, 20).reshape(5, 4)
SHARES = (slice(0, 2), slice(2, 5))


def loss_of(embeddings: torch.Tensor) -> torch.Tensor:
    return (embeddings @ embeddings.T).exp().mean()


def process(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2)
    weight = WEIGHT.clone().requires_grad_()
    embeddings = torch.cat(gather_parts(INPUTS[SHARES[rank]] @ weight))
    loss = loss_of(embeddings)
    loss.backward()
    assert weight.grad is not None
    dist.all_reduce(weight.grad)
    # Data-parallel training averages the gradients of the processes.
    torch.save({"loss": loss.detach(), "gradient": weight.grad / 2}, f"{folder}/{rank}.pt")
    dist.destroy_process_group()


def test_two_processes_give_the_loss_and_gradient_of_one(tmp_path: Path) -> None:
    mp.spawn(process, args=(str(tmp_path),), nprocs=2)
    weight = WEIGHT.clone().requires_grad_()
    loss = loss_of(INPUTS @ weight)
    loss.backward()
    for rank in (0, 1):
        result = torch.load(tmp_path / f"{rank}.pt", weights_only=True)
        torch.testing.assert_close(result["loss"], loss.detach())
        torch.testing.assert_close(result["gradient"], weight.grad)


def test_one_process_gathers_nothing() -> None:
    (part,) = gather_parts(INPUTS)
    assert part is INPUTS
