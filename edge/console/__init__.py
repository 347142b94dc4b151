"""The console process: web pages for operators, REST API and the page of the terminal's screen."""
