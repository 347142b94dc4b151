"""Names of lanes and doors, and the keys that all readers of a lane have."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from edge.config.section import Section

DEFAULT_LANE = DEFAULT_DOOR = "main"
PANEL = "panel"  # name of the access control panel in status and records
_NAME_MAX = 32


def _check_label(label: str) -> str:
    if not label or len(label) > _NAME_MAX or not label.replace("-", "").isalnum():
        raise ValueError(
            f"expected 1 to {_NAME_MAX} letters, digits and hyphens such as lab-1, found {label!r}"
        )
    return label


Label = Annotated[str, AfterValidator(_check_label)]


class ReaderSection(Section):
    """Keys of all readers."""

    name: Label = Field(title="Name", description="Name in status and records.", examples=["entry"])
    lane: Label = Field(
        DEFAULT_LANE,
        title="Lane",
        description="Lane of `access.lanes` on whose side the reader is, through the door of this "
        "process. Not needed without lanes.",
    )
