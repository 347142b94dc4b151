"""Commands of `train`: options, printing and exit codes."""
