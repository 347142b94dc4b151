"""`edge-setup`: write a minimal configuration, check it, and offer to enroll a person."""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from edge.camera.devices import VideoDevice, list_devices
from edge.cli import common
from edge.config import TerminalConfig, load_config
from edge.config.starter import (
    StarterConfig,
    absolute_path,
    camera_keys,
    live_camera,
    parse_relay,
    recorded_camera,
)
from edge.errors import ConfigError, MfsaError, describe_source
from edge.system.atomic_files import check_replaceable, write_atomic

_T = TypeVar("_T")
_BUNDLES = ("bundle", "build/bundle", "/opt/mfsa-edge/bundle")
# Checks that work before the first start.
_CHECKED = ("pins", "bundle", "engine", "camera", "liveness")
_INJECTION = "anyone who can write to that stream can show the door any face"
_PHOTO_OPENS = "a photo of an enrolled person opens this door"
_CHOICES = {  # of options that have no default with --yes
    "camera": "a number, csi, a network address, or a photo, video or folder of photos",
    "liveness": "layers or none",
}


def main(argv: list[str] | None = None) -> int:
    parser = common.parser(
        "edge-setup",
        "Write a minimal configuration for a terminal that runs as one account, check it as "
        "edge-doctor does, and offer to enroll a person. Asks for each value without an option. "
        "docs/install.md describes the installation with separate accounts.",
        "edge-setup --camera 0 --bundle bundle --door simulated --liveness layers --yes",
    )
    parser.add_argument(
        "--camera",
        metavar="CAMERA",
        help="number of a V4L2 device, csi, a network address, a GStreamer pipeline, or a photo, "
        "video or folder of photos",
    )
    parser.add_argument(
        "--accept-network-injection",
        action="store_true",
        help=f"needed for a network address: {_INJECTION}",
    )
    parser.add_argument("--bundle", metavar="FOLDER", help="made with: mfsa-bundle make FOLDER")
    parser.add_argument("--door", metavar="RELAY", help="simulated, file:PATH or gpio:PIN")
    parser.add_argument(
        "--pin-factory",
        choices=("jetson", "lgpio", "native"),
        help="of gpiozero, for gpio:PIN (default: jetson on a Jetson, else lgpio)",
    )
    parser.add_argument(
        "--liveness",
        choices=("layers", "none"),
        help=f"presentation attack detection; none: {_PHOTO_OPENS}",
    )
    parser.add_argument(
        "--terminal",
        default=TerminalConfig.model_fields["terminal"].default,
        help="name of this terminal; templates are bound to it (default: %(default)s)",
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("terminal.yaml"),
        metavar="FILE",
        help="(default: %(default)s)",
    )
    parser.add_argument("--force", action="store_true", help="overwrite FILE if it exists")
    parser.add_argument("--yes", action="store_true", help="ask nothing")
    args = parser.parse_args(argv)
    return common.run("edge-setup", lambda: _setup(args))


def _setup(args: argparse.Namespace) -> int:
    common.check_output_files(args.out)
    check_replaceable(args.out)
    if args.out.exists() and not args.force:
        raise ConfigError(f"{args.out}: exists; overwrite it with --force, or choose another --out")
    try:
        starter = _answers(args)
    except EOFError as error:
        raise MfsaError(
            "the input ended before the last answer: nothing was written; run it in a terminal, "
            "or give all answers as options"
        ) from error
    passed = _check(_write(args.out, starter))
    is_enrolled = not args.yes and _enroll(args.out)
    _show_next(args.out, is_enrolled=is_enrolled)
    return common.DONE if passed else common.FAILED


def _answers(args: argparse.Namespace) -> StarterConfig:
    """Return the options, and answers for those that are missing; raises ConfigError, EOFError."""
    devices = list_devices()
    if args.camera is None and not args.yes:
        _show_devices(devices)
    camera = _answer(
        args,
        "camera",
        "Camera (number, csi, network address, photo, video or folder)",
        lambda text: _camera(text, args),
        default=str(devices[0].number) if devices else None,
    )
    bundle = _answer(args, "bundle", "Model bundle", _bundle, default=_bundle_default())
    factory = args.pin_factory or _pin_factory()
    relay = _answer(
        args,
        "door",
        "Door relay (simulated, file:PATH or gpio:PIN)",
        lambda text: parse_relay(text, factory),
        default="simulated",
    )
    if relay["kind"] == "gpio":
        print("Read docs/wiring.md before you connect a lock to that pin.")
    return StarterConfig(args.terminal, bundle, camera, relay, _liveness(args, camera))


def _answer(
    args: argparse.Namespace,
    option: str,
    question: str,
    parse: Callable[[str], _T],
    *,
    default: str | None,
) -> _T:
    """Return the value of an option, else of an answer; a wrong answer is asked for again."""
    given = getattr(args, option)
    if given is None and args.yes:
        given = default
        if given is None:
            raise ConfigError(f"--{option}: required with --yes: {_CHOICES[option]}")
    if given is not None:
        return parse(given)
    while True:
        text = input(f"{question}{f' [{default}]' if default else ''}: ").strip() or default
        if text is None:
            continue
        try:
            return parse(text)
        except MfsaError as error:
            print(f"  {error}")


def _show_devices(devices: list[VideoDevice]) -> None:
    for device in devices:
        hint = "" if device.is_readable else ", no permission: join the group `video`, log in again"
        print(f"  {device.number}: {device.path} ({device.name}{hint})")
    if not devices:
        print("  No camera found (/dev/video*). A photo or video can stand in for one.")


def _camera(text: str, args: argparse.Namespace) -> dict[str, Any]:
    if text == "csi":
        return {"kind": "csi"}
    if text.isdecimal() or text.startswith("/dev/") or "://" in text or "!" in text:
        return _live(text, args)
    path = absolute_path(text)
    if not os.path.exists(path):  # noqa: PTH110 - of any text
        raise ConfigError(
            f"camera {describe_source(text)!r}: no such file or folder, device number or address"
        )
    return recorded_camera(path)


def _live(text: str, args: argparse.Namespace) -> dict[str, Any]:
    """Return the camera section after consent to the risk of a network; raises ConfigError."""
    camera = live_camera(text)
    if camera.is_network and not args.accept_network_injection:
        if args.yes:
            raise ConfigError(f"--accept-network-injection: required: {_INJECTION}")
        print(f"  WARNING: {_INJECTION}.")
        if input("  Accept this? (yes/no) [no]: ").strip().lower() not in ("y", "yes"):
            raise ConfigError("not accepted; choose another camera")
    return camera_keys(camera)


def _bundle(text: str) -> Path:
    from edge.bundle import open_bundle
    from edge.chip import PREPROCESSING

    path = absolute_path(text)
    if not os.path.isdir(path):  # noqa: PTH112 - of any text
        raise ConfigError(f"{text}: no such folder; make it with: mfsa-bundle make {text}")
    open_bundle(path, PREPROCESSING)
    return path


def _bundle_default() -> str:
    return next((path for path in _BUNDLES if Path(path).is_dir()), _BUNDLES[0])


def _pin_factory() -> str:
    return "jetson" if Path("/etc/nv_tegra_release").is_file() else "lgpio"


def _liveness(args: argparse.Namespace, camera: dict[str, Any]) -> str:
    """Ask for liveness, without a default: it decides if a photo opens the door."""

    def parse(text: str) -> str:
        if text not in ("layers", "none"):
            raise ConfigError(f"liveness {text!r}: expected layers or none")
        return text

    if args.liveness is None and not args.yes:
        print("  layers: refuses still photos and screens; it is not certified")
        print(f"  none: {_PHOTO_OPENS}")
    chosen = _answer(args, "liveness", "Liveness (layers or none)", parse, default=None)
    if chosen == "none":
        print(f"WARNING: no liveness (no PAD): {_PHOTO_OPENS}.")
    elif camera["kind"] == "replay":
        print("NOTE: `layers` refuses a photo or a looped video; the door stays locked for it.")
    return chosen


def _write(out: Path, starter: StarterConfig) -> TerminalConfig:
    """Write the file if it is valid; raises ConfigError.

    Only the owner may read it if the camera has an address, which may hold a password.
    """
    text = starter.text(out.absolute().parent)
    fresh = out.with_name(f".{out.name}.new")
    mode = 0o600 if "accept_network_injection" in starter.camera else 0o644
    try:
        write_atomic(fresh, text.encode(), mode)
        config = load_config(fresh)
        fresh.replace(out)
    except ConfigError as error:
        raise ConfigError(str(error).replace(str(fresh), str(out))) from error
    except OSError as error:
        raise ConfigError(f"{out}: cannot be written: {error.strerror}") from error
    finally:
        fresh.unlink(missing_ok=True)
    print(f"\n{out}:\n{text}")
    return config


def _check(config: TerminalConfig) -> bool:
    """Print the results of edge-doctor; return False if there is an error."""
    from edge.cli.doctor import show
    from edge.ops.check_result import ERROR
    from edge.ops.doctor import examine

    passed = True
    for result in examine(config, _CHECKED):
        show(result)
        passed = passed and result.level != ERROR
    return passed


def _enroll(config: Path) -> bool:
    """Offer to enroll a person; return True if one was enrolled."""
    try:
        name = input("\nEnroll a person now? Name (empty: later): ").strip()
        photos = input("Photos (empty: at the camera): ") if name else ""
    except EOFError:
        return False
    if not name:
        return False
    try:
        paths = [os.path.expanduser(photo) for photo in shlex.split(photos)]  # noqa: PTH111
    except ValueError as error:
        raise ConfigError(f"photos {photos!r}: {error}") from error
    command = [sys.executable, "-m", "edge.cli.enroll", "--config", str(config)]
    return subprocess.run([*command, "--subject", name, *paths], check=False).returncode == 0


def _show_next(out: Path, *, is_enrolled: bool) -> None:
    config = f"--config {shlex.quote(str(out))}"
    steps = (
        []
        if is_enrolled
        else [(f'edge-enroll {config} --subject "NAME" PHOTO...', "no PHOTO: camera")]
    )
    steps += [
        (f"edge-door run {config} &", "the door process"),
        (f"edge-daemon {config}", "the recogniser; Ctrl-C stops it"),
        (f"edge-audit show {config}", "decisions and their reasons"),
    ]
    print("\nNext:")
    for command, comment in steps:
        print(f"  {command:<55}{f'  # {comment}' if comment else ''}".rstrip())


if __name__ == "__main__":
    sys.exit(main())
