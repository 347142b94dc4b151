"""Shared by the `edge-gallery` commands: opening the gallery, secrets."""

from __future__ import annotations

import argparse
import getpass
import sys
from typing import TYPE_CHECKING

from edge.config import TerminalConfig, load_config
from edge.errors import ConfigError
from edge.people.changes import check_gallery_exists
from edge.people.clock import save_clock_trust

if TYPE_CHECKING:
    from edge.bundle import Bundle
    from edge.gallery.store import GalleryStore


def open_gallery(
    args: argparse.Namespace, *, allow_other_models: bool = False, create: bool = False
) -> tuple[TerminalConfig, Bundle, GalleryStore]:
    """Open config, bundle and gallery. Raises GalleryError if there is none, unless `create`."""
    from edge.gallery import opening

    config = load_config(args.config)
    if not create:
        check_gallery_exists(config)
    opened = opening.open_gallery(config, allow_other_models=allow_other_models)
    save_clock_trust(config)
    return config, opened.bundle, opened.store


def read_passphrase(args: argparse.Namespace, *, again: bool = False) -> str:
    """Return the first line of --passphrase-file, else ask. Raises ConfigError."""
    if args.passphrase_file is None:
        return read_secret("passphrase", again=again, instead="--passphrase-file FILE")
    try:  # Windows editors begin a file with a byte order mark
        first, *_ = args.passphrase_file.read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise ConfigError(f"{args.passphrase_file}: {_reason(error)}; check the path") from error
    except ValueError as error:  # also for bytes that are not UTF-8
        raise ConfigError(
            f"{args.passphrase_file}: expected a passphrase in its first line"
        ) from error
    return str(first)


def _reason(error: OSError) -> str:
    return "no such file" if isinstance(error, FileNotFoundError) else str(error.strerror)


def read_secret(what: str, *, again: bool = True, instead: str = "") -> str:
    """Ask for a secret on the terminal without showing it. Raises ConfigError."""
    if not sys.stdin.isatty():
        remedy = f"use {instead}" if instead else "run this in one"
        raise ConfigError(
            f"the {what} cannot be asked for: standard input is no terminal; {remedy}"
        )
    found = getpass.getpass(f"{what}: ")
    if again and getpass.getpass(f"{what} again: ") != found:
        raise ConfigError(f"the two {what}s differ; nothing was changed")
    return found
