"""Names of lanes and doors, and the keys that all readers of a lane have."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, Field

from edge.config.section import Section

DEFAULT_LANE = DEFAULT_DOOR = "main"
PANEL = "panel"  # name of the access control panel in status and records
_NAME_MAX = 32
LABEL_PATTERN = rf"[A-Za-z0-9-]{{1,{_NAME_MAX}}}"  # of names in files, commands and packets
_LABEL = re.compile(LABEL_PATTERN)


def _check_label(label: str) -> str:
    if not _LABEL.fullmatch(label) or not label.strip("-"):
        raise ValueError(
            f"expected 1 to {_NAME_MAX} ASCII letters, digits and hyphens such as lab-1, "
            f"found {label!r}"
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
