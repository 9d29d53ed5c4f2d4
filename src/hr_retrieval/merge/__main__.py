"""`python -m hr_retrieval.merge`: the mean of several runs' weights as one encoder's folder, chosen by validation."""

from pathlib import Path

from omegaconf import DictConfig

from hr_retrieval.config.command import entry_point
from hr_retrieval.program import called


@entry_point("merge")
def main(config: DictConfig) -> None:
    """Merge runs."""
    from hr_retrieval.merge.soup import merge

    runs = [config.runs] if isinstance(config.runs, str) else list(config.runs)
    output = Path(config.output)
    soup = merge(runs, output, config.method, config.before, config.metric)
    width = max(len(member.name) for member in soup.members)
    for member in soup.members:
        taken = "in" if member.taken else ""
        print(f"{member.name:<{width}}  validation {soup.metric} {member.figure:.4f}  {taken}".rstrip())
    print(f"{'the mean of those in':<{width}}  validation {soup.metric} {soup.figure:.4f}")
    print(f"The encoder is in {output}; what it was merged from is in {output / 'merge.json'}.")
    print(f"Next: {called('evaluate')} encoder={output} data.folder=<prepared> output=<folder>")


if __name__ == "__main__":
    main()
