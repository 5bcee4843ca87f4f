"""template.yaml as it stands: the version, the parameters, and the environment that it gives each function."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PATH = ROOT / "template.yaml"


def _loader() -> Any:
    """Return what reads YAML as CloudFormation writes it: !Ref and its kind become {"Ref": …}, {"Fn::GetAtt": …}."""
    import yaml  # which takes a tenth of a second, and help needs none

    class Loader(yaml.SafeLoader):
        pass

    def tagged(loader: Any, tag: str, node: Any) -> dict[str, Any]:
        name = tag if tag in {"Ref", "Condition"} else f"Fn::{tag}"
        match node:
            case yaml.ScalarNode():
                return {name: loader.construct_scalar(node)}
            case yaml.SequenceNode():
                return {name: loader.construct_sequence(node, deep=True)}
            case _:
                return {name: loader.construct_mapping(node, deep=True)}

    Loader.add_multi_constructor("!", tagged)
    return Loader


@cache
def template(path: Path = PATH) -> dict[str, Any]:
    """Return the template, or another that is written like it; nobody may change it."""
    import yaml

    text = path.read_text(encoding="utf-8")
    parsed: dict[str, Any] = yaml.load(text, _loader())  # noqa: S506 - a safe loader's child
    return parsed


def version() -> str:
    """Return the product's version: the template's functions and outputs have it from there too."""
    return str(template()["Mappings"]["Release"]["This"]["Version"])


def parameters() -> Mapping[str, Mapping[str, Any]]:
    """Return the parameters by name."""
    found: dict[str, Mapping[str, Any]] = template()["Parameters"]
    return found


def variables(function: str) -> dict[str, Any]:
    """Return a function's variables as the template writes them, those of Globals too."""
    everywhere = template()["Globals"]["Function"]["Environment"]["Variables"]
    own = template()["Resources"][function]["Properties"]["Environment"]["Variables"]
    return {**everywhere, **own}
