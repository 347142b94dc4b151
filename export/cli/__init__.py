"""Commands of `export`: options, printing and exit codes."""
