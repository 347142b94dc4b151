"""`edge-enroll`: templates from photos or from the camera, or the reason why not."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from edge.camera import open_camera
from edge.cli import common
from edge.config import load_config
from edge.config.sensing import Camera
from edge.errors import CameraError, GalleryError, PhotoError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_CAMERA_SAMPLES = 3
_CAMERA_S = 20.0
_APART_S = 0.7


def main(argv: list[str] | None = None) -> int:
    parser = common.parser(
        "edge-enroll",
        "Add a person to the gallery from photos, or from the camera where no photo is named. All photos must be usable, "
        "else nothing is stored; no picture is kept.",
        'edge-enroll --config terminal.yaml --subject "Eileen Collins" front.jpg left.jpg',
    )
    common.add_config(parser)
    parser.add_argument("--subject", required=True, help="name or number under which the person is known")
    parser.add_argument(
        "--masked-templates",
        action="store_true",
        help="store each face once more with a mask drawn on; see docs/streams.md for what it brings",
    )
    parser.add_argument("--extended", action="store_true", help="the door stays open longer for this person, `door.extended_s`")
    parser.add_argument("--json", action="store_true", help="for machines")
    parser.add_argument("photos", nargs="*", type=Path, metavar="photo", help="JPEG or PNG with one face")
    args = parser.parse_args(argv)
    return common.run("edge-enroll", lambda: _enroll(args))


def _enroll(args: argparse.Namespace) -> int:
    config = load_config(args.config)
    import numpy as np

    from edge.gallery.enroll import check_one_person, decode_photo, masked_probe, read_photo, sample
    from edge.gallery.key import enter
    from edge.gallery.search import Index
    from edge.gallery.store import open_store
    from edge.networks import open_networks
    from edge.subject import SubjectRecord, check_name

    check_name(args.subject)
    photos: dict[str, bytes] = {}
    samples, refused = [], []
    for photo in args.photos:  # as long as this is root, for photos may lie where the gallery's owner cannot look
        try:
            photos[str(photo)] = read_photo(photo)
        except PhotoError as error:
            refused.append({"photo": str(photo), "reason": error.reason, "message": str(error)})
    key = enter(config)
    networks = open_networks(config)
    detector, embedder = networks.detector, networks.embedder
    min_face_px = config.detector.min_face_px
    if args.photos:
        for name, encoded in photos.items():
            try:
                samples.append(sample(decode_photo(encoded, name), detector, embedder, min_face_px=min_face_px, name=name))
            except PhotoError as error:
                refused.append({"photo": name, "reason": error.reason, "message": str(error)})
    else:
        hint = ""
        for image in _camera_frames(config.camera):
            try:
                samples.append(sample(image, detector, embedder, min_face_px=min_face_px, name="camera"))
            except PhotoError as error:
                if str(error) != hint:
                    hint = str(error)
                    print(f"  {hint}", file=sys.stderr)
                continue
            print(f"  sample {len(samples)} of {_CAMERA_SAMPLES}", file=sys.stderr)
            if len(samples) == _CAMERA_SAMPLES:
                break
        else:
            refused.append({"photo": "camera", "reason": "too-few", "message": hint or "the camera showed no usable face in time"})
    if refused:
        return _refuse(refused, args.json)
    store = open_store(config, networks.bundle.model_digest, key)
    try:
        known, calibration = store.subjects(), networks.calibration
        templates = np.stack([s.probe.embedding for s in samples])
        try:
            alike = check_one_person(args.subject, templates, Index(*store.load()), calibration)
        except PhotoError as error:
            return _refuse([{"photo": "all", "reason": error.reason, "message": str(error)}], args.json)
        if args.masked_templates:
            worn = [masked_probe(s, embedder, f"{args.subject} {i}").embedding for i, s in enumerate(samples)]
            templates = np.vstack([templates, worn])
        store.enroll(args.subject, templates, record=SubjectRecord(extended=True) if args.extended else None)
    finally:
        store.close()
    if args.json:
        print(json.dumps({"stored": len(templates), "refused": [], "lowest_similarity": round(alike, 4)}))
    else:
        print(
            f"{args.subject}: {len(templates)} templates stored, {known.get(args.subject, 0)} were there before; "
            f"likeness {alike:.2f}"
        )
    supported = calibration.gallery_size
    if len({*known, args.subject}) > supported:
        print(
            f"edge-enroll: warning: the gallery now has {len({*known, args.subject})} people; this model's false-positive target "
            f"is supported up to {supported}",
            file=sys.stderr,
        )
    return common.DONE


def _refuse(refused: list[dict[str, str]], as_json: bool) -> int:
    for item in refused:
        print(f"edge-enroll: refused ({item['reason']}): {item['message']}", file=sys.stderr)
    if as_json:
        print(json.dumps({"stored": 0, "refused": refused}))
    return common.FAILED


def _camera_frames(source: Camera) -> Iterator[NDArray[np.uint8]]:
    """Frames some time apart, for a limited time; raises GalleryError where the daemon has the camera."""
    camera = open_camera(source)
    print(f"Look at the camera, turn your head a little. {_CAMERA_SAMPLES} samples, at most {_CAMERA_S:.0f} s.", file=sys.stderr)
    ends, last = time.monotonic() + _CAMERA_S, 0.0
    try:
        while time.monotonic() < ends:
            frame = camera.read()
            if frame is None:
                return
            if frame.at - last >= _APART_S:
                last = frame.at
                yield frame.image
    except CameraError as error:
        raise GalleryError(f"enrolling from the camera failed: {error}; nothing was stored") from error
    finally:
        camera.close()


if __name__ == "__main__":
    sys.exit(main())
