"""People of a terminal: enrollment, rights and removal, for commands and for the console."""
