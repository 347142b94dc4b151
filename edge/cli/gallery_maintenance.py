"""`edge-gallery stats`, `verify`, `migrate` and `rotate-key`: the gallery's file."""

from __future__ import annotations

import argparse
import json
from contextlib import closing
from typing import TYPE_CHECKING

from edge.cli import common, gallery_common
from edge.config import TerminalConfig, load_config
from edge.errors import GalleryError
from edge.people.changes import confirm
from edge.system.text import format_count

if TYPE_CHECKING:
    from edge.bundle import Bundle
    from edge.gallery.store import GalleryStore


def describe_gallery_thresholds(config: TerminalConfig, bundle: Bundle, templates: int) -> str:
    """Return the thresholds that apply in a gallery of this size, for people."""
    from edge.access.messages import describe_thresholds
    from edge.recogniser.build import build_rules

    rules = build_rules(config.policy, bundle.calibration(config.engine.precision))
    return describe_thresholds(rules, templates)


def show_statistics(args: argparse.Namespace) -> int:
    config, bundle, store = gallery_common.open_gallery(args, allow_other_models=True)
    with closing(store):
        subjects, models = store.read_subjects(), store.count_by_model()
        files = config.gallery_path.parent.glob(f"{config.gallery_path.name}*")
        size = sum(file.stat().st_size for file in files)
    templates = [len(subject.templates) for subject in subjects]
    records = [subject.record for subject in subjects]
    figures: dict[str, object] = {
        "subjects": len(subjects),
        "templates": sum(templates),
        "most_templates_of_one": max(templates, default=0),
        "without_templates_of_this_model": templates.count(0),
        "without_consent": sum(record.consent is None for record in records),
        "to_be_erased_one_day": sum(record.erase_on is not None for record in records),
        "models": {model[:12]: number for model, number in models.items()},
        "bytes": size,
        "supported_templates": bundle.calibration(config.engine.precision).gallery_size,
    }
    if args.json:
        print(json.dumps(figures))
    else:
        for key, value in figures.items():
            print(f"{key.replace('_', ' '):34s} {value}")
        print(describe_gallery_thresholds(config, bundle, sum(templates)))
    return common.DONE


def verify_gallery(args: argparse.Namespace) -> int:
    from edge.gallery import maintenance

    _, _, store = gallery_common.open_gallery(args, allow_other_models=True)
    with closing(store):
        if args.repair:
            store.compact()
        findings = maintenance.verify(store)
    if args.json:
        print(json.dumps({"findings": findings}))
    elif findings:
        print("\n".join(f"  {finding}" for finding in findings))
        print(format_count(len(findings), "finding"))
    else:
        print("every row is valid, and free pages are empty")
    return common.FAILED if findings else common.DONE


def migrate_gallery(args: argparse.Namespace) -> int:
    from edge.gallery.template_migration import migrate_templates
    from edge.recogniser.networks import open_networks

    config, bundle, store = gallery_common.open_gallery(args, allow_other_models=True)
    with closing(store):
        result = migrate_templates(store, open_networks(config).embedder)
        print(
            f"{format_count(len(result.enrolled), 'person', 'people')} enrolled again "
            f"for model {bundle.model_digest[:12]}, {result.already_enrolled} had templates of it"
        )
        for name in result.not_enrolled:
            print(f"  no usable chip, enroll again: {name}")
        if args.drop_other_models:
            _drop_other_models(store, result.not_enrolled)
        confirm(config, store)
    return common.FAILED if result.not_enrolled else common.DONE


def _drop_other_models(store: GalleryStore, not_enrolled: list[str]) -> None:
    """Erase the templates that the model does not accept.

    Raises GalleryError while people need them.
    """
    from edge.gallery import maintenance

    if not_enrolled:
        raise GalleryError(
            f"{format_count(len(not_enrolled), 'person', 'people')} must be enrolled again first; "
            "then run this again with --drop-other-models"
        )
    for model in store.count_by_model():
        if model not in store.models:
            dropped = maintenance.drop_model(store, model)
            print(f"{format_count(dropped, 'template')} of model {model[:12]} erased")


def rotate_gallery_key(args: argparse.Namespace) -> int:
    from edge.gallery import key_rotation

    config = load_config(args.config)
    key_rotation.rotate_key(config)
    print("the gallery is encrypted by a new key")
    key_rotation.confirm_rotation(config)
    return common.DONE
