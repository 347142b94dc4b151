"""Live view of the recogniser for other processes: protocol and client, without numpy."""
