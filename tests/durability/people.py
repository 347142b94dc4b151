"""Victims of the gallery: enrollment, changes, removal, the first enrollment, key rotation."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.config import TerminalConfig
from edge.errors import MfsaError
from edge.gallery import secure_delete
from edge.gallery.key import load_key_and_drop_privileges
from edge.gallery.key_rotation import rotate_key
from edge.gallery.maintenance import verify
from edge.gallery.store import GalleryStore
from edge.subject import Consent, SubjectRecord
from tests.bundles import EMBEDDING
from tests.durability.steps import (
    AFTERWARDS,
    Actor,
    CrashState,
    Step,
    collecting_errors,
    run_before,
    silenced_stderr,
)

_MODEL, _TERMINAL = "m" * 64, "lobby"
_KEY = bytes(range(32))
_SIZES = (1, 1, 2, 2, 3, 3, 5, 5, 5, 40)  # templates of one operation


@lru_cache(maxsize=1000)
def templates_of(step: Step) -> NDArray[np.float32]:
    rows = np.random.default_rng(step.seed).standard_normal((step.count, EMBEDDING))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


@lru_cache(maxsize=1000)
def _chips_of(step: Step) -> list[bytes | None]:
    rng = random.Random(step.seed)
    return (
        [rng.randbytes(rng.randrange(200, 4000)) for _ in range(step.count)]
        if step.seed % 3 == 0
        else [None] * step.count
    )


@lru_cache(maxsize=1000)
def _record_of(seed: int) -> SubjectRecord:
    rng = random.Random(seed)
    return SubjectRecord(
        mask="any" if seed % 2 == 0 else "as-configured",
        consent=Consent(date(2026, 1, 1), "root", "x" * rng.randrange(200)) if seed % 3 else None,
    )


People = Mapping[str, tuple[SubjectRecord, Counter[bytes], Counter[bytes]]]


def people_after(steps: Sequence[Step]) -> People:
    """Return the people after some steps, with record, templates and chips."""
    found: dict[str, tuple[SubjectRecord, Counter[bytes], Counter[bytes]]] = {}
    for step in steps:
        _, templates, chips = found.get(
            step.name, (SubjectRecord(), Counter[bytes](), Counter[bytes]())
        )
        if step.kind == "remove":
            found.pop(step.name, None)
        elif step.kind == "describe" and step.name in found:
            found[step.name] = (_record_of(step.seed), templates, chips)
        elif step.kind in ("enroll", "replace"):
            if step.kind == "replace":
                templates, chips = Counter(), Counter()
            new = Counter(row.tobytes() for row in templates_of(step))
            kept = Counter(chip for chip in _chips_of(step) if chip is not None)
            found[step.name] = (_record_of(step.seed), templates + new, chips + kept)
    return found


def people_in(store: GalleryStore) -> People:
    found = {}
    for known in store.read_subjects():
        chips = Counter(
            kept.chip for kept in store.list_templates(known.name) if kept.chip is not None
        )
        found[known.name] = (known.record, Counter(row.tobytes() for row in known.templates), chips)
    return found


class GalleryActor:
    """Enrollment process that opens and closes stores, as commands do."""

    def __init__(self, path: Path, key: bytes = _KEY) -> None:
        self._path, self._key = path, key
        self.store = self._open()

    def _open(self) -> GalleryStore:
        return GalleryStore(self._path, key=self._key, terminal=_TERMINAL, model_digest=_MODEL)

    def do(self, step: Step) -> str:
        if step.kind == "reopen":
            self.store.close()
            self.store = self._open()
        elif step.kind == "describe":
            self.store.update_attributes(step.name, _record_of(step.seed))
        elif step.kind == "remove":
            pieces = self._pieces(step.name)
            self.store.remove(step.name)
            return pieces
        else:
            pieces = self._pieces(step.name) if step.kind == "replace" else ""
            self.store.enroll(
                step.name,
                templates_of(step),
                record=_record_of(step.seed),
                chips=_chips_of(step),
                replace=step.kind == "replace",
            )
            return pieces
        return ""

    def _pieces(self, name: str) -> str:
        """Return the beginning of each encrypted row of a subject, to search for after erasure."""
        found = self.store.find_row(name)
        rows = self.store.db.execute(
            "SELECT sealed FROM templates WHERE subject = ?", (found[0] if found else 0,)
        ).fetchall()
        return " ".join(sealed[:16].hex() for (sealed,) in rows)

    def close(self) -> None:
        self.store.close()


class GalleryVictim:
    """Gallery in which people are enrolled, changed and removed."""

    def __init__(
        self, name: str, weights: Mapping[str, int], *, people: int, sizes: Sequence[int] = _SIZES
    ) -> None:
        self.name, self._weights, self._people, self._sizes = name, weights, people, sizes
        self.before = [Step("enroll", f"person {n}", 1000 + n, 1 + n % 4) for n in range(people)]

    def prepare(self, folder: Path) -> None:
        run_before(self, folder)

    def script(self, rng: random.Random, count: int) -> list[Step]:
        """Return steps whose names repeat, so that people are replaced and enrolled again."""
        steps: list[Step] = []
        for number in range(count):
            here = sorted(people_after([*self.before, *steps]))
            kind = rng.choices(list(self._weights), list(self._weights.values()))[0]
            if kind in ("describe", "remove", "replace") and not here:
                kind = "enroll"
            name = (
                rng.choice(here)
                if kind in ("describe", "remove", "replace")
                else f"person {rng.randrange(2 * self._people + 4)}"
            )
            steps.append(
                Step(kind, name, rng.randrange(10**6) * 10 + number % 10, rng.choice(self._sizes))
            )
        return steps

    def open(self, folder: Path) -> Actor:
        return GalleryActor(folder / "gallery.db")

    def problems(self, folder: Path, left: CrashState) -> Iterator[str]:
        gone = [bytes.fromhex(piece) for step in left.results for piece in step.split()]
        if gone and secure_delete.find_remnants(folder / "gallery.db", gone):
            yield "erased: an encrypted row of an erased person is in the files"
        yield from gallery_problems(lambda: GalleryActor(folder / "gallery.db"), left)


def gallery_problems(open_again: Any, left: CrashState) -> Iterator[str]:
    """Yield problems: acknowledged people exist, others are complete or absent, work continues."""
    with collecting_errors("unreadable") as trouble, ExitStack() as at_end:
        actor = open_again()
        at_end.callback(actor.close)
        found = people_in(actor.store)
        wanted = people_after(left.acknowledged)
        allowed = people_after([*left.acknowledged, left.pending]) if left.pending else wanted
        for name in sorted(wanted.keys() | allowed.keys() | found.keys()):
            yield from _compare(name, found.get(name), wanted.get(name), allowed.get(name))
        yield from (f"damaged: {finding}" for finding in verify(actor.store))
    yield from trouble
    if trouble:
        return
    with collecting_errors("stuck") as trouble, ExitStack() as at_end:
        actor = open_again()
        at_end.callback(lambda: actor.close())
        actor.do(Step("enroll", AFTERWARDS, 7, 2))
        actor.do(Step("reopen"))
        if people_in(actor.store) != {**found, **people_after([Step("enroll", AFTERWARDS, 7, 2)])}:
            yield "stuck: the next enrollment is not what was enrolled"
    yield from trouble


def _compare(name: str, found: Any, wanted: Any, allowed: Any) -> Iterator[str]:
    if found in (wanted, allowed):
        return
    if found is None:
        yield f"lost: {name}"
    elif wanted is None and allowed is None:
        yield f"back: {name} was removed"
    else:
        templates, chips = found[1].total(), found[2].total()
        yield f"half: {name} has {templates} templates and {chips} chips, or another record"


def config_of(folder: Path) -> TerminalConfig:
    state: dict[str, Any] = {"terminal": _TERMINAL, "bundle": "none", "state": folder / "state"}
    return TerminalConfig.model_validate(
        {**state, "camera": {"kind": "replay", "path": "none"}, "liveness": {"kind": "none"}}
    )


class _FirstActor:
    """First enrollment, which makes key and gallery."""

    def __init__(self, folder: Path) -> None:
        self._config = config_of(folder)
        self._gallery: GalleryActor | None = None

    def do(self, step: Step) -> str:
        if self._gallery is None:
            self._gallery = GalleryActor(
                self._config.gallery_path, load_key_and_drop_privileges(self._config)
            )
        return self._gallery.do(step)

    def close(self) -> None:
        if self._gallery is not None:
            self._gallery.close()


class FirstEnrollment:
    """Terminal without a gallery; the installer has made the folder."""

    name = "first enrollment"
    before: Sequence[Step] = ()

    def prepare(self, folder: Path) -> None:
        (folder / "state").mkdir()

    def script(self, rng: random.Random, count: int) -> list[Step]:
        return [Step("enroll", f"person {n}", rng.randrange(10**6), 2) for n in range(count)]

    def open(self, folder: Path) -> Actor:
        return _FirstActor(folder)

    def problems(self, folder: Path, left: CrashState) -> Iterator[str]:
        config = config_of(folder)
        yield from gallery_problems(
            lambda: GalleryActor(config.gallery_path, load_key_and_drop_privileges(config)), left
        )


class _RotationActor:
    def __init__(self, folder: Path) -> None:
        self._config = config_of(folder)

    def do(self, step: Step) -> str:
        if step.kind == "rotate":
            rotate_key(self._config)
            return ""
        actor = GalleryActor(self._config.gallery_path, load_key_and_drop_privileges(self._config))
        try:
            return actor.do(step)
        finally:
            actor.close()

    def close(self) -> None: ...


class KeyRotation:
    """Key rotation; running it again completes an interrupted one."""

    name = "key rotation"
    before: Sequence[Step] = tuple(Step("enroll", f"person {n}", 2000 + n, 3) for n in range(4))

    def prepare(self, folder: Path) -> None:
        (folder / "state").mkdir()
        run_before(self, folder)

    def script(self, rng: random.Random, count: int) -> list[Step]:
        return [
            Step("enroll", f"person {n}", rng.randrange(10**6), 1) if n % 4 == 3 else Step("rotate")
            for n in range(count)
        ]

    def open(self, folder: Path) -> Actor:
        return _RotationActor(folder)

    def problems(self, folder: Path, left: CrashState) -> Iterator[str]:
        config = config_of(folder)

        def open_again() -> GalleryActor:
            try:
                return GalleryActor(config.gallery_path, load_key_and_drop_privileges(config))
            except MfsaError:
                if left.pending is None or left.pending.kind != "rotate":
                    raise
                with silenced_stderr():
                    rotate_key(config)
                return GalleryActor(config.gallery_path, load_key_and_drop_privileges(config))

        yield from gallery_problems(open_again, left)
