"""Settings of PoseDA in one call."""

from dataclasses import fields

from poseda.config import AdaptSettings, PoseDASettings

POSEDA = {field.name for field in fields(PoseDASettings)}


def adapt_settings(**changes: object) -> AdaptSettings:
    """Adapt settings of which some are PoseDA's own."""
    own = {name: value for name, value in changes.items() if name in POSEDA}
    rest = {name: value for name, value in changes.items() if name not in POSEDA}
    return AdaptSettings(**rest, poseda=PoseDASettings(**own))  # type: ignore[arg-type]
