"""Recipes, overlays and key=value to settings, remembering who set what."""

import difflib
import os.path
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from importlib import resources
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from vold.base.errors import SettingsError
from vold.config.schema import Settings
from vold.config.written import plain
from vold.core.credit import TeacherRatio
from vold.core.ratios import Clip, Correction

Tree = dict[str, Any]
COMMAND_LINE = "command line"

OF_AN_OBJECTIVE = re.compile(r"arms\..+?\.objective\.(.+)")
AFRESH: Mapping[str, type[Clip | Correction | TeacherRatio]] = {"clip": Clip, "correction": Correction, "credit.by_teacher": TeacherRatio}
"""What of an objective is a table or the word "none", and what the base may have in its place."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """Settings, and for each dotted name where its value came from (absent: the schema's default)."""

    settings: Settings
    sources: Mapping[str, str]
    layers: tuple[str, ...] = ()
    """Every source in the order they were laid over each other: later ones win."""

    def is_later(self, source: str, other: str) -> bool:
        """Whether `source` was laid over `other`."""
        return source in self.layers and other in self.layers and self.layers.index(source) > self.layers.index(other)

    def source_of(self, name: str) -> str:
        return self.sources.get(name, "default")

    def user_of(self, name: str) -> str | None:
        """The source by which the user set this name, something inside it, or else the array around it; None when all of it was inherited.

        The command line, files and overlays are the user's. What a recipe that ships with the package sets is inherited, even by way of a file
        of the user's that extends it.
        """
        inside = [source for key, source in self.sources.items() if key == name or key.startswith(f"{name}.")]
        around = [source for key, source in sorted(self.sources.items(), key=lambda item: -len(item[0])) if name.startswith(f"{key}.")]
        return next((source for source in inside or around[:1] if not _ships(source)), None)


def _ships(source: str) -> bool:
    return source.removeprefix("recipe ") in (*recipe_names(), *overlay_names())


def recipe_names() -> list[str]:
    """The recipes that ship with the package."""
    return _named("vold.config.recipes")


def overlay_names() -> list[str]:
    """The overlays that ship with the package."""
    return _named("vold.config.overlays")


def about_overlay(name: str) -> str:
    """What an overlay that ships with the package says of itself."""
    return str(_read(name)["about"])


def _named(package: str) -> list[str]:
    return sorted(p.name.removesuffix(".toml") for p in resources.files(package).iterdir() if p.name.endswith(".toml"))


def load(recipe: str, *, overlays: Sequence[str] = (), assignments: Sequence[str] = ()) -> Resolved:
    """The recipe by name or path, then each overlay, then each `key=value`; later ones win. Raises SettingsError."""
    tree: Tree = {}
    sources: dict[str, str] = {}
    layers: list[str] = []
    if recipe in overlay_names():
        raise SettingsError(f"{recipe!r} is an overlay, not a recipe. Lay it over one: vold run RECIPE -o {recipe}.")
    for name in (recipe, *overlays):
        for source, layer in _layers(name, seen=()):
            if name in overlay_names():
                layer.pop("about")  # of the overlay, not of the run
            _merge(tree, layer, source, sources)
            layers.append(source)
    for assignment in assignments:
        _merge(tree, _assigned(assignment), COMMAND_LINE, sources)
    return Resolved(settings=_validated(tree, sources, recipe), sources=sources, layers=(*layers, COMMAND_LINE))


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
        found = resources.files("vold.config.overlays" if name in overlay_names() else "vold.config.recipes") / f"{name}.toml"
        if not found.is_file():
            raise SettingsError(
                f"no recipe or overlay named {name!r}{meant(name, [*recipe_names(), *overlay_names()])} Recipes: {', '.join(recipe_names())}; "
                f"overlays: {', '.join(overlay_names())}; a path to a .toml file works too."
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
                tree[key] = _spelled_out(name, tree.get(key), sources)
            _merge(tree[key], value, source, sources, f"{name}.")
        elif _place(name) == "credit" and isinstance(value, str) and value != "none" and isinstance(tree.get(key), dict):
            _merge(tree[key], {"by": value}, source, sources, f"{name}.")
        else:
            _forget(name, sources)
            tree[key] = value
            sources[name] = source


def _spelled_out(name: str, word: Any, sources: dict[str, str]) -> Tree:
    """The table that stands under another one in place of a word: a credit's word is its `by`, and "none" is a table without anything of the base.

    The latter holds every field there is: at its default if it has one, else without a value, which `objectives` refuses unless a layer gives it.
    """
    place, source = _place(name), sources.get(name)
    _forget(name, sources)
    if place == "credit" and isinstance(word, str):
        if source is not None:
            sources[f"{name}.by"] = source
        return {"by": word}
    table = AFRESH.get(place or "") if word == "none" else None
    return {field.name: None if field.default is MISSING else plain(field.default) for field in fields(table)} if table else {}


def _place(name: str) -> str | None:
    """What of an arm's objective a dotted name names."""
    found = OF_AN_OBJECTIVE.fullmatch(name)
    return found[1] if found else None


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
        return f"{where}{table} has no setting {names[-1]!r}{meant(names[-1], _fields_at(names[:-1]))}"
    if problem["type"] == "missing":
        blamed = _blamed(name, sources) or _blamed(".".join(names[:-1]), sources) or recipe
        instead = "" if any(part.isdigit() for part in names) else f", or give {name}=VALUE"  # entries of an array have no name of their own
        return f"{blamed}: {name} is not set, and it has no default. Add it to the recipe{instead}."
    if problem["type"] == "literal_error":
        expected = problem["ctx"]["expected"]
        near = nearest(found, re.findall(r"'([^']*)'", expected)) if isinstance(found, str) else None
        hint = f' Did you mean "{near}"?' if near is not None else ""
        return f"{where}{name} = {found!r} is not one of: {expected.replace(' or ', ', ')}{_otherwise(path)}.{hint}"
    if problem["type"] == "tuple_type":
        return f"{where}{name} = {found!r}: input should be an array{' of tables: [{ ... }]' if _fields_at([*names, '0']) else ''}."
    return f"{where}{name} = {found!r}: {problem['msg'][0].lower()}{problem['msg'][1:]}{_otherwise(path) if problem['type'] == 'float_type' else ''}."


def _otherwise(path: Sequence[str]) -> str:
    """What else than a word or number of this kind the place would take."""
    if path[-1] == "(word)":
        return "; a number works too"
    fields = _fields_at(_real_names(path)) if path[-1] == "(plain)" else []
    return f"; a table of {', '.join(fields)} works too" if fields else ""


def _blamed(name: str, sources: Mapping[str, str]) -> str | None:
    """Who set `name`, something inside it, or else the nearest table or array around it."""
    inside = [source for key, source in sources.items() if key == name or key.startswith(f"{name}.")]
    around = [source for key, source in sorted(sources.items(), key=lambda item: -len(item[0])) if name.startswith(f"{key}.")]
    return next(iter(inside + around), None)


def _real_names(path: Sequence[str]) -> list[str]:
    """The location without the tags of unions, which pydantic puts into it and which no recipe holds."""
    return [part for part in path if not part.startswith("(")]


def _fields_at(names: Sequence[str]) -> list[str]:
    """The settings that the table at `names` knows; where there is a choice of tables, those of all of them."""
    annotation: Any = Settings
    for name in names:
        annotation = _below(annotation, name)
    return list(dict.fromkeys(field.alias or key for model in _models_in(annotation) for key, field in model.model_fields.items()))


def _below(annotation: Any, name: str) -> Any:
    """What `name` is declared as in a table, a table of tables or an array of tables; None when it is none of them."""
    for part in _branches(annotation):
        if get_origin(part) in (dict, tuple):
            return next((inner for inner in get_args(part) if _models_in(inner)), None)
    fields = [(key, field) for model in _models_in(annotation) for key, field in model.model_fields.items()]
    return next((field.annotation for key, field in fields if name in (key, field.alias)), None)


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    return [part for part in _branches(annotation) if isinstance(part, type) and issubclass(part, BaseModel)]


def _branches(annotation: Any) -> Iterator[Any]:
    """What a declaration may stand for, unions and annotations opened."""
    if get_origin(annotation) is Annotated:
        yield from _branches(get_args(annotation)[0])
    elif get_origin(annotation) in (Union, UnionType):
        for part in get_args(annotation):
            yield from _branches(part)
    else:
        yield annotation


def meant(name: str, known: Sequence[str]) -> str:
    """How a message about an unknown name goes on: with the nearest one, whatever its case, else with all there are."""
    near = nearest(name, known)
    if near is not None:
        return f'; did you mean "{near}"?'
    return f"; it knows: {', '.join(known)}." if known else "."


def nearest(name: str, known: Sequence[str]) -> str | None:
    """The known name that an unknown one is a slip of, whatever its case; None where it is near to none."""
    by_case = {one.casefold(): one for one in known}
    close = difflib.get_close_matches(name.casefold(), by_case, n=1)
    return by_case[close[0]] if close else None
