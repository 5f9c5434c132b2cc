"""Configuration files (YAML, JSON) read without risk: no tags, no duplicate keys, few aliases, bounded in size."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from yaml.composer import ComposerError
from yaml.constructor import ConstructorError

from consilience.core.errors import InputError, clean
from consilience.files import decode, read_bytes
from consilience.kinds import recognise_bytes

MAX_BYTES = 4 << 20
MAX_YAML = 256 << 10  # the parser is slow
MAX_ALIASES = 64
MAX_DEPTH = 64


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader that also refuses duplicate keys and many aliases."""

    aliases = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            self.aliases += 1
            if self.aliases > MAX_ALIASES:
                mark = self.peek_event().start_mark
                raise ComposerError(None, None, f"more than {MAX_ALIASES} aliases", mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        seen: set[Any] = set()
        for key_node, _ in getattr(node, "value", ()):
            if key_node.tag == "tag:yaml.org,2002:merge":
                continue
            key = self.construct_object(key_node, deep=True)
            if isinstance(key, (str, int, float, bool)) and key in seen:
                raise ConstructorError(None, None, f"duplicate key '{key}'", key_node.start_mark)
            if isinstance(key, (str, int, float, bool)):
                seen.add(key)
        return super().construct_mapping(node, deep)


def load_config(path: str | Path) -> dict[str, Any]:
    """The mapping in a YAML or JSON file.

    Raises InputError (file and line named) for tags, duplicate keys, more than 64 aliases, nesting deeper than 64
    levels, files over 4 MB, bad syntax, and anything that is not a mapping.
    """
    where = str(path)
    data = read_bytes(path, max_bytes=MAX_BYTES)
    text = decode(data, where)
    if not text.strip():
        raise InputError("the configuration is empty", where=where)
    is_json = recognise_bytes(data, Path(where).name) == "json"
    if not is_json and len(data) > MAX_YAML:
        raise InputError("the configuration is too large", where, f"{len(data)} bytes", f"<= {MAX_YAML}")
    if _brackets(data) > 8 * MAX_DEPTH:
        raise InputError("the configuration is nested too deeply", where=where, expected=f"<= {MAX_DEPTH} levels")
    try:
        if is_json:
            value = json.loads(text, object_pairs_hook=_no_duplicates)
        else:
            value = yaml.load(text, Loader=_Loader)  # a subclass of SafeLoader
    except RecursionError:
        raise InputError("the configuration is nested too deeply", where=where, expected=f"<= {MAX_DEPTH}") from None
    except json.JSONDecodeError as err:
        raise InputError("invalid JSON: it cannot be parsed", f"{where}, line {err.lineno}", clean(err.msg)) from None
    except yaml.YAMLError as err:
        mark = getattr(err, "problem_mark", None)
        place = where if mark is None else f"{where}, line {mark.line + 1}"
        found = clean(getattr(err, "problem", None) or err)
        raise InputError("invalid YAML (plain values only, no tags)", place, found) from None
    except (ValueError, TypeError, AttributeError, OverflowError) as err:
        raise InputError("the configuration cannot be parsed", where=where, found=clean(err)) from None
    if not isinstance(value, dict):
        raise InputError(
            "the configuration is not a mapping of keys to values", where, type(value).__name__, "key: value"
        )
    if _depth(value) > MAX_DEPTH:
        raise InputError("the configuration is nested too deeply", where=where, expected=f"<= {MAX_DEPTH} levels")
    return value


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for key, value in pairs:
        if key in out:
            raise ValueError(f"duplicate key '{key}'")
        out[key] = value
    return out


def _brackets(data: bytes) -> int:
    """Largest number of brackets open at once: a bound that is found before any parser recurses."""
    text = np.frombuffer(data, np.uint8)
    opened = np.isin(text, (0x5B, 0x7B)).astype(np.int64) - np.isin(text, (0x5D, 0x7D))
    return int(np.cumsum(opened).max(initial=0))


def _depth(value: Any) -> int:
    """Levels of nesting, counted without recursion."""
    deepest, stack = 0, [(value, 1)]
    while stack:
        item, level = stack.pop()
        deepest = max(deepest, level)
        if level > MAX_DEPTH:
            return level
        children = item.values() if isinstance(item, dict) else item if isinstance(item, list) else ()
        stack += [(child, level + 1) for child in children if isinstance(child, (dict, list))]
    return deepest
