"""`python -m tests.faults --bundle build/bundle --out docs/measurements/faults.md`: fault table."""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from tests.faults.scenes import FAULTS, Fault
from tests.faults.terminal import PULSE_S, Terminal
from tests.processes import until

_INTO_THE_PULSE_S = 0.3
_NOTICEABLE_S = 0.1  # a pulse that ends this late counts as extended
NEWLINE = "\n"
_COLUMNS = (
    "fault",
    "lasts",
    "energised at most",
    "beyond the pulse",
    "grants during the fault",
    "next grant after",
    "restarts",
)


@dataclass(frozen=True)
class Outcome:
    """Behaviour of the line around one fault."""

    longest_s: float  # energised on end
    granted: int  # pulses that began while the fault lasted
    recovered_s: float  # from the fault's end to the next grant
    starts: tuple[int, int]  # of door and recogniser because of it
    watchdog: tuple[int, int]  # of these by the watchdog


def cause(terminal: Terminal, fault: Fault) -> Outcome:
    """Run a fault in the middle of a pulse and wait for the next grant; raises TimeoutError."""
    terminal.wait_locked()
    services = (terminal.door, terminal.daemon)
    before = [(s.starts, s.watchdog_kills) for s in services]
    opened = terminal.energised_after(time.monotonic())
    _wait_for(opened + _INTO_THE_PULSE_S)
    began = time.monotonic()
    with fault.begin(terminal):
        _wait_for(began + fault.lasts_s)
        ended = time.monotonic()
    recovered = terminal.energised_after(max(ended, opened + PULSE_S))
    terminal.wait_locked()
    after = [
        (s.starts - a, s.watchdog_kills - b) for s, (a, b) in zip(services, before, strict=True)
    ]
    return Outcome(
        longest_s=terminal.line.longest_s(began, time.monotonic()),
        granted=sum(level and began < at < ended for at, level in terminal.line.changes),
        recovered_s=recovered - ended,
        starts=(after[0][0], after[1][0]),
        watchdog=(after[0][1], after[1][1]),
    )


def _wait_for(moment: float) -> None:
    until(lambda: time.monotonic() >= moment, "the moment has come", poll_s=0.002)


def row(fault: Fault, outcomes: Sequence[Outcome]) -> str:
    """Return the table row: worst energised time, medians of the rest."""
    longest = max(o.longest_s for o in outcomes)
    cells = [
        fault.name,
        f"{fault.lasts_s:.0f} s" if fault.lasts_s else "" if fault is FAULTS[0] else "at once",
        f"{longest:.2f} s",
        f"{longest - PULSE_S:+.2f} s",
        f"{statistics.median(o.granted for o in outcomes):.0f}" if fault.lasts_s else "",
        f"{statistics.median(o.recovered_s for o in outcomes):.1f} s",
        "; ".join(
            _restarts(name, i, outcomes)
            for i, name in enumerate(("door", "recogniser"))
            if any(o.starts[i] for o in outcomes)
        ),
    ]
    return _line(*cells)


def _line(*cells: str) -> str:
    """Return a line of a Markdown table."""
    return f"| {' | '.join(cells)} |"


def _restarts(name: str, which: int, outcomes: Sequence[Outcome]) -> str:
    starts = max(o.starts[which] for o in outcomes)
    by = " by its watchdog" if any(o.watchdog[which] for o in outcomes) else ""
    if not starts:
        return ""
    return f"{name} restarted{by}" + (f", {starts} times" if starts > 1 else "")


def longer(outcomes: Mapping[Fault, Sequence[Outcome]]) -> str:
    """Return a sentence that lists the faults that extended a pulse."""
    beyond = {
        fault.name: max(o.longest_s for o in found) - PULSE_S for fault, found in outcomes.items()
    }
    found = [
        f"{name} ({late_s:+.2f} s)" for name, late_s in beyond.items() if late_s > _NOTICEABLE_S
    ]
    least = f"by more than {_NOTICEABLE_S:.1f} s"
    if not found:
        return f"No fault extended a pulse {least}."
    return f"Faults that extended a pulse {least}: {', '.join(found)}."


def page(outcomes: Mapping[Fault, Sequence[Outcome]], terminal: Terminal, repeats: int) -> str:
    begin = f"Each fault begins {_INTO_THE_PULSE_S} s into a pulse of {PULSE_S:.0f} s."
    services = [_line("process", "watchdog", "restart after"), "|---|---|---|"]
    for name, service in (
        ("door, with `edge-door safe-state` before the restart", terminal.door),
        ("recogniser", terminal.daemon),
    ):
        services.append(_line(name, f"{service.watchdog_s:g} s", f"{service.restart_s:g} s"))
    rows = [row(fault, found) for fault, found in outcomes.items()]
    return f"""\
# The lock during faults

Measured by `make faults`. Both real processes run and are restarted as their units say. An enrolled
person is in front of the camera all the time, and the level of the lock's output is recorded.
{begin} Energised times are the worst,
all others the medians, of {repeats} runs each.

{NEWLINE.join(services)}

{_line(*_COLUMNS)}
|{"---|" * len(_COLUMNS)}
{NEWLINE.join(rows)}

{longer(outcomes)}

If the door process dies or is stopped while the lock is open, the output keeps its level until
`edge-door safe-state` de-energises it. A relay module with a pulse limit of its own covers this
time ([wiring.md](../wiring.md)). Without a fault access is granted every two to three seconds;
"next grant after" includes that time.
"""


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="tests.faults", description=__doc__)
    parser.add_argument(
        "--bundle",
        type=Path,
        required=True,
        help="complete bundle, made with: mfsa-bundle make build/bundle",
    )
    parser.add_argument("--out", type=Path, help="Markdown; default: to the terminal")
    parser.add_argument("--repeat", type=int, default=3, help="times each (default %(default)s)")
    parser.add_argument(
        "--only",
        action="append",
        metavar="FAULT",
        choices=[f.name for f in FAULTS],
        help="may be given again",
    )
    args = parser.parse_args(argv)
    faults = [fault for fault in FAULTS if not args.only or fault.name in args.only]
    with (
        tempfile.TemporaryDirectory(prefix="mfsa-faults-") as folder,
        Terminal(Path(folder) / "terminal", args.bundle) as terminal,
    ):
        outcomes: dict[Fault, list[Outcome]] = {fault: [] for fault in faults}
        for fault in tqdm(
            [fault for _ in range(args.repeat) for fault in faults],
            desc="faults",
            unit="fault",
            disable=None,
        ):
            outcomes[fault].append(cause(terminal, fault))
            print(row(fault, outcomes[fault][-1:]), file=sys.stderr, flush=True)
        text = page(outcomes, terminal, args.repeat)
    if args.out:
        args.out.write_text(text, encoding="utf-8")
    else:
        print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
