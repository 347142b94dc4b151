"""`edge-rehearse`: the decisions of a terminal for recorded clips."""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edge.cli import common
from edge.config import TerminalConfig, load_config
from edge.errors import ConfigError, GalleryError
from edge.names import name_key, normalize_name
from edge.system.text import format_names

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edge.gallery.search import Index
    from edge.recogniser.networks import TerminalNetworks
    from edge.rehearsal.clips import Clip
    from edge.rehearsal.door_script import DoorScript
    from edge.rehearsal.results import RehearsalResult


def main(argv: list[str] | None = None) -> int:
    parser = _build_parser()
    args = parser.parse_args(argv)
    common.limit_decoder_messages()
    if not (args.clips or args.adversarial or args.second_factors or args.zones):
        parser.error("expected clips, --adversarial, --second-factors or --zones")
    if (args.inputs or args.answers) and not args.clips:
        parser.error("--present and --expect need clips")
    if not 0 < args.fps <= 240:
        parser.error("expected --fps above 0, at most 240")
    return common.run("edge-rehearse", lambda: _rehearse(args))


def _build_parser() -> argparse.ArgumentParser:
    parser = common.parser(
        "edge-rehearse",
        "Play clips through a terminal's configuration and show its decisions. Nothing is recorded "
        "and no door opens. Exits with 1 if an unexpected person was granted access, or an "
        "expected one was not.",
        "edge-rehearse --config terminal.yaml --adversarial --html rehearsal.html strangers.mp4 "
        "'ada.mkv=Ada Lovelace'",
    )
    common.add_config(parser)
    parser.add_argument(
        "clips", nargs="*", metavar="CLIP[=PERSON]",
        help="folder of pictures, GIF or video without enrolled people, or with one to be granted",
    )  # fmt: skip
    _add_drawn_sets(parser)
    _add_script(parser)
    parser.add_argument(
        "--photo", action="append", default=[], dest="photos", metavar="PERSON=PHOTO",
        help="enroll from a photo in memory instead of the gallery; may be repeated",
    )  # fmt: skip
    parser.add_argument(
        "--fps",
        type=float,
        default=15.0,
        help="frame rate of folders of pictures (default %(default)g)",
    )
    parser.add_argument(
        "--html", type=Path, metavar="FILE", help="a page with timelines and pictures of the clips"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="every decision, for machines")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="the table, for documents")
    return parser


def _add_drawn_sets(parser: argparse.ArgumentParser) -> None:
    """Add the options that play drawn clips."""
    parser.add_argument(
        "--adversarial", action="store_true",
        help="also play adversarial clips, drawn from two public-domain portraits, one enrolled in "
            "memory",
    )  # fmt: skip
    parser.add_argument(
        "--second-factors", action="store_true",
        help="also play drawn clips with cards and PINs, and access rules of their own",
    )  # fmt: skip
    parser.add_argument(
        "--zones", action="store_true",
        help="also play drawn clips with passages, and zones of their own: anti-passback, "
             "tailgating, occupancy limit, two people",
    )  # fmt: skip


def _add_script(parser: argparse.ArgumentParser) -> None:
    """Add the options of the door in each clip."""
    parser.add_argument(
        "--present", action="append", default=[], dest="inputs", metavar="INPUT",
        help="card or PIN in each clip, 'SECONDS card|pin|duress-pin [PERSON]', decided by the "
             "access rules of the terminal; without a person it belongs to no one; or a passage, "
             "'SECONDS passage contact|sensor'; may be repeated",
    )  # fmt: skip
    parser.add_argument(
        "--expect", action="append", default=[], dest="answers", metavar="ANSWER",
        help="expected answer of the door in each clip, such as 'opens', 'passes' or 'refused "
             "already-inside'; repeated in the order of the answers",
    )  # fmt: skip


def _rehearse(args: argparse.Namespace) -> int:
    config = load_config(args.config)
    photos = _read_photos(args.photos)
    wanted = [_parse_clip(text) for text in args.clips]
    has_door = bool(args.inputs or args.answers)
    script = _build_script(config, args.inputs, args.answers) if has_door else None
    loaded = _load_gallery(config) if wanted and not photos else None
    names = loaded[0] if loaded else set(photos)
    if script:
        _check_people(script, names)
    common.check_output_files(args.html, args.json, args.markdown)
    from edge.recogniser.networks import open_networks
    from edge.rehearsal import tables
    from edge.rehearsal.clips import recorded_clip
    from edge.rehearsal.play import enroll_in_memory, rehearse

    make_page = _page_maker() if args.html else None
    networks = open_networks(config)
    clips: list[tuple[Clip, Index]] = []
    if args.adversarial or args.second_factors or args.zones:
        clips += _drawn(config, networks, args)
    if wanted:
        gallery = loaded[1] if loaded else enroll_in_memory(photos, config, networks)
        spelled = {name_key(name): name for name in names}
        for path, name in wanted:
            person = None if name is None else spelled.get(name_key(name))
            if name is not None and person is None:
                raise ConfigError(
                    f"{path}={name}: {name!r} is not enrolled; correct the name, or enroll with "
                    f"--photo; enrolled: {format_names(names)}"
                )
            clip = recorded_clip(path, args.fps, person, script, tuple(args.answers))
            clips.append((clip, gallery))
    done = rehearse(clips, config, networks)
    facts = tables.describe_terminal(config, networks)
    if args.json:
        args.json.write_text(
            json.dumps(tables.to_json_data(done, facts), indent=1) + "\n", encoding="utf-8"
        )
    if args.markdown:
        args.markdown.write_text(tables.markdown(done, facts), encoding="utf-8")
    if make_page:
        args.html.write_text(make_page(done, facts), encoding="utf-8")
    print(tables.text(done))
    return common.DONE if all(r.passed for r in done) else common.FAILED


def _parse_clip(text: str) -> tuple[Path, str | None]:
    """Return path and person of `CLIP` or `CLIP=PERSON`; raises ConfigError."""
    if Path(text).exists():
        return Path(text), None
    path, _, person = text.rpartition("=")
    if not path or not person or not Path(path).exists():
        raise ConfigError(
            f"{text}: no such clip; name a folder of pictures, a GIF or a video, with =PERSON for "
            "an enrolled person"
        )
    return Path(path), person


def _read_photos(arguments: Sequence[str]) -> dict[str, list[tuple[str, NDArray[np.uint8]]]]:
    """Return named photos by person, of `PERSON=PHOTO`; raises ConfigError, PhotoError."""
    from edge.photofile import decode_photo, read_photo

    photos = defaultdict(list)
    for item in arguments:
        person, _, name = item.partition("=")
        if not person or not name:
            raise ConfigError(
                f"--photo {item}: expected PERSON=PHOTO, such as 'Ada Lovelace=ada.jpg'"
            )
        photos[normalize_name(person)].append((name, decode_photo(read_photo(Path(name)), name)))
    return photos


def _load_gallery(config: TerminalConfig) -> tuple[set[str], Index]:
    """Return the enrolled subjects and their templates; raises GalleryError if there are none."""
    from edge.gallery.key import has_gallery
    from edge.gallery.opening import open_gallery
    from edge.gallery.search import Index

    if not has_gallery(config):
        raise GalleryError(
            f"{config.gallery_path}: no one is enrolled; run edge-enroll, or name people with "
            "--photo"
        )
    with contextlib.closing(open_gallery(config).store) as store:
        subjects, templates = store.load_templates()
        return set(subjects), Index.from_templates(subjects, templates)


def _build_script(
    config: TerminalConfig, inputs: Sequence[str], answers: Sequence[str]
) -> DoorScript:
    """Return the rules and people of the terminal, and what happens. Raises MfsaError."""
    from edge.access.rules.settings import build_access_rules
    from edge.door.credentials_file import read_document
    from edge.rehearsal.door_script import (
        DoorScript,
        check_passages,
        parse_event,
        possible_answers,
    )

    for answer in answers:
        if answer not in (known := possible_answers()):
            raise ConfigError(f"--expect {answer!r}: expected one of: {', '.join(known)}")
    people = read_document(config.people_path, config.people_key_path).people
    script = DoorScript(
        build_access_rules(config.access, config.door),
        config.camera_lane,
        {name_key(person.name): person.attributes for person in people},
        tuple(map(parse_event, inputs)),
        config.door.pulse_s,
    )
    check_passages(script)
    return script


def _check_people(script: DoorScript, enrolled: Iterable[str]) -> None:
    """Check that the scripted cards and PINs are of known people. Raises ConfigError."""
    from edge.rehearsal.door_script import ScriptedInput

    names = {name_key(name): name for name in enrolled}
    names |= {key: person.name for key, person in script.people.items()}
    for event in script.inputs:
        person = event.person if isinstance(event, ScriptedInput) else None
        if person is not None and name_key(person) not in names:
            raise ConfigError(
                f"--present: {person!r} is neither enrolled nor a person of the door; known: "
                f"{format_names(names.values())}"
            )


def _drawn(
    config: TerminalConfig, networks: TerminalNetworks, args: argparse.Namespace
) -> list[tuple[Clip, Index]]:
    """Return each clip with a gallery of the one enrolled person; raises PhotoError."""
    from edge.rehearsal.adversarial import SUBJECT, adversarial_clips
    from edge.rehearsal.play import enroll_in_memory
    from edge.rehearsal.second_factors import second_factor_clips
    from edge.rehearsal.zones import zone_clips
    from edge.synthesis.drawing import cut_out, enrollment_views

    cutouts = cut_out(networks.detector)
    views = [
        (f"view {n} of {SUBJECT}", view)
        for n, view in enumerate(enrollment_views(cutouts[SUBJECT]), 1)
    ]
    gallery = enroll_in_memory({SUBJECT: views}, config, networks)
    clips = adversarial_clips(cutouts) if args.adversarial else []
    clips += second_factor_clips(cutouts) if args.second_factors else []
    clips += zone_clips(cutouts) if args.zones else []
    return [(clip, gallery) for clip in clips]


def _page_maker() -> Callable[[Sequence[RehearsalResult], dict[str, str]], str]:
    """Return the page's renderer; raises ConfigError if its libraries are not installed."""
    try:
        from edge.rehearsal.page import render_page
    except ImportError as error:
        raise ConfigError(f"--html needs {error.name}: pip install 'mfsa-edge[demo]'") from error
    return render_page


if __name__ == "__main__":
    sys.exit(main())
