"""What texts of each kind go through: the modules of a folder's routes, or the same ones for queries and documents."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from sentence_transformers.base.modules import Router
from sentence_transformers.sentence_transformer import modules as library

from hr_retrieval.encoder.dimensions import heads_of, picks
from hr_retrieval.encoder.safety import routes_of
from hr_retrieval.encoder.wording import Kind
from hr_retrieval.errors import UserError

Heads = Literal["shared", "separate"]

# Names of the route of each kind; the first that there is is taken.
_ROUTES: dict[Kind, tuple[str, ...]] = {
    "query": ("query", "anchor", "text"),
    "document": ("document", "passage", "positive", "text"),
}


@dataclass(frozen=True)
class Side:
    """What texts of one kind go through.

    Attributes:
        folder: of the module that reads the texts.
        reading: the library's modules from the texts to one vector each.
        heads: dense layers and norms behind these.
        picked: how many of the first dimensions a last layer picks; None where there is no such.
    """

    folder: Path
    reading: tuple[Any, ...]
    heads: tuple[Any, ...]
    picked: int | None


def sides_of(folder: Path, loaded: Any, heads: str | None) -> dict[Kind, Side]:
    """The side of each kind of text, of the library's model of a folder.

    Args:
        heads: `shared` has documents go the way of the queries; all else as the folder says.

    Raises:
        UserError: there is no such option, or the folder has other routes.
    """
    if heads not in (None, *get_args(Heads)):
        raise UserError("heads to be shared, separate or null", repr(heads), "null follows the folder.")
    places, names = routes_of(folder), _names(folder, loaded)
    if heads == "shared":
        names["document"] = names["query"]
    found = {name: _side(places[name][0][1], _modules(loaded, name)) for name in names.values()}
    return {kind: found[name] for kind, name in names.items()}


def apart(heads: Mapping[Kind, tuple[Any, ...]], width: int) -> dict[Kind, tuple[Any, ...]]:
    """Heads of which none is of both kinds: copies of those that are; where neither kind has any, a
    linear layer each that starts as the identity.
    """
    if not any(heads.values()):
        # With a bias: without one it would be taken for a layer that picks dimensions.
        return {
            kind: (library.Dense(width, width, True, None, torch.eye(width), torch.zeros(width)),) for kind in heads
        }
    both = {id(head) for head in heads["query"]} & {id(head) for head in heads["document"]}
    return dict(heads) if not both else {kind: copy.deepcopy(own) for kind, own in heads.items()}


def _names(folder: Path, loaded: Any) -> dict[Kind, str]:
    """The route of each kind, by the library's rules; "" of a folder without routes."""
    routers = [module for module in loaded if isinstance(module, Router)]
    if not routers:
        return {"query": "", "document": ""}
    (router,) = routers
    found = {kind: _name(router, names) for kind, names in _ROUTES.items()}
    named = {kind: name for kind, name in found.items() if name is not None}
    if len(named) < len(found) or set(router.sub_modules) != set(named.values()):
        raise UserError(
            f"a route for queries ({', '.join(_ROUTES['query'])}), one for documents ({', '.join(_ROUTES['document'])}), "
            f"and no other in {folder}",
            ", ".join(router.sub_modules),
            "Rename the routes in router_config.json, or use another model.",
        )
    return named


def _name(router: Any, names: tuple[str, ...]) -> str | None:
    keys = [*((name, what) for name in names for what in ("text", None)), (None, "text"), (None, None)]
    mapped = [router.route_mappings[key] for key in keys if key in router.route_mappings]
    return next((name for name in [*mapped, *names] if name in router.sub_modules), None)


def _modules(loaded: Any, route: str) -> list[Any]:
    """The library's modules of a route, one behind the other."""
    return [
        module
        for listed in loaded
        for module in (listed.sub_modules[route] if isinstance(listed, Router) else [listed])
    ]


def _side(folder: Path, modules: list[Any]) -> Side:
    first = next(
        number for number, module in enumerate(modules) if isinstance(module, library.Pooling | library.StaticEmbedding)
    )
    reading, behind = modules[: first + 1], modules[first + 1 :]
    for module in modules[1:]:
        names = {getattr(module, name, "sentence_embedding") for name in ("module_input_name", "module_output_name")}
        if names != {"sentence_embedding"}:
            raise UserError(
                f"one embedding a text from {folder}", f"a module for {sorted(names)}", "Use another model."
            )
    return Side(folder, tuple(reading), tuple(heads_of(behind)), picks(behind))
