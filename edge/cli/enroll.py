"""`edge-enroll`: enroll people from photos, at the camera or in bulk."""

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
from edge.people.enrollment import EnrollmentContext, open_context
from edge.people.rights import change_rights
from edge.system.text import format_count

FORMATS = "JPEG, PNG, WebP, BMP, TIFF or HEIC"  # as edge.photofile names them

_EXAMPLES = (
    'edge-enroll --config terminal.yaml --subject "Eileen Collins" front.jpg left.jpg',
    'edge-enroll --config terminal.yaml --subject "Eileen Collins"     # at the camera',
    "edge-enroll --config terminal.yaml --bulk people.csv --photos photos/ --report report.jsonl",
)

if TYPE_CHECKING:
    from edge.gallery.enrollment.enroller import EnrollmentResult
    from edge.gallery.enrollment.photos import FaceSample, Refusal


def main(argv: list[str] | None = None) -> int:
    parser = common.parser(
        "edge-enroll",
        "Enroll a person from photos, or at the camera if no photo is given, or many people with "
        "--bulk. All given photos must be usable, else nothing is stored. "
        "docs/enrollment.md explains every refusal.",
        "\n  ".join(_EXAMPLES),
    )
    common.add_config(parser)
    _add_subject(parser)
    parser.add_argument(
        "--quality",
        choices=("off", "standard", "strict"),
        help="level of quality; may only tighten `enrollment.quality`",
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
    parser.add_argument("--dry-run", action="store_true", help="check everything and store nothing")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.add_argument(
        "-v", "--verbose", action="store_true", help="print the quality components of every photo"
    )
    parser.add_argument(
        "--frontal-only",
        action="store_true",
        help="at the camera: only frontal poses, for people who cannot turn their head",
    )
    enroll_common.add_attribute_options(parser)
    enroll_common.add_distinct_options(parser)
    _add_photos(parser)
    args = parser.parse_args(argv)
    common.limit_decoder_messages()
    _check_options(parser, args)
    return common.run("edge-enroll", lambda: _enroll(args))


def _add_subject(parser: argparse.ArgumentParser) -> None:
    group = parser.add_mutually_exclusive_group(required=True)
    group.add_argument("--subject", type=common.subject_name, help="name or number of the person")
    group.add_argument(
        "--bulk",
        type=Path,
        metavar="CSV|FOLDER",
        help="list of people, or folder with one folder of photos per person",
    )


def _add_photos(parser: argparse.ArgumentParser) -> None:
    bulk = parser.add_argument_group("bulk enrollment")
    bulk.add_argument(
        "--photos",
        type=Path,
        metavar="FOLDER",
        dest="folder",
        help="folder of the photos named in the list",
    )
    bulk.add_argument(
        "--report",
        type=Path,
        metavar="FILE",
        help="file for one line of JSON per person; run again with it to resume",
    )
    bulk.add_argument(
        "--min-photos",
        type=common.whole_number(1),
        default=1,
        metavar="N",
        help="minimum of usable photos per person (default: %(default)s)",
    )
    parser.add_argument(
        "photos",
        nargs="*",
        type=Path,
        metavar="photo",
        help=f"photo with one face ({FORMATS}): {PHOTOS_MIN['standard']} at least, "
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

    # Opened while this is root: the gallery's owner may have no access to the photos' folder.
    opened = [(str(photo), _open(photo)) for photo in _files_of(args.photos)]
    attributes = enroll_common.read_attributes(args)
    rights = {} if args.dry_run else {args.subject: enroll_common.read_rights(args)}
    samples: list[FaceSample] = []
    with contextlib.ExitStack() as at_end:
        for _, file in opened:
            if not isinstance(file, PhotoError):
                at_end.enter_context(file)
        done = at_end.enter_context(
            change_rights(config, rights, common.change_author("edge-enroll"))
        )
        context = at_end.enter_context(open_context(enroll_common.enrollment_options(args), config))
        enroller = context.enroller
        try:
            enroller.check_distinct(args.subject, attributes)
            enroller.check_attributes(args.subject, attributes)
            samples, refused = _take_or_stop(args, config, context, opened)
            if args.verbose and not args.json:
                _print_components(samples, refused)
            if refused:
                return _refuse(args, samples, refused)
            result = enroller.enroll(
                args.subject, samples, attributes, replace=args.replace, min_photos=1
            )
        except PhotoError as error:
            return _refuse(args, samples, [Refusal.from_error("all", error)])
        done.add(args.subject)
        _print_result(args, result, samples)
        enroll_common.warn_about_size(context)
    return common.DONE


def _take_or_stop(
    args: argparse.Namespace,
    config: TerminalConfig,
    context: EnrollmentContext,
    opened: Sequence[tuple[str, BinaryIO | PhotoError]],
) -> tuple[list[FaceSample], list[Refusal]]:
    """Take the samples of a person; raises MfsaError on Ctrl-C."""
    try:
        return _take_samples(args, config, context, opened)
    except KeyboardInterrupt:
        raise MfsaError("stopped; nothing was stored") from None


def _take_samples(
    args: argparse.Namespace,
    config: TerminalConfig,
    context: EnrollmentContext,
    opened: Sequence[tuple[str, BinaryIO | PhotoError]],
) -> tuple[list[FaceSample], list[Refusal]]:
    """Return samples and refusals of the photos, or samples from the camera without photos.

    Raises PhotoError no-pose.
    """
    if not opened:
        from edge.cli.enroll_camera import capture_from_camera

        return capture_from_camera(config, context, frontal_only=args.frontal_only), []
    from edge.gallery.enrollment.photos import take_samples

    pictures = ((name, _decode(photo, name)) for name, photo in opened)
    return take_samples(
        pictures, context.networks.detector, context.networks.embedder, context.requirements
    )


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
    """Decode one photo; all of them at once could exceed the memory."""
    from edge.photofile import decode_photo, read_opened

    if isinstance(photo, PhotoError):
        return photo
    try:
        return decode_photo(read_opened(photo, name), name)
    except PhotoError as error:
        return error


def _refuse(
    args: argparse.Namespace, samples: Sequence[FaceSample], refused: Sequence[Refusal]
) -> int:
    enroll_common.print_refusals(refused)
    message = "nothing was stored"
    if samples and all(one.photo != "all" for one in refused):
        photos = format_count(len(samples) + len(refused), "photo")
        message += (
            f": {len(samples)} of {photos} can be used; replace the others, or leave them out"
        )
    print(f"edge-enroll: {message}", file=sys.stderr)
    if args.json:
        result = {
            "stored": 0,
            "refused": [asdict(item) for item in refused],
            "photos": _measured(samples),
        }
        print(json.dumps(result))
    return common.FAILED


def _measured(samples: Sequence[FaceSample]) -> list[dict[str, Any]]:
    return [
        {
            "photo": one.name,
            "components": one.components,
            "pose": asdict(one.face.pose),
            "mask_worn": round(one.probe.mask_worn, 3),
        }
        for one in samples
    ]


def _print_components(samples: Sequence[FaceSample], refused: Sequence[Refusal]) -> None:
    measured = [(one.name, one.components) for one in samples] + [
        (one.photo, dict(one.components)) for one in refused
    ]
    for name, components in measured:
        values = ", ".join(f"{key} {value:.0f}" for key, value in components.items())
        print(f"  {name}: {values or 'nothing measured'}", file=sys.stderr)


def _print_result(
    args: argparse.Namespace, result: EnrollmentResult, samples: Sequence[FaceSample]
) -> None:
    enroll_common.print_refusals(result.left_out, "left out")
    if args.json:
        fields = {
            "stored": result.stored,
            "before": result.existing,
            "again": result.already_stored,
            "refused": [],
            "left_out": [asdict(item) for item in result.left_out],
            "photos": _measured(samples),
            "lowest_similarity": round(result.lowest_similarity, 4),
            "dry_run": args.dry_run,
        }
        print(json.dumps(fields))
        return
    stored = "would be stored" if args.dry_run else "stored"
    total = f"{result.existing + result.stored} in total"
    if args.replace:
        total = f"in place of {result.existing}"
    copies = result.already_stored
    again = f", {format_count(copies, 'photo')} already in the gallery" if copies else ""
    lowest = (
        f"; lowest score of two photos {result.lowest_similarity:.2f}" if len(samples) > 1 else ""
    )
    templates = format_count(result.stored, "template")
    print(f"{args.subject}: {templates} {stored} ({total}){again}{lowest}")


if __name__ == "__main__":
    sys.exit(main())
