"""Count honest people that bulk enrollment refuses: a dry run on photos made of aligned chips.

python -m benchmarks.enrollment rmfrd_dev.tar celeba_wild.tar --bundle build/bundle

Only validation identities and photos without a real mask are used. A photo is a chip with a
repeated, blurred edge around it, enlarged: the detector needs surroundings. Such photos are not
refused for their size or for a face that is cut off, and their background is not natural. People
are taken from each source in the order of their names' digests.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

import cv2
import yaml

from calibration.chips import decode_chip, has_real_mask, is_validation_identity, read_chips
from calibration.surroundings import surround
from edge.system.markdown import format_table

_BORDER = 56  # half a chip on each side
_ENLARGED = 3.0
_ENROLL = "import sys; from edge.cli.entry import enroll; sys.exit(enroll())"

Photos = dict[str, list[tuple[str, bytes]]]  # name and encoded chip, by person


def read_people(source: Path, min_photos: int, max_photos: int) -> Photos:
    """Return photos of the validation identities with enough photos, in order of name digests."""
    found: Photos = defaultdict(list)
    for name, encoded in read_chips(source):
        person = name.split("/")[0]
        if is_validation_identity(person) and not has_real_mask(name):
            found[person].append((name, encoded))
    order = sorted(found, key=lambda person: hashlib.sha256(person.encode()).hexdigest())
    return {
        person: photos[:: max(1, len(photos) // max_photos)][:max_photos]
        for person in order
        if len(photos := found[person]) >= min_photos
    }


def write_photos(folder: Path, person: str, photos: Sequence[tuple[str, bytes]]) -> None:
    """Write a person's photos with surroundings into their folder of a roster."""
    (folder / person).mkdir(parents=True)
    for i, (name, encoded) in enumerate(photos):
        wide = surround(decode_chip(encoded, name), _BORDER)
        photo = cv2.resize(wide, None, fx=_ENLARGED, fy=_ENLARGED, interpolation=cv2.INTER_CUBIC)
        cv2.imwrite(str(folder / person / f"{i:02}.jpg"), photo, [cv2.IMWRITE_JPEG_QUALITY, 95])


def run_dry(folder: Path, bundle: Path, work: Path) -> dict[str, dict[str, object]]:
    """Return the line of each person in the report of `edge-enroll --bulk --dry-run`."""
    config, report = work / "terminal.yaml", work / "report.jsonl"
    settings = {
        "terminal": "measurement",
        "bundle": str(bundle.resolve()),
        "state": str(work / "state"),
        "camera": {"kind": "replay", "path": "clip"},
        "engine": {"kind": "ort", "threads": 1},
        "liveness": {"kind": "none"},
    }
    config.write_text(yaml.safe_dump(settings), encoding="utf-8")
    command = [sys.executable, "-c", _ENROLL, "--config", str(config), "--bulk", str(folder)]
    done = subprocess.run([*command, "--dry-run", "--report", str(report)], check=False)
    if not report.exists():
        raise SystemExit(f"edge-enroll failed with exit code {done.returncode}; see its message")
    lines = [json.loads(line) for line in report.read_text(encoding="utf-8").splitlines()]
    return {line["subject"]: line for line in lines}


def count_refusals(
    lines: dict[str, dict[str, object]], sources: dict[str, str], photos: Counter[str]
) -> str:
    """Return the table of refused people and photos that were not used, by source and reason."""
    rows = []
    for source in [*dict.fromkeys(sources.values()), "all"]:
        people = [one for one, origin in sources.items() if source in (origin, "all")]
        of = [lines[person] for person in people]
        refused = Counter(str(line["reason"]) for line in of if line["reason"])
        unused: Counter[str] = Counter()
        for line in of:
            listed = line["photos"]
            assert isinstance(listed, list)
            unused.update(photo["reason"] for photo in listed if photo["photo"] != "all")
        total = sum(photos[person] for person in people)
        share = f"{refused.total()} ({refused.total() / max(1, len(people)):.1%})"
        left_out = f"{unused.total()} ({unused.total() / max(1, total):.1%})"
        rows.append([source, str(len(people)), share, _list(refused), str(total), left_out])
        rows[-1].append(_list(unused))
    columns = ["source", "people", "refused", "by reason", "photos", "not used", "by reason"]
    return format_table(columns, rows)


def _list(counted: Counter[str]) -> str:
    return ", ".join(f"{reason} {number}" for reason, number in counted.most_common()) or "none"


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("chips", type=Path, nargs="+", help=".tar of <identity>/<image> chips")
    parser.add_argument("--bundle", type=Path, default=Path("build/bundle"), help="bundle")
    parser.add_argument("--people", type=int, default=130, help="people at most, of all sources")
    parser.add_argument("--photos", type=int, default=4, help="photos per person at most")
    parser.add_argument("--min-photos", type=int, default=2, help="photos per person at least")
    return parser.parse_args()


def main() -> int:
    args = _parse()
    sources: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        photos: Counter[str] = Counter()
        for source in args.chips:
            for person, taken in read_people(source, args.min_photos, args.photos).items():
                if person not in sources and len(sources) < args.people:
                    sources[person], photos[person] = source.stem, len(taken)
                    write_photos(work / "photos", person, taken)
        print(count_refusals(run_dry(work / "photos", args.bundle, work), sources, photos))
    return 0


if __name__ == "__main__":
    sys.exit(main())
