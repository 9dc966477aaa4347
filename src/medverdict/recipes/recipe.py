"""Recipes: read whole, checked whole, every fault named at once."""

from __future__ import annotations

import difflib
import json
import tomllib
from collections.abc import Iterable
from importlib import resources
from pathlib import Path

from pydantic import ValidationError

from medverdict.errors import RecipeError, did_you_mean
from medverdict.files import sha256_bytes
from medverdict.records import Recipe


def recipe_names() -> list[str]:
    """Names of the recipes that come with medverdict, sorted."""
    return sorted(p.name.removesuffix(".toml") for p in _folder().iterdir() if p.name.endswith(".toml"))


def recipe_text(name: str) -> str:
    """The file of a shipped recipe, comments included. Raises RecipeError for an unknown name."""
    if name not in recipe_names():
        known = recipe_names()
        raise RecipeError(
            f"unknown recipe {name!r}; expected one of {', '.join(known)}, or a path to a .toml file."
            f"{did_you_mean(name, known)}"
        )
    return (_folder() / f"{name}.toml").read_text(encoding="utf-8")


def load_recipe(name_or_path: str, settings: Iterable[str] = ()) -> Recipe:
    """A shipped recipe by name, or one of the user's by path, with `key=value` settings applied.

    Raises RecipeError naming every unknown, missing and ill-typed key and every conflict at once.
    """
    if name_or_path.endswith(".toml"):
        name, text = Path(name_or_path).stem, _read(Path(name_or_path))
    else:
        name, text = name_or_path, recipe_text(name_or_path)
    fields = _parse_toml(text, name_or_path)
    given, faults = _parse_settings(settings)
    return _build(name, fields | given, faults, name_or_path)


def recipe_sha256(recipe: Recipe) -> str:
    """Hash of the resolved recipe; two runs with the same hash were told the same."""
    return sha256_bytes(json.dumps(recipe.model_dump(mode="json"), sort_keys=True).encode("utf-8"))


def _folder() -> resources.abc.Traversable:
    return resources.files("medverdict.recipes")


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise RecipeError(f"{path}: no such recipe file. `medverdict recipes` lists the shipped ones.") from None
    except (ValueError, OSError) as error:
        raise RecipeError(f"{path}: cannot be read as a UTF-8 recipe file: {error}.") from None


def _parse_toml(text: str, where: str) -> dict[str, object]:
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # a number of 5,000 digits, a thousand brackets
        raise RecipeError(f"{where}: not valid TOML: {error}.") from None


def _parse_settings(settings: Iterable[str]) -> tuple[dict[str, object], list[str]]:
    """Read `key=value` with TOML's values; a bare word counts as a string."""
    given: dict[str, object] = {}
    faults = []
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals:
            faults.append(f"--set {setting}: expected key=value")
            continue
        try:
            given[key.strip()] = tomllib.loads(f"v = {value}")["v"]
        except (ValueError, RecursionError):
            given[key.strip()] = value
    return given, faults


def _build(name: str, fields: dict[str, object], faults: list[str], where: str) -> Recipe:
    silent = [key for key, field in Recipe.model_fields.items() if not field.is_required() and key not in fields]
    faults = faults + [f"{key}: missing" for key in silent]
    try:
        recipe = Recipe.model_validate({"name": name, **fields})
    except ValidationError as error:
        faults = faults + [_describe(fault["loc"], fault["type"], fault["msg"]) for fault in error.errors()]
        raise _refusal(where, faults) from None
    faults = faults + _conflicts(recipe)
    if faults:
        raise _refusal(where, faults)
    return recipe


def _describe(location: tuple[int | str, ...], kind: str, message: str) -> str:
    key = ".".join(str(part) for part in location)
    if kind == "extra_forbidden":
        near = difflib.get_close_matches(key, Recipe.model_fields, n=1)
        return f"{key}: unknown key" + (f"; did you mean {near[0]}?" if near else "")
    if kind == "missing":
        return f"{key}: missing"
    return f"{key}: {message[0].lower()}{message[1:]}"


def _conflicts(recipe: Recipe) -> list[str]:
    """What each field allows alone but not together."""
    faults = []
    if recipe.prompt.count("{claim}") != 1:
        faults.append("prompt: must hold {claim} exactly once")
    if recipe.label_true == recipe.label_false or not (recipe.label_true.strip() and recipe.label_false.strip()):
        faults.append("label_true, label_false: must be two different words")
    if recipe.method == "lora" and not (recipe.lora_rank and recipe.lora_alpha and recipe.lora_targets):
        faults.append("lora_rank, lora_alpha, lora_targets: must be set where method is lora")
    if recipe.method != "lora" and recipe.lora_rank:
        faults.append(f"lora_rank: must be 0 where method is {recipe.method}")
    if recipe.objective == "text":
        faults += _text_conflicts(recipe)
    if recipe.method == "zero-shot" and recipe.epochs:
        faults.append("epochs: must be 0 where method is zero-shot")
    if recipe.method != "zero-shot" and not (recipe.epochs and recipe.learning_rate):
        faults.append(f"epochs, learning_rate: must be above 0 where method is {recipe.method}")
    return faults


def _text_conflicts(recipe: Recipe) -> list[str]:
    """What has no meaning where claims are taught as text, which has no answer, and dev no text of its own."""
    faults = []
    if recipe.append_eos or recipe.supervised_padding or recipe.keep_best:
        faults.append("append_eos, supervised_padding, keep_best: must be false and 0 where objective is text")
    if recipe.method == "zero-shot":
        faults.append("objective: must be verdict where method is zero-shot")
    before = recipe.prompt.partition("{claim}")[0]
    if not before.strip() or not before.endswith((" ", "\n")):  # the claim's first token is predicted from them
        faults.append("prompt: needs text and then a space or line break before {claim} where objective is text")
    return faults


def _refusal(where: str, faults: list[str]) -> RecipeError:
    return RecipeError(f"recipe {where}: {len(faults)} fault(s):\n" + "\n".join(f"  - {fault}" for fault in faults))
