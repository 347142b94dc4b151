"""Answers and requests of the API about people."""

from __future__ import annotations

from datetime import date

from pydantic import BaseModel, ConfigDict, Field

from edge.people_protocol import TEXT_MAX, DoneEvent, PersonEvent, RefusedPhoto, RightsBody


class PersonAnswer(BaseModel):
    """Enrolled person."""

    name: str = Field(examples=["Ada"])
    templates: int = Field(description="of the present model", examples=[4])
    consent_on: date | None = Field(description="day of the consent", examples=["2031-05-01"])
    erase_on: date | None = Field(description="day of the erasure", examples=[None])
    rights: RightsBody
    cards: int = Field(examples=[1])
    has_pin: bool = Field(examples=[False])


class PersonList(BaseModel):
    """Enrolled people by name."""

    people: list[PersonAnswer]
    total: int = Field(description="people that the search found", examples=[1])


class RightsChange(BaseModel):
    """Change of rights; those that are left out stay."""

    model_config = ConfigDict(extra="forbid")

    reason: str = Field(
        min_length=1, max_length=TEXT_MAX, description="for the audit log", examples=["moved"]
    )
    rights: RightsBody = Field(examples=[{"groups": ["staff"]}])


class ChangeAnswer(BaseModel):
    """Result of a change."""

    name: str = Field(examples=["Ada"])
    templates: int = Field(description="stored or erased", examples=[3])
    left_out: list[RefusedPhoto] = Field(description="photos that were not used", examples=[[]])


def person_answer(person: PersonEvent) -> PersonAnswer:
    """Return a person as the API shows it."""
    return PersonAnswer.model_validate(person.model_dump(exclude={"event"}))


def change_answer(name: str, done: DoneEvent) -> ChangeAnswer:
    """Return the result of a change."""
    return ChangeAnswer(name=name, templates=done.templates, left_out=list(done.left_out))
