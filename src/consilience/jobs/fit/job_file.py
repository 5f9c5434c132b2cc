"""A job.yaml read safely: keys that are known, values of the right kind, paths as seen from the file's own folder."""

from __future__ import annotations

import difflib
import types
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from consilience.core.errors import InputError, clean


def known_keys(said: Mapping[str, Any], known: Iterable[str], where: str, needed: Iterable[str] = ()) -> None:
    """Raises InputError for a key that is not known (with the nearest that is), or one that is missing."""
    known = list(known)
    for key in said:
        if key not in known:
            close = difflib.get_close_matches(str(key), known, n=1)
            fix = f"did you mean {close[0]}?" if close else f"known: {', '.join(known)}"
            raise InputError(f"unknown key '{clean(key)}'", where, fix=fix)
    for key in needed:
        if key not in said:
            raise InputError(f"the key '{key}' is missing", where)


def resolved(path: Any, folder: Path, where: str) -> Path:
    """A path of the file as seen from here. Raises InputError for what is no path."""
    if not isinstance(path, str) or not path.strip() or "\0" in path:
        raise InputError("this is no path", where, clean(repr(path)), "the name of a file or folder")
    return folder / Path(path).expanduser()


def options_of(kind: type, said: Mapping[str, Any], folder: Path, where: str) -> Any:
    """A dataclass of options from plain values. Raises InputError for unknown keys and values of another kind."""
    hints = get_type_hints(kind)
    known_keys(said, hints, where)
    return kind(**{k: typed(v, hints[k], folder, f"{where}.{k}") for k, v in said.items()})


def typed(value: Any, hint: Any, folder: Path, where: str) -> Any:
    """A plain value as its annotation wants it: paths resolved, lists as tuples. Raises InputError for another kind."""
    origin, args = get_origin(hint), get_args(hint)
    if hint is Any:
        return value
    if origin in (Union, types.UnionType):
        for option in args:
            try:
                return typed(value, option, folder, where)
            except InputError:
                continue
    elif hint is type(None):
        if value is None:
            return None
    elif origin is Literal:
        if any(value == a and type(value) is type(a) for a in args):
            return value
    elif hint is Path:
        return resolved(value, folder, where)
    elif origin is tuple and isinstance(value, list):
        inner = args[:1] * len(value) if args[-1] is ... else args
        if len(inner) == len(value):
            return tuple(typed(v, a, folder, where) for v, a in zip(value, inner, strict=True))
    elif origin is dict and isinstance(value, Mapping):
        return {str(k): typed(v, args[1], folder, where) for k, v in value.items()}
    elif hint is float and isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    elif hint in (bool, int, str) and type(value) is hint:
        return value
    raise InputError("a value of another kind is expected", where, clean(repr(value)), _shown(hint))


def _shown(hint: Any) -> str:
    if get_origin(hint) in (Union, types.UnionType):
        return " or ".join(_shown(a) for a in get_args(hint))
    if get_origin(hint) is Literal:
        return ", ".join(repr(a) for a in get_args(hint))
    return {type(None): "null", Path: "a path", float: "a number", int: "a whole number", bool: "true or false",
            str: "text"}.get(hint, str(hint))  # fmt: skip
