"""Commands of `calibration`: options, printing and exit codes."""
