"""Table of the fuzz targets by name."""

from __future__ import annotations

from tests.fuzz import audits, documents, doors, galleries, pictures, rosters

_PAGES = (documents, galleries, rosters, pictures, doors, audits)
TARGETS = {target.name: target for page in _PAGES for target in page.TARGETS}
