"""What ships to a terminal: it recognises people, and a process of its own opens the door."""

import os

# OpenCV reads this while it is loaded. Its own bound is 16 times as much: 600 bytes that claim to be a JPEG of 32000 pixels a side
# would take 6 GB and 17 seconds before anybody could ask for the size.
os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(1 << 26))
