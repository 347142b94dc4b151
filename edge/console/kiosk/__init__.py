"""Page of the terminal's own screen."""
