"""Checks of the access rules before the door runs: people, credentials, readers, egress."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass

from edge.access.rules.values import AuthMode
from edge.config import TerminalConfig
from edge.config.access import lanes_through
from edge.config.readers import HidReaderConfig
from edge.door.credential_hashes import load_credential_key
from edge.door.credentials_file import PersonEntry, read_document
from edge.door.door_states import DoorStates
from edge.system.text import format_count
from edge.system.timesync import boot_id


@dataclass(frozen=True, slots=True)
class AccessFinding:
    """Result of a check; one that is not OK names the remedy."""

    is_ok: bool
    message: str


def check_access(config: TerminalConfig) -> Iterator[AccessFinding]:
    """Yield the findings. Raises DoorError if people or their key cannot be used."""
    yield from _check_readers(config)
    yield from _check_egress(config)
    yield from _check_interlock(config)
    path = config.people_path
    if path.exists() and not os.access(path, os.R_OK):
        yield AccessFinding(False, f"{path}: not readable here; run this as root")
        return
    people = read_document(path, config.people_key_path).people
    if people:
        load_credential_key(config.people_key_path, create=False)
        words = format_count(len(people), "person", "people")
        yield AccessFinding(True, f"{path}: {words}, key {config.people_key_path}")
    yield from _check_credentials(config, people)
    yield from _check_panel_cards(config, people)


def _modes(config: TerminalConfig) -> set[str]:
    """Return the modes and fallbacks of the configuration."""
    access = config.access
    modes = {access.mode, *(span.mode for span in access.spans if span.mode is not None)}
    return modes | {fallback for span in access.spans for fallback in span.fallback}


def _check_readers(config: TerminalConfig) -> Iterator[AccessFinding]:
    second = sorted(_modes(config) - {AuthMode.FACE.value})
    if config.access.masked == "require-second-factor":
        second.append("masked: require-second-factor")
    if not second:
        return
    for lane in (each.name for each in lanes_through(config.access, config.door.name)):
        readers = [reader for reader in config.door.readers if reader.lane == lane]
        if not readers:
            words = f"lane {lane} has no reader for {', '.join(second)}; add one to `door.readers`"
            yield AccessFinding(False, words)
        kinds = {one.reads if isinstance(one, HidReaderConfig) else "both" for one in readers}
        for factor, mode in (("card", "card-and-face"), ("pin", "pin-and-face")):
            if readers and mode in second and not kinds & {factor, "both"}:
                words = f"lane {lane} has no reader for a {factor}, which {mode} needs"
                yield AccessFinding(False, f"{words}; add one to `door.readers`")


def _check_egress(config: TerminalConfig) -> Iterator[AccessFinding]:
    declared = [lane.name for lane in config.access.lanes if lane.hardware_egress]
    if declared:
        words = "people can leave without this terminal by the declared hardware egress"
        yield AccessFinding(True, f"lanes {', '.join(declared)}: {words}; test it")


def _check_interlock(config: TerminalConfig) -> Iterator[AccessFinding]:
    """Check that the interlocked doors have a contact and publish their states."""
    if not config.door_states:
        return
    if config.door.inputs.contact is None:
        words = "the door has no contact: an open door that is locked is not noticed"
        yield AccessFinding(False, f"access.interlock_doors: {words}; set `door.inputs.contact`")
    states = DoorStates(config.door_states, config.door.name, time.monotonic, boot_id())
    found = states.read()
    for name in states.others:
        if name in found:
            yield AccessFinding(
                True, f"access.interlock_doors: the door {name} publishes its state"
            )
        else:
            words = f"the door {name} publishes no state in {config.door_states[name]}"
            remedy = "grants are refused until its edge-door runs"
            yield AccessFinding(False, f"access.interlock_doors: {words}; {remedy}")


def _check_credentials(
    config: TerminalConfig, people: tuple[PersonEntry, ...]
) -> Iterator[AccessFinding]:
    """Count the people that a mode would refuse."""
    for mode, what in ((AuthMode.CARD_AND_FACE, "card"), (AuthMode.PIN_AND_FACE, "PIN")):
        by_all = mode.value in _modes(config)
        bound = [one for one in people if one.mode is mode or (by_all and one.mode is None)]
        missing = [one for one in bound if not (one.cards if what == "card" else one.pin)]
        if missing:
            number = format_count(len(missing), "person", "people")
            words = f"{number} without a {what}, which {mode.value} needs"
            yield AccessFinding(False, f"{words}; see edge-door person list")
        elif by_all and not people:
            words = f"{mode.value} is configured, but no one has a {what}"
            yield AccessFinding(False, f"{words}; see edge-door person set --help")


def _check_panel_cards(
    config: TerminalConfig, people: tuple[PersonEntry, ...]
) -> Iterator[AccessFinding]:
    """Count the people that an access control panel can know."""
    if config.door.panel is None:
        return
    owner = "also the local relay" if config.door.panel.switch_relay else "the panel owns the lock"
    with_card = sum(person.panel_card is not None for person in people)
    words = f"panel: {owner}; {format_count(with_card, 'person', 'people')} with a panel card"
    if with_card == 0:
        words += ", all others are refused; see edge-door person set --help"
    yield AccessFinding(with_card > 0, words)
