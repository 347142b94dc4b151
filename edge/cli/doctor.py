"""`edge-doctor`: check a terminal, or print its configuration reference."""

from __future__ import annotations

import argparse
import itertools
import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path

from edge.cli import common
from edge.cli.door_check import LoadedFiles, find_file_conflicts, load_terminal
from edge.config import TerminalConfig
from edge.errors import MfsaError
from edge.ops.check_result import ERROR, OK, CheckResult
from edge.system.child_process import run_in_child

_MARKS = {"ok": "ok     ", "warning": "WARNING", "error": "ERROR  "}
_FORMATS = ("json", "markdown", "yaml")


def main(argv: list[str] | None = None) -> int:
    parser = common.parser(
        "edge-doctor",
        "Check configuration, bundle, engine, gallery, camera and door, and print a remedy for "
        "each problem. Warnings do not fail; errors exit with 1. `schema` prints the configuration "
        "reference instead.",
        "edge-doctor --config terminal.yaml\n  edge-doctor --config lane1.yaml lane2.yaml\n"
        "  edge-doctor schema --format yaml > terminal.yaml",
    )
    parser.add_argument(
        "task", nargs="?", choices=("check", "schema"), default="check", help="default: check"
    )
    common.add_configs(parser, required=False)
    parser.add_argument("--json", action="store_true", help="print the checks as JSON")
    parser.add_argument(
        "--format",
        choices=_FORMATS,
        default="json",
        help="of schema: JSON Schema, Markdown reference or a sample YAML file (default: json)",
    )
    args = parser.parse_args(argv)
    if args.task == "schema":
        print(_schema(args.format), end="")
        return common.DONE
    if not args.config:
        parser.error("--config is required, for example: edge-doctor --config terminal.yaml")
    return common.run("edge-doctor", lambda: _doctor(args))


def _schema(form: str) -> str:
    from edge.config import reference

    return {
        "json": reference.build_schema,
        "markdown": reference.build_markdown,
        "yaml": reference.build_sample,
    }[form]()


def _doctor(args: argparse.Namespace) -> int:
    files = load_terminal(args.config)
    conflicts = [CheckResult(ERROR, "conflict", words) for words in find_file_conflicts(files)]
    if len(files) > 1:
        results = _examine_all(files, conflicts, is_json=args.json)
    else:
        ((config, read),) = files.values()
        common.limit_decoder_messages()
        results = _examine(config, read, conflicts, is_json=args.json)
    failed = any(result.level == ERROR for result in results)
    return common.FAILED if failed else common.DONE


def _examine(
    config: TerminalConfig,
    read: Sequence[Path],
    conflicts: Sequence[CheckResult],
    *,
    is_json: bool,
) -> list[CheckResult]:
    """Examine one file; print each result as it comes, or all as JSON at the end."""
    from edge.ops.doctor import examine

    valid = CheckResult(OK, "config", f"valid: {', '.join(map(str, read))}")
    results = []
    for result in itertools.chain([valid], conflicts, examine(config)):
        results.append(result)
        if not is_json:
            show(result)
    if is_json:
        print(json.dumps([asdict(result) for result in results]))
    return results


def _examine_all(
    files: LoadedFiles, conflicts: Sequence[CheckResult], *, is_json: bool
) -> list[CheckResult]:
    """Examine several files, each in a child process: a check changes the account for good."""
    results = list(conflicts) or [CheckResult(OK, "files", f"{', '.join(files)} agree")]
    entries = [asdict(result) for result in results]
    if not is_json:
        _show_all(results)
    for name, (config, _) in files.items():
        found = _examine_in_child(config)
        entries += [{"file": name, **asdict(result)} for result in found]
        results += found
        if not is_json:
            print(f"\n{name}")
            _show_all(found)
    if is_json:
        print(json.dumps(entries))
    return results


def _examine_in_child(config: TerminalConfig) -> list[CheckResult]:
    def examine_file() -> bytes:
        restore = common.limit_decoder_messages()
        from edge.ops.doctor import examine

        found = json.dumps([asdict(result) for result in examine(config)])
        restore()
        return found.encode()

    try:
        found = run_in_child(examine_file, "the process that examined the file")
    except MfsaError as error:
        return [CheckResult(ERROR, "doctor", str(error))]
    return [CheckResult(**fields) for fields in json.loads(found)]


def _show_all(results: Iterable[CheckResult]) -> None:
    for result in results:
        show(result)


def show(result: CheckResult) -> None:
    """Print one line of the report."""
    print(f"{_MARKS[result.level]}  {result.subject:<10}  {result.message}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
