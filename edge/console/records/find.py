"""Logs of the terminal that the console reads."""

from __future__ import annotations

from edge.audit.locations import all_log_locations, log_locations
from edge.config import TerminalConfig
from edge.console.records.log_file import LogFile
from edge.errors import RecordError


def find_logs(config: TerminalConfig) -> tuple[list[LogFile], str]:
    """Return the logs of all recognisers and doors, and why some may be missing.

    If the folders of the instances cannot be listed, those of the configuration alone.
    """
    try:
        return [LogFile(each.name, each.folder) for each in all_log_locations(config)], ""
    except (RecordError, OSError) as error:
        own = log_locations(config)
        files = [LogFile(config.log_name(each.folder), each.folder) for each in own]
        return files, str(error)
