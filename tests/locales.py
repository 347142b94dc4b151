"""Update of the console's catalogues of texts: `python -m tests.locales`.

New texts are added without a translation, and texts that are no longer used are removed.
"""

from __future__ import annotations

import io
import sys
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po, write_po

from edge.access.reasons import Reason
from edge.access.rules.codes import RuleRefusal
from edge.codes import Code
from edge.console.accounts.users import USER_STATES
from edge.console.roles import Permission, Role
from edge.door.events import CredentialRefusal, DoorAlarm, DoorRefusal, LockReason
from edge.face.quality import MESSAGES
from edge.gallery.enrollment.pose_guide import EnrollmentHint
from edge.values import Verdict

# Codes whose sentences are shown on pages.
_CODES: tuple[type[Code], ...] = (
    Role,
    Permission,
    Verdict,
    Reason,
    RuleRefusal,
    DoorRefusal,
    CredentialRefusal,
    LockReason,
    DoorAlarm,
    EnrollmentHint,
)
CONSOLE = Path(__file__).resolve().parents[1] / "edge" / "console"
LOCALES = CONSOLE / "locales"
SOURCE = "en"  # language of the texts in the code
_METHODS = [("**.py", "python"), ("**.html", "jinja2")]
_HEADER = """# Texts of the console: {name}. An empty translation means the text of the code.
msgid ""
msgstr ""
"Language: {code}\\n"
"Content-Type: text/plain; charset=utf-8\\n"
"Content-Transfer-Encoding: 8bit\\n"
"Plural-Forms: {plural}\\n"

"""
_KEYWORDS = {"_": None, "gettext": None, "ngettext": (1, 2), "mark": None}


def extract_texts() -> Catalog:
    """Return all texts of code and templates."""
    found = Catalog()
    for _, _, message, _, _ in extract_from_dir(CONSOLE, _METHODS, keywords=_KEYWORDS):
        if message:
            found.add(message)
    sentences = (code.sentence for codes in _CODES for code in codes)
    prompts = (words for _, words in MESSAGES.values())
    for text in (*Role, *USER_STATES, *sentences, *prompts):
        found.add(str(text))
    return found


def read_catalogue(path: Path) -> Catalog:
    with path.open("rb") as file:
        return read_po(file, locale=path.stem)


def render_updated(path: Path) -> str:
    """Return a catalogue with the texts of the code."""
    catalogue = read_catalogue(path)
    catalogue.update(extract_texts(), no_fuzzy_matching=True)
    written = io.BytesIO()
    write_po(
        written, catalogue, width=100, sort_output=True, ignore_obsolete=True, omit_header=True
    )
    assert catalogue.locale is not None
    head = _HEADER.format(
        name=catalogue.locale.english_name, code=path.stem, plural=catalogue.plural_forms
    )
    return head + written.getvalue().decode().strip() + "\n"


def missing_texts(path: Path) -> list[str]:
    """Return the texts without translation; the source language needs none."""
    if path.stem == SOURCE:
        return []
    known = {
        message.id: message.string
        for message in read_catalogue(path)
        if message.id and not message.fuzzy
    }
    missing = []
    for message in extract_texts():
        string = known.get(message.id, "") if message.id else "-"
        if not (all(string) if isinstance(string, tuple | list) else string):
            missing.append(str(message.id))
    return missing


def main() -> int:
    """Write all catalogues; return 1 if a translation is missing."""
    count = 0
    for path in sorted(LOCALES.glob("*.po")):
        path.write_text(render_updated(path), encoding="utf-8")
        for text in missing_texts(path):
            print(f"{path.name}: no translation: {text}")
            count += 1
    return min(count, 1)


if __name__ == "__main__":
    sys.exit(main())
