"""A copy of a prepared data set with fewer or wrong training pairs: what methods are worth under less or worse data.

    python -m benchmarks.corrupt --data data/prepared/esco_titles --output data/prepared/esco_noise --noise 0.3
    python -m benchmarks.corrupt --data data/prepared/esco_titles --output data/prepared/esco_tenth --share 0.1
    python -m benchmarks.corrupt --data data/prepared/esco_titles --output data/prepared/esco_known \\
        --noise 0.3 --weight 0.1
    python -m hr_retrieval.train data.folder=data/prepared/esco_noise data.name=esco_noise ...

`noise` is the share of the training queries whose pairs point to the documents of another training
query of that share (a permutation of the pairs, so that no document becomes more frequent); such a
query takes over that one's group too. `weight` is what the pairs of such a query weigh in the loss, as
if it were known which they are. `share` keeps so many of the training queries. The corpus, validation
and test stay as they are.
"""

import argparse
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from hr_retrieval.data.dataset import PreparedDataset
from hr_retrieval.data.tables import SCHEMA_VERSION, SCHEMAS
from hr_retrieval.files import whole_folder, write_json


def main() -> None:
    """Write the copy."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--noise", type=float, default=0.0)
    parser.add_argument("--weight", type=float)
    parser.add_argument("--share", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    corrupt(arguments.data, arguments.output, arguments.noise, arguments.weight, arguments.share, arguments.seed)
    print(f"{arguments.output}: {pq.read_metadata(arguments.output / 'qrels.parquet').num_rows:,} pairs")


def corrupt(data: Path, output: Path, noise: float, weight: float | None, share: float, seed: int) -> None:
    """See the module; both shares are of the training queries, drawn by the seed."""
    dataset = PreparedDataset.open(data)
    queries, qrels = (pd.read_parquet(data / f"{table}.parquet") for table in ("queries", "qrels"))
    generator = np.random.default_rng(seed)
    training = queries.index[queries["split"] == "train"].to_numpy()
    kept = generator.permutation(training)[: max(1, round(share * len(training)))]
    dropped = set(queries.loc[np.setdiff1d(training, kept), "query_id"])
    wrong = np.sort(kept[: round(noise * len(kept))])
    # Each takes the place of the next one in a random order: none keeps its own.
    order = generator.permutation(wrong)
    partner = dict(zip(order, np.roll(order, 1), strict=True))
    taken = [partner[row] for row in wrong]
    source = dict(zip(queries.loc[taken, "query_id"], queries.loc[wrong, "query_id"], strict=True))
    queries.loc[wrong, "group_id"] = queries.loc[taken, "group_id"].to_numpy()
    qrels["query_id"] = qrels["query_id"].map(lambda name: source.get(name, name))
    if weight is not None:
        qrels.loc[qrels["query_id"].isin([*source.values()]), "weight"] = weight
    tables = {
        "queries": queries[~queries["query_id"].isin(dropped)],
        "qrels": qrels[~qrels["query_id"].isin(dropped)],
    }
    with whole_folder(output) as partial:
        shutil.copy(data / "corpus.parquet", partial)
        for name, frame in tables.items():
            table = pa.Table.from_pandas(
                frame.reindex(columns=SCHEMAS[name].names), schema=SCHEMAS[name], preserve_index=False
            )
            pq.write_table(table, partial / f"{name}.parquet")
        settings = {"noise": noise, "weight": weight, "share": share, "seed": seed, "of": dataset.fingerprint}
        write_json(
            partial / "dataset.json", {"schema_version": SCHEMA_VERSION, "name": output.name, "corrupted": settings}
        )
    PreparedDataset.open(output)


if __name__ == "__main__":
    main()
