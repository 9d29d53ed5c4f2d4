"""All comparisons in about twelve minutes: a Markdown table, and `benchmarks/results/latest.json`.

python -m benchmarks.all
"""

from pathlib import Path

from benchmarks import encode, evaluate, help, search, titles, train
from benchmarks.interleave import table
from hr_retrieval.files import whole_file, write_json

RESULTS = Path(__file__).parent / "results"


def main() -> None:
    """Run everything once and write the results."""
    rows = []
    # Ranking and search are only worth comparing at full size, and take three minutes; the rest is
    # the same at a smaller one.
    for module, quick in (
        (help, True),
        (search, False),
        (evaluate, False),
        (encode, True),
        (train, True),
        (titles, True),
    ):
        found = module.run(quick)
        print(table(found), flush=True)
        rows += found
    write_json(RESULTS / "latest.json", rows)
    with whole_file(RESULTS / "latest.md") as partial:
        partial.write_text(table(rows) + "\n", encoding="utf-8")
    print(f"Written to {RESULTS}/latest.json and latest.md")


if __name__ == "__main__":
    main()
