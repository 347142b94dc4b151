"""Keys of the two lines of a Wiegand interface, in either direction."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from edge.config.section import ConfigPath

WiegandChip = Annotated[
    ConfigPath,
    Field(
        title="GPIO chip",
        description="GPIO character device of both lines.",
        examples=["/dev/gpiochip0"],
    ),
]
ZerosLine = Annotated[
    int | str,
    Field(
        title="D0",
        description="Line of the zeros: number or name, as `gpioinfo` shows.",
        examples=["144"],
    ),
]
OnesLine = Annotated[
    int | str, Field(title="D1", description="Line of the ones.", examples=["112"])
]
