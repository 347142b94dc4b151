"""Logs of the terminal that the console reads."""

from __future__ import annotations

from edge.audit.locations import all_log_locations, log_locations
from edge.config import TerminalConfig
from edge.console.records.log_file import LogFile
from edge.errors import RecordError


def find_logs(config: TerminalConfig) -> tuple[list[LogFile], str]:
    """Return the logs of the console and all recognisers and doors, and why some may be missing.

    If the folders of the instances cannot be listed, those of the configuration alone.
    """
    try:
        found, problem = all_log_locations(config), ""
    except (RecordError, OSError) as error:
        found, problem = log_locations(config), str(error)
    folders = [config.console_record_path, *(each.folder for each in found)]
    return [LogFile(config.log_name(folder), folder) for folder in folders], problem
