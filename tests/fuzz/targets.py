"""All targets by name."""

from __future__ import annotations

from tests.fuzz import documents, doors, galleries, pictures

TARGETS = {target.name: target for target in (*documents.TARGETS, *galleries.TARGETS, *pictures.TARGETS, *doors.TARGETS)}
