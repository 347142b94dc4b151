"""Random crossings of scripted people through the pipeline, judged by an oracle."""
