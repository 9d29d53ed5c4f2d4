"""Names of settings: those that a command line has."""

import pytest

from hr_retrieval.compare.settings import Value, shown_value

LINEAR = "hr_retrieval.train.schedule.WarmupLinear"


def part(target: str, **options: float | str) -> Value:
    return (("_target_", target), *options.items())


@pytest.mark.parametrize(
    ("key", "values", "shown"),
    [
        ("model.mixing", [part("hr_retrieval.objective.mixing.NoMixing")], ["none"]),
        ("optimizer", [part("torch.optim.AdamW", lr=1), part("torch.optim.Adam", lr=2)], ["adamw", "adam"]),
        ("optimizer", [part("torch.optim.SGD", lr=1), part("torch.optim.SGD", lr=2)], ["SGD(lr=1)", "SGD(lr=2)"]),
        # Two options of one class are told apart by their values; halfway between them only the
        # class is left.
        (
            "scheduler",
            [part(LINEAR, warmup=0.0, final=1.0), part(LINEAR, warmup=0.1, final=0.0), part(LINEAR, warmup=0.0, final=0.0)],
            ["constant", "warmup_linear", "WarmupLinear"],
        ),
        (
            "scheduler",
            [part(LINEAR, warmup=0.1, final=0.0), part(LINEAR, warmup=0.2, final=0.0)],
            ["warmup_linear(warmup=0.1)", "warmup_linear(warmup=0.2)"],
        ),
        (
            "model",
            [
                (("_target_", "m.Module"), ("mixing._target_", "hr_retrieval.objective.mixing.NoMixing")),
                (("_target_", "m.Module"), ("mixing._target_", "hr_retrieval.objective.mixing.AnchorMixing")),
            ],
            ["Module(mixing=none)", "Module(mixing=anchor)"],
        ),
        ("optimizer.lr", [(("", 0.1),), ()], ["0.1", "-"]),
    ],
)  # fmt: skip
def test_a_part_is_called_what_a_command_line_calls_it(key: str, values: list[Value], shown: list[str]) -> None:
    assert [shown_value(key, value, values) for value in values] == shown
