"""Face encoders of other projects: file formats, input conventions, and the 14x14 cut."""
