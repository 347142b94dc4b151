"""`edge-gallery`: who is enrolled, and taking somebody out."""

from __future__ import annotations

import argparse
import json
import sys

from edge.cli import common
from edge.config import load_config


def main(argv: list[str] | None = None) -> int:
    parser = common.parser("edge-gallery", "Show or change who is enrolled.", "edge-gallery list --config terminal.yaml")
    commands = parser.add_subparsers(dest="command", required=True, metavar="list|remove|set")
    show = commands.add_parser("list", help="subjects, their number of templates, and for whom the door stays open longer")
    show.add_argument("--json", action="store_true", help="for machines")
    remove = commands.add_parser("remove", help="erase every template of a subject; a running daemon sees it at once")
    change = commands.add_parser("set", help="change what is known of a subject; a running daemon sees it at once")
    change.add_argument(
        "--extended", choices=("on", "off"), required=True, help="whether the door stays open longer, `door.extended_s`"
    )
    for sub in (remove, change):
        sub.add_argument("--subject", required=True)
    for sub in (show, remove, change):
        common.add_config(sub)
    args = parser.parse_args(argv)
    return common.run("edge-gallery", lambda: _gallery(args))


def _gallery(args: argparse.Namespace) -> int:
    config = load_config(args.config)
    from edge.bundle import open_bundle
    from edge.chip import PREPROCESSING
    from edge.errors import GalleryError
    from edge.gallery.store import SubjectRecord, enter, has_gallery, open_store

    if not has_gallery(config):
        raise GalleryError(f"{config.gallery_path}: no gallery yet; it is made by the first edge-enroll")
    bundle = open_bundle(config.bundle, PREPROCESSING)
    store = open_store(config, bundle.model_digest, enter(config))
    try:
        if args.command == "remove":
            removed = store.remove(args.subject)
            if not removed:
                raise GalleryError(f"{args.subject!r} is not enrolled, and no copy is left; edge-gallery list shows who is")
            print(f"{args.subject}: {removed} templates erased")
            return common.DONE
        if args.command == "set":
            store.describe(args.subject, SubjectRecord(extended=args.extended == "on"))
            print(f"{args.subject}: extended {args.extended}")
            return common.DONE
        subjects, records = store.subjects(), store.records()
    finally:
        store.close()
    if args.json:
        listed = {
            subject: {"templates": templates, "extended": records.get(subject, SubjectRecord()).extended}
            for subject, templates in subjects.items()
        }
        print(json.dumps(listed, ensure_ascii=False))
    else:
        for subject, templates in subjects.items():
            print(f"{templates:4d}  {subject}{'  (extended)' if records.get(subject, SubjectRecord()).extended else ''}")
        print(f"{len(subjects)} subjects, the model supports {bundle.manifest.calibration.gallery_size}")
    return common.DONE


if __name__ == "__main__":
    sys.exit(main())
