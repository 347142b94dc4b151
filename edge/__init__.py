"""Face recognition terminal: recogniser, door process and their commands."""

import os

# ONNX Runtime reads this while it is loaded. Without it version 1.32 writes a device id below
# ~/.cache/Microsoft and reports usage over the network.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
# OpenCV reads this while it is loaded. Its own bound is 16 times as much: 600 bytes that claim to
# be a JPEG of 32000 pixels a side would take 6 GB and 17 seconds before the size could be checked.
os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(1 << 26))
# FFmpeg inside OpenCV reads this when it is first used. Without it a damaged stream prints several
# lines per frame to stderr, some with the address of the stream and its password.
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
# OpenCV reads this while it is loaded. Its messages quote camera addresses with their passwords.
os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
