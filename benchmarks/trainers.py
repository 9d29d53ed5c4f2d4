"""Training by the commands that users run: `hr_retrieval.train` against sentence-transformers' own trainer.

    python -m benchmarks.trainers [--steps 60] [--rounds 3]

MiniLM on the built-in ESCO data, equal numbers of steps of 32 pairs, the smooth loss, both in what
the processor computes natively, both writing their figures for TensorBoard every ten steps. Each
call is a process of its own; what counts is what each trainer says its training took, without
imports, preparation and loading. The peer keeps the dropout of its model, as by default.
"""

import argparse
import json
import subprocess
import sys
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

from datasets import Dataset
from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer, SentenceTransformerTrainingArguments
from sentence_transformers.base.sampler import BatchSamplers

from benchmarks.interleave import comparison, interleave, table
from benchmarks.train import esco_pairs, smooth
from hr_retrieval.encoder.builtin import BUILTIN
from hr_retrieval.encoder.cpu.rounding import native_bfloat16
from hr_retrieval.encoder.folder import encoder_folder

BATCH, LENGTH, RATE = 32, 128, 5e-5


def main() -> None:
    """Time both, or train the peer once where it is asked for."""
    options = _options()
    if options.peer is not None:
        print(json.dumps(peer(options.steps, options.peer)))
        return
    with TemporaryDirectory() as work:
        numbers = count()
        rivals = {
            "ours": lambda: _ours(options.steps, Path(work), next(numbers)),
            "peer": lambda: _peer(options.steps, Path(work), next(numbers)),
        }
        times = interleave(rivals, options.rounds, told=True)
    what = f"{options.steps} steps of hr_retrieval.train: SentenceTransformerTrainer"
    print(table([comparison("train_trainers", what, times["ours"], times["peer"])]))


def peer(steps: int, folder: Path) -> float:
    """Seconds that the peer's trainer says it took."""
    with encoder_folder(BUILTIN) as source:
        model = SentenceTransformer(str(source), device="cpu")
    model.max_seq_length = LENGTH
    anchors, positives = zip(*esco_pairs(None), strict=True)
    settings = SentenceTransformerTrainingArguments(
        output_dir=str(folder),
        max_steps=steps,
        per_device_train_batch_size=BATCH,
        learning_rate=RATE,
        warmup_steps=steps // 10,
        bf16=native_bfloat16(),
        use_cpu=True,
        batch_sampler=BatchSamplers.NO_DUPLICATES,
        save_strategy="no",
        logging_steps=10,
        report_to="tensorboard",
        disable_tqdm=True,
    )
    pairs = Dataset.from_dict({"anchor": list(anchors), "positive": list(positives)})
    trainer = SentenceTransformerTrainer(model=model, args=settings, train_dataset=pairs, loss=smooth(model))
    return float(trainer.train().metrics["train_runtime"])


def _ours(steps: int, work: Path, number: int) -> float:
    output = work / f"ours-{number}"
    _run(
        "hr_retrieval.train", "data=esco", f"data.folder={work / 'data'}", "model=minilm", "model/mixing=none",
        f"datamodule.batch_size={BATCH}", f"optimizer.lr={RATE}", f"trainer.max_steps={steps}", "trainer.max_epochs=-1",
        "trainer.limit_val_batches=0", "callbacks.last=null", "zero_shot=false", "lexical=false", "test=false",
        "export=false", "trainer.enable_progress_bar=false", f"output={output}",
    )  # fmt: skip
    return float(json.loads((output / "summary.json").read_text())["training_seconds"])


def _peer(steps: int, work: Path, number: int) -> float:
    printed = _run("benchmarks.trainers", f"--steps={steps}", f"--peer={work / f'peer-{number}'}")
    return float(json.loads(printed.splitlines()[-1]))


def _run(module: str, *arguments: str) -> str:
    return subprocess.run(
        [sys.executable, "-m", module, *arguments], check=True, stdout=subprocess.PIPE, text=True
    ).stdout


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--peer", type=Path, help="train the peer once, into this folder")
    return parser.parse_args()


if __name__ == "__main__":
    main()
