"""What is kept of people and passages, and for how long."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from edge.config.section import ConfigPath, Section


class EnrollmentConfig(Section):
    """What is asked of a person's photos, and what is kept beside the templates."""

    quality: Literal["off", "standard", "strict"] = Field(
        "standard",
        description="strict: each photo must also be more like the person's others than like anybody else",
    )
    consent: bool = Field(
        False, description="whether nobody is enrolled without a recorded consent"
    )
    keep_chips: bool = Field(
        False,
        description="keep the aligned faces, sealed, so that another model can enroll them again",
    )
    erase_after_days: int | None = Field(
        None,
        ge=1,
        le=36500,
        description="after which a person is erased unless enrolled or set anew",
    )


class GalleryConfig(Section):
    """Limits on following the gallery's file while other processes change it."""

    unreadable_s: float = Field(
        5.0,
        ge=1,
        le=600,
        description="after this time of an unreadable gallery all people are refused",
    )
    confirm_s: float = Field(
        10.0,
        ge=1,
        le=600,
        description="how long commands wait until the recogniser confirms a changed gallery",
    )


class RecordConfig(Section):
    on_write_failure: Literal["refuse", "open"] = Field(
        "refuse",
        description="whether people are let in while the disk takes no record of it; what was lost is counted",
    )
    delete_after_days: int = Field(
        365, ge=1, le=36500, description="after which records are removed, a file of them at a time"
    )
    redact_after_days: int = Field(
        90, ge=1, le=36500, description="after which what tells of a person is blanked out of them"
    )
    verification_key_dir: ConfigPath | None = Field(
        None, description="folder of the keys that verify the records; default: beside each record"
    )
    max_pictures: int = Field(
        0,
        ge=0,
        le=100_000,
        description="how many of the newest evidence pictures to keep, sealed; 0: none",
    )
    delete_pictures_after_days: int = Field(
        30, ge=1, le=36500, description="after which they are removed"
    )
