"""Stored data of people and decisions, and how long it is kept."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from edge.config.section import COMMANDS, ConfigPath, Section


class EnrollmentConfig(Section):
    """Requirements for enrollment photos, and data stored with the templates."""

    quality: Literal["off", "standard", "strict"] = Field(
        "standard",
        title="Photo quality",
        description="off: only the face size is checked. standard: quality is checked, and that "
        "all photos show one person. strict: each photo must also have a higher score "
        "with the person's other photos than with any other enrolled person.",
        json_schema_extra=COMMANDS,
    )
    consent: bool = Field(
        False,
        title="Consent required",
        description="Refuse an enrollment without a recorded consent (edge-enroll --consent).",
        json_schema_extra=COMMANDS,
    )
    keep_chips: bool = Field(
        False,
        title="Keep aligned faces",
        description="Store the aligned face images, encrypted, so that people can be enrolled for "
        "another model without new photos.",
        json_schema_extra=COMMANDS,
    )
    erase_after_days: int | None = Field(
        None,
        ge=1,
        le=36500,
        title="Erasure of people",
        description="Days after the last enrollment or change at which `edge-gallery expire` "
        "erases a person. Not set: never.",
        examples=["730"],
        json_schema_extra=COMMANDS,
    )


class GalleryConfig(Section):
    """Time limits on following the gallery file while other processes change it."""

    unreadable_s: float = Field(
        5.0,
        ge=1,
        le=600,
        title="Unreadable gallery",
        description="Seconds without a readable gallery after which all grants are refused.",
    )
    confirm_s: float = Field(
        10.0,
        ge=1,
        le=600,
        title="Confirmation timeout",
        description="Seconds for which a command waits until the recogniser uses a changed "
        "gallery.",
        json_schema_extra=COMMANDS,
    )


class RecordConfig(Section):
    """The two audit logs, decisions and door events, and evidence pictures."""

    on_write_failure: Literal["refuse", "open"] = Field(
        "refuse",
        title="Unwritable audit log",
        description="Behaviour if the disk takes no records. refuse: no grants. open: grants "
        "continue, and missing records are counted and reported.",
    )
    delete_after_days: int = Field(
        365,
        ge=1,
        le=36500,
        title="Deletion of records",
        description="Days after which records are deleted. Files of one day (segments) are deleted "
        "as a unit.",
    )
    redact_after_days: int = Field(
        90,
        ge=1,
        le=36500,
        title="Redaction of personal data",
        description="Days after which names and scores in records are overwritten (the personal "
        "part).",
    )
    verification_key_dir: ConfigPath | None = Field(
        None,
        title="Verification keys",
        description="Folder of the keys that verify the audit logs. Not set: next to each log, "
        "where an attacker with that account can forge the log.",
        examples=["/etc/mfsa-edge/audit"],
    )
    max_pictures: int = Field(
        0,
        ge=0,
        le=100_000,
        title="Evidence pictures",
        description="Maximum number of evidence pictures (face of a decision, encrypted); the "
        "oldest is deleted first. 0: no pictures.",
    )
    delete_pictures_after_days: int = Field(
        30,
        ge=1,
        le=36500,
        title="Deletion of pictures",
        description="Days after which evidence pictures are deleted.",
    )
