"""Recipes, overlays and key=value to settings, remembering who set what."""

import difflib
import os.path
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from vold.base.errors import SettingsError
from vold.config.schema import Settings

Tree = dict[str, Any]

UNION_BRANCHES = {"float", "constrained-float", "str", "bool", "ScheduleSettings", "ClipSettings", "ModelSettings", "ObjectiveSettings"}
"""Words pydantic puts into the place of an error that no recipe holds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """Settings, and for each dotted name where its value came from (absent: the schema's default)."""

    settings: Settings
    sources: Mapping[str, str]

    def source_of(self, name: str) -> str:
        return self.sources.get(name, "default")

    def set_by_user(self, name: str) -> bool:
        """Whether anybody set this name, or something inside it, on purpose."""
        return any(key == name or key.startswith(f"{name}.") for key in self.sources)


def recipe_names() -> list[str]:
    """The recipes that ship with the package."""
    return sorted(p.name.removesuffix(".toml") for p in resources.files("vold.config.recipes").iterdir() if p.name.endswith(".toml"))


def load(recipe: str, *, overlays: Sequence[str] = (), assignments: Sequence[str] = ()) -> Resolved:
    """The recipe by name or path, then each overlay, then each `key=value`; later ones win. Raises SettingsError."""
    tree: Tree = {}
    sources: dict[str, str] = {}
    for name in (recipe, *overlays):
        for source, layer in _layers(name, seen=()):
            _merge(tree, layer, source, sources)
    for assignment in assignments:
        _merge(tree, _assigned(assignment), "command line", sources)
    return Resolved(settings=_validated(tree, sources, recipe), sources=sources)


def _layers(name: str, *, seen: tuple[str, ...]) -> Iterator[tuple[str, Tree]]:
    """A recipe after whatever it extends."""
    if name in seen:
        raise SettingsError(f"recipe {name} extends itself by way of {' -> '.join(seen)}. Remove one `extends`.")
    layer = _read(name)
    parent = layer.pop("extends", None)
    if parent is not None:
        if not isinstance(parent, str):
            raise SettingsError(f"{name}: extends = {parent!r} is not the name or path of one recipe. Name one; further ones are overlays.")
        yield from _layers(_beside(name, parent), seen=(*seen, name))
    yield f"recipe {name}", layer


def _beside(name: str, parent: str) -> str:
    """What a recipe extends: another by name, or a file found from the folder of the file that names it."""
    return os.path.normpath(Path(name).parent / parent) if parent.endswith(".toml") else parent


def _read(name: str) -> Tree:
    path = Path(name)
    if path.suffix == ".toml":
        if not path.is_file():
            raise SettingsError(f"no recipe file {path}. Give the path of a TOML file, or one of the names: {', '.join(recipe_names())}.")
        data = path.read_bytes()
    else:
        found = resources.files("vold.config.recipes") / f"{name}.toml"
        if not found.is_file():
            raise SettingsError(
                f"no recipe named {name!r}{_meant(name, recipe_names())} Recipes: {', '.join(recipe_names())}; a path to a .toml file works too."
            )
        data = found.read_bytes()
    try:
        return tomllib.loads(data.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{name} is not valid TOML: {error}. Fix that line; strings need quotes.") from error


def _assigned(assignment: str) -> Tree:
    """`a.b=1` as a tree. A value that is not TOML is taken as a string."""
    key, sign, value = assignment.partition("=")
    names = [part.strip() for part in key.split(".")]
    if not sign or not all(names):
        raise SettingsError(f"{assignment!r} is not of the form key=value, such as joint.group_size=8.")
    try:
        parsed = tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        parsed = value.strip()
    tree: Any = parsed
    for name in reversed(names):
        tree = {name: tree}
    return dict(tree)


def _merge(tree: Tree, layer: Tree, source: str, sources: dict[str, str], prefix: str = "") -> None:
    """Put `layer` over `tree`; whatever a value replaces is forgotten together with who set it."""
    for key, value in layer.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict) and value:
            if not isinstance(tree.get(key), dict):
                _forget(name, sources)
                tree[key] = {}
            _merge(tree[key], value, source, sources, f"{name}.")
        else:
            _forget(name, sources)
            tree[key] = value
            sources[name] = source


def _forget(name: str, sources: dict[str, str]) -> None:
    for key in [key for key in sources if key == name or key.startswith(f"{name}.")]:
        del sources[key]


def _validated(tree: Tree, sources: Mapping[str, str], recipe: str) -> Settings:
    try:
        return Settings.model_validate(_with_tuples(tree))
    except ValidationError as error:
        lines = dict.fromkeys(_explained(problem, sources, recipe) for problem in error.errors())
        raise SettingsError("\n".join(lines)) from error


def _with_tuples(value: Any) -> Any:
    """TOML has arrays, the schema has tuples; whole numbers are welcome where a float is expected, which pydantic allows."""
    if isinstance(value, dict):
        return {key: _with_tuples(inner) for key, inner in value.items()}
    return tuple(_with_tuples(inner) for inner in value) if isinstance(value, list) else value


def _explained(problem: Any, sources: Mapping[str, str], recipe: str) -> str:
    """One refusal: where, what was found, what was expected."""
    path = [str(part) for part in problem["loc"]]
    names = _real_names(path)
    name = ".".join(names)
    where = f"{_blamed(name, sources) or recipe}: "
    found = problem.get("input")
    if problem["type"] == "extra_forbidden":
        table = f"[{'.'.join(names[:-1])}]" if names[:-1] else "the top level"
        return f"{where}{table} has no setting {names[-1]!r}{_meant(names[-1], _fields_at(names[:-1]))}"
    if problem["type"] == "missing":
        instead = "" if any(part.isdigit() for part in names) else f", or give {name}=VALUE"  # entries of an array have no name of their own
        return f"{where}{name} is not set, and it has no default. Add it to the recipe{instead}."
    if problem["type"] == "literal_error":
        return f"{where}{name} = {found!r} is not one of: {problem['ctx']['expected'].replace(' or ', ', ')}."
    return f"{where}{name} = {found!r}: {problem['msg'][0].lower()}{problem['msg'][1:]}."


def _blamed(name: str, sources: Mapping[str, str]) -> str | None:
    """Who set `name`, something inside it, or else the nearest table or array around it."""
    inside = [source for key, source in sources.items() if key == name or key.startswith(f"{name}.")]
    around = [source for key, source in sorted(sources.items(), key=lambda item: -len(item[0])) if name.startswith(f"{key}.")]
    return next(iter(inside + around), None)


def _real_names(path: Sequence[str]) -> list[str]:
    """The location without pydantic's names for the branches of a union."""
    names: list[str] = []
    for part in path:
        if part in UNION_BRANCHES or part.startswith("literal["):
            continue
        names.append(part)
    return names


def _fields_at(names: Sequence[str]) -> list[str]:
    """The settings that the table at `names` knows."""
    annotation: Any = Settings
    for name in names:
        annotation = _below(annotation, name)
    model = _model_in(annotation)
    return [] if model is None else [field.alias or key for key, field in model.model_fields.items()]


def _below(annotation: Any, name: str) -> Any:
    """What `name` is declared as in a table, a table of tables or an array of tables; None when it is none of them."""
    if get_origin(annotation) in (dict, tuple):
        return next((part for part in get_args(annotation) if _model_in(part) is not None), None)
    model = _model_in(annotation)
    fields = {} if model is None else model.model_fields
    return next((field.annotation for key, field in fields.items() if name in (key, field.alias)), None)


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if get_origin(annotation) in (Union, UnionType):
        return next((model for part in get_args(annotation) if (model := _model_in(part)) is not None), None)
    return None


def _meant(name: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    if close:
        return f'; did you mean "{close[0]}"?'
    return f"; it knows: {', '.join(known)}." if known else "."
