"""Protection of record fields, and the table of them in docs/audit.md."""

from __future__ import annotations

from pathlib import Path

from edge.audit.formatting import COLUMNS
from edge.audit.record_fields import FIELDS, FieldClass, split_fields

PAGE = Path(__file__).resolve().parents[3] / "docs" / "audit.md"


def test_field_names_are_unique() -> None:
    assert len({field.name for field in FIELDS}) == len(FIELDS)


def test_unlisted_field_is_personal() -> None:
    assert split_fields({"a_new_field": 1}) == ({}, {"a_new_field": 1}, {})


def test_fields_split_by_protection() -> None:
    for field in FIELDS:
        public, personal, sealed = split_fields({field.name: 1})
        parts = {"public": public, "personal": personal, "sealed": sealed}
        assert [name for name, part in parts.items() if part] == [field.protection.value]


def test_names_of_people_are_personal() -> None:
    personal = {f.name for f in FIELDS if f.protection is FieldClass.PERSONAL}
    assert {"subject", "other", "operator", "account", "note"} <= personal


def test_csv_columns_are_fields() -> None:
    assert set(COLUMNS) - {f.name for f in FIELDS} == {"time", "record", "what", "erased"}


def test_audit_page_lists_all_fields() -> None:
    rows = "\n".join(f"| `{f.name}` | {f.protection.value} | {f.meaning} |" for f in FIELDS)
    assert rows in PAGE.read_text(encoding="utf-8"), f"docs/audit.md needs these rows:\n{rows}"
