"""`edge-gallery`: who is enrolled, and taking somebody out."""

from __future__ import annotations

import argparse
import json
import sys

from edge.cli import common
from edge.config import load_config


def main(argv: list[str] | None = None) -> int:
    parser = common.parser("edge-gallery", "Show or change who is enrolled.", "edge-gallery list --config terminal.yaml")
    commands = parser.add_subparsers(dest="command", required=True, metavar="list|remove")
    show = commands.add_parser("list", help="subjects and their number of templates")
    show.add_argument("--json", action="store_true", help="for machines")
    remove = commands.add_parser("remove", help="erase every template of a subject; a running daemon sees it at once")
    remove.add_argument("--subject", required=True)
    for sub in (show, remove):
        common.add_config(sub)
    args = parser.parse_args(argv)
    return common.run("edge-gallery", lambda: _gallery(args))


def _gallery(args: argparse.Namespace) -> int:
    config = load_config(args.config)
    from edge.bundle import open_bundle
    from edge.chip import PREPROCESSING
    from edge.errors import GalleryError
    from edge.gallery.store import check_owner, open_store

    check_owner(config.state)
    if not config.gallery_path.exists():
        raise GalleryError(f"{config.gallery_path}: no gallery yet; it is made by the first edge-enroll")
    bundle = open_bundle(config.bundle, PREPROCESSING)
    store = open_store(config, bundle.model_digest)
    try:
        if args.command == "remove":
            removed = store.remove(args.subject)
            if not removed:
                raise GalleryError(f"{args.subject!r} is not enrolled; edge-gallery list shows who is")
            print(f"{args.subject}: {removed} templates erased")
            return common.DONE
        subjects = store.subjects()
    finally:
        store.close()
    if args.json:
        print(json.dumps(subjects, ensure_ascii=False))
    else:
        for subject, templates in subjects.items():
            print(f"{templates:4d}  {subject}")
        print(f"{len(subjects)} subjects, the model supports {bundle.manifest.calibration.gallery_size}")
    return common.DONE


if __name__ == "__main__":
    sys.exit(main())
