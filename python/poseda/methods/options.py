"""Settings of a method of the user's own, as ``--adapt.options name=value`` gives them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

_FLAGS = {"true": True, "false": False}


def read_options(given: Sequence[str], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """The value of each option, of the type of its default.

    Args:
        given: ``name=value`` each.
        defaults: a bool, int, float or str of each option that there is.

    Raises:
        ValueError: if an option is unknown or given twice, or its value is of another type.
    """
    values = dict(defaults)
    seen: set[str] = set()
    for option in given:
        name, _, text = option.partition("=")
        if name not in defaults:
            names = ", ".join(sorted(defaults)) or "no options"
            raise ValueError(f"options: got {name!r:.60}, expected {names}")
        if name in seen:
            raise ValueError(f"options: got {name} twice, expected it once")
        seen.add(name)
        values[name] = _parsed(name, text, defaults[name])
    return values


def _parsed(name: str, text: str, default: Any) -> Any:
    kind = type(default)
    try:
        return _FLAGS[text.lower()] if kind is bool else kind(text)
    except (KeyError, ValueError, TypeError):
        expected = "true or false" if kind is bool else f"a value such as {default!r}"
        raise ValueError(f"options: {name}: got {text!r:.60}, expected {expected}") from None
