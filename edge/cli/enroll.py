"""`edge-enroll`: templates from photos, from the camera or in bulk, or the reason why not."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from edge.cli import common, enroll_common
from edge.config import TerminalConfig, load_config
from edge.errors import ConfigError, MfsaError, PhotoError
from edge.gallery.enrollment.attributes import AGREEING_MIN, PHOTOS_MIN
from edge.system.text import count

FORMATS = "JPEG, PNG, WebP, BMP, TIFF or HEIC"  # as edge.photofile names them

if TYPE_CHECKING:
    from edge.gallery.enrollment.enroller import EnrollmentResult
    from edge.gallery.enrollment.photos import FaceSample, Refusal


def main(argv: list[str] | None = None) -> int:
    parser = common.parser(
        "edge-enroll",
        "Add a person to the gallery from photos, or guided before the camera if no photo is "
        "named, or many people by --bulk. All named photos must be usable, else nothing is stored. "
        "docs/enrollment.md explains every refusal.",
        'edge-enroll --config terminal.yaml --subject "Eileen Collins" front.jpg left.jpg',
    )
    common.add_config(parser)
    _add_subject(parser)
    parser.add_argument(
        "--quality",
        choices=("off", "standard", "strict"),
        help="may only tighten `enrollment.quality`",
    )
    parser.add_argument(
        "--replace",
        action="store_true",
        help="replace the person's templates instead of adding to them",
    )
    parser.add_argument(
        "--masked-templates",
        action="store_true",
        help="store each face once more with a mask drawn on; effect: docs/measurements/streams.md",
    )
    parser.add_argument("--dry-run", action="store_true", help="everything but storing")
    parser.add_argument("--json", action="store_true", help="for machines")
    parser.add_argument(
        "-v", "--verbose", action="store_true", help="what was measured of every photo"
    )
    parser.add_argument(
        "--frontal-only",
        action="store_true",
        help="before the camera: for people who cannot turn their head",
    )
    enroll_common.add_attribute_options(parser)
    enroll_common.add_distinct_options(parser)
    _add_photos(parser)
    args = parser.parse_args(argv)
    common.limit_decoder_messages()
    _check_options(parser, args)
    return common.run("edge-enroll", lambda: _enroll(args))


def _add_subject(parser: argparse.ArgumentParser) -> None:
    who = parser.add_mutually_exclusive_group(required=True)
    who.add_argument(
        "--subject",
        type=common.subject_name,
        help="name or number under which the person is known",
    )
    who.add_argument(
        "--bulk",
        type=Path,
        metavar="CSV|FOLDER",
        help="people with their photos: a list, or a folder for each person",
    )


def _add_photos(parser: argparse.ArgumentParser) -> None:
    bulk = parser.add_argument_group("in bulk")
    bulk.add_argument(
        "--photos",
        type=Path,
        metavar="FOLDER",
        dest="folder",
        help="folder of the photos that the list names",
    )
    bulk.add_argument(
        "--report",
        type=Path,
        metavar="FILE",
        help="a line of JSON a person; run again with it to go on",
    )
    bulk.add_argument(
        "--min-photos",
        type=int,
        default=1,
        metavar="N",
        help="usable photos that a person must have (default: %(default)s)",
    )
    parser.add_argument(
        "photos",
        nargs="*",
        type=Path,
        metavar="photo",
        help=f"picture with one face ({FORMATS}): {PHOTOS_MIN['standard']} at least, "
        f"{PHOTOS_MIN['strict']} at the level strict; of {AGREEING_MIN + 1} or more, one that "
        "shows another person is left out",
    )


def _check_options(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Exit with a usage error for options that do not belong together."""
    if args.bulk and (args.photos or args.frontal_only):
        parser.error("--bulk takes its photos from --photos or from the folder itself")
    if not args.bulk and (args.folder or args.report or args.min_photos != 1):
        parser.error("--photos, --report and --min-photos belong to --bulk")
    if bool(args.not_a_duplicate) != bool(args.reason):
        parser.error("--not-a-duplicate and --reason belong together")
    if args.bulk and args.not_a_duplicate:
        parser.error(
            "--not-a-duplicate is for one person; --bulk has the columns not_a_duplicate and reason"
        )
    if args.min_photos < 1:
        parser.error("--min-photos must be at least 1")


def _enroll(args: argparse.Namespace) -> int:
    config = load_config(args.config)
    if args.bulk:
        from edge.cli.enroll_bulk import enroll_bulk

        return enroll_bulk(args, config)
    from edge.names import check_name

    check_name(args.subject)
    if not args.photos and os.path.isfile(args.subject):  # noqa: PTH113 - any text
        raise ConfigError(f"--subject {args.subject}: expected the person's name, found a file")
    return _enroll_one(args, config)


def _enroll_one(args: argparse.Namespace, config: TerminalConfig) -> int:
    from edge.gallery.enrollment.photos import Refusal

    # As long as this is root, for photos may lie where the gallery's owner cannot look.
    opened = [(str(photo), _open(photo)) for photo in _files_of(args.photos)]
    terms = enroll_common.read_attributes(args)
    taken: list[FaceSample] = []
    with contextlib.ExitStack() as at_end:
        for _, file in opened:
            if not isinstance(file, PhotoError):
                at_end.enter_context(file)
        room = at_end.enter_context(enroll_common.open_context(args, config))
        try:
            room.enroller.check_distinct(args.subject, terms)
            room.enroller.check_attributes(args.subject, terms)
            taken, refused = _take_or_stop(args, config, room, opened)
            if args.verbose and not args.json:
                _print_components(taken, refused)
            if refused:
                return _refuse(args, taken, refused)
            done = room.enroller.enroll(args.subject, taken, terms, replace=args.replace)
        except PhotoError as error:
            return _refuse(args, taken, [Refusal.from_error("all", error)])
        _print_result(args, done, taken)
        enroll_common.warn_about_size(room)
    return common.DONE


def _take_or_stop(
    args: argparse.Namespace,
    config: TerminalConfig,
    room: enroll_common.EnrollmentContext,
    opened: Sequence[tuple[str, BinaryIO | PhotoError]],
) -> tuple[list[FaceSample], list[Refusal]]:
    """Take samples of a person; raises MfsaError for Ctrl-C."""
    try:
        return _take_samples(args, config, room, opened)
    except KeyboardInterrupt:
        raise MfsaError("stopped; nothing was stored") from None


def _take_samples(
    args: argparse.Namespace,
    config: TerminalConfig,
    room: enroll_common.EnrollmentContext,
    opened: Sequence[tuple[str, BinaryIO | PhotoError]],
) -> tuple[list[FaceSample], list[Refusal]]:
    """Samples of the photos, or from the camera where there are none, and what was refused; raises PhotoError `no-pose`."""
    if not opened:
        from edge.cli.enroll_camera import capture_from_camera

        return capture_from_camera(config, room, frontal_only=args.frontal_only), []
    from edge.gallery.enrollment.photos import take_samples

    pictures = ((name, _decode(photo, name)) for name, photo in opened)
    return take_samples(pictures, room.networks.detector, room.networks.embedder, room.requirements)


def _files_of(photos: Sequence[Path]) -> list[Path]:
    """Return the photos, a folder replaced by its photos; raises ConfigError for an empty one."""
    from edge.gallery.enrollment.roster import list_pictures

    return [
        file
        for photo in photos
        for file in (list_pictures(photo) if os.path.isdir(photo) else [photo])  # noqa: PTH112
    ]


def _open(photo: Path) -> BinaryIO | PhotoError:
    from edge.photofile import open_photo

    try:
        return open_photo(photo)
    except PhotoError as error:
        return error


def _decode(photo: BinaryIO | PhotoError, name: str) -> Any:
    """Decode one photo; only one at a time, since all of them may exceed the memory."""
    from edge.photofile import decode_photo, read_opened

    try:
        return (
            photo if isinstance(photo, PhotoError) else decode_photo(read_opened(photo, name), name)
        )
    except PhotoError as error:
        return error


def _refuse(
    args: argparse.Namespace, taken: Sequence[FaceSample], refused: Sequence[Refusal]
) -> int:
    enroll_common.print_refusals(refused)
    some = bool(taken) and all(one.photo != "all" for one in refused)
    usable = f": {len(taken)} of {count(len(taken) + len(refused), 'photo')} can be used"
    remedy = "; replace the others, or run it again without them"
    print(f"edge-enroll: nothing was stored{usable + remedy if some else ''}", file=sys.stderr)
    if args.json:
        print(
            json.dumps(
                {
                    "stored": 0,
                    "refused": [asdict(item) for item in refused],
                    "photos": _measured(taken),
                }
            )
        )
    return common.FAILED


def _measured(taken: Sequence[FaceSample]) -> list[dict[str, Any]]:
    return [
        {
            "photo": one.name,
            "components": one.components,
            "pose": asdict(one.face.pose),
            "mask_worn": round(one.probe.mask_worn, 3),
        }
        for one in taken
    ]


def _print_components(taken: Sequence[FaceSample], refused: Sequence[Refusal]) -> None:
    measured = [(one.name, one.components) for one in taken] + [
        (one.photo, dict(one.components)) for one in refused
    ]
    for name, components in measured:
        print(
            f"  {name}: {', '.join(f'{key} {value:.0f}' for key, value in components.items()) or 'nothing'}",
            file=sys.stderr,
        )


def _print_result(
    args: argparse.Namespace, done: EnrollmentResult, taken: Sequence[FaceSample]
) -> None:
    enroll_common.print_refusals(done.left_out, "left out")
    if args.json:
        told = {
            "stored": done.stored,
            "before": done.existing,
            "again": done.already_stored,
            "refused": [],
            "left_out": [asdict(item) for item in done.left_out],
            "photos": _measured(taken),
            "lowest_similarity": round(done.lowest_similarity, 4),
            "dry_run": args.dry_run,
        }
        print(json.dumps(told))
        return
    stored = "would be stored" if args.dry_run else "stored"
    total = f"{done.existing + done.stored} in total"
    before = f"in place of {done.existing}" if args.replace else total
    again = (
        f", {count(done.already_stored, 'photo')} already in the gallery"
        if done.already_stored
        else ""
    )
    alike = f"; lowest similarity {done.lowest_similarity:.2f}" if len(taken) > 1 else ""
    print(f"{args.subject}: {count(done.stored, 'template')} {stored} ({before}){again}{alike}")


if __name__ == "__main__":
    sys.exit(main())
