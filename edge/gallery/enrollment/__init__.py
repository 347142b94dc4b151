"""Enrollment of people from photos and camera frames."""
