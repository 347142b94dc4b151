"""Camera, engine and detector."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import Field, field_validator

from edge.config.lane import Label
from edge.config.section import ConfigPath, Section, restart

FOLDER_FPS = 15.0  # rate of a folder of pictures, which has none of its own
_NUMBER = re.compile(r"0|[1-9][0-9]*")  # 017 is 15 to some readers of YAML, and 17 to others
_FOURCC = re.compile(r"[A-Za-z0-9]{3}[A-Za-z0-9 ]")
# Sources of pipelines that read from this machine; any other can be fed over a network.
_LOCAL_SOURCES = frozenset(
    {"v4l2src", "nvarguscamerasrc", "nvv4l2camerasrc", "libcamerasrc", "videotestsrc"}
)


class _CameraSection(Section):
    """Keys of all cameras."""

    lane: Label | None = Field(
        None,
        title="Lane",
        description="Lane of `access.lanes` on whose side the camera is, through the door of this "
        "file. Not set: the first lane of the door.",
        examples=["lab-in"],
    )
    rotate: Literal[0, 90, 180, 270] = Field(
        0,
        title="Rotation",
        description="Degrees clockwise by which frames are rotated before any other step.",
    )
    mirror: bool = Field(
        False,
        title="Mirror",
        description="Swap left and right after the rotation, for a camera with a mirrored image.",
    )


class ReplayCameraConfig(_CameraSection):
    """Recorded frames instead of a camera."""

    kind: Literal["replay"]
    path: ConfigPath = Field(
        examples=["clip"],
        title="Recording",
        description="A folder of pictures, a GIF or a video.",
    )
    fps: float | None = Field(
        None,
        gt=0,
        le=240,
        title="Frame rate",
        examples=["15"],
        description=f"Frames per second. Not set: the recording's rate, {FOLDER_FPS:g} for a "
        "folder.",
    )
    loop: bool = Field(
        False,
        title="Loop",
        description="Start the recording again at its end.",
    )
    lockstep: bool = Field(
        False,
        title="Lockstep",
        description="true: each frame is processed, however long that takes. false: frames that "
        "arrive during processing are dropped, as with a camera.",
    )


class OpencvCameraConfig(_CameraSection):
    """A V4L2 device, network camera or GStreamer pipeline, opened by OpenCV."""

    kind: Literal["opencv"]
    source: int | str = Field(
        examples=["0"],
        title="Source",
        description=(
            "Number or path of a V4L2 device, address of a network camera (rtsp://camera/1), or a "
            "GStreamer pipeline that ends with appsink."
        ),
    )
    width: int | None = Field(
        None,
        ge=160,
        le=4096,
        title="Width",
        description="Pixels requested from a V4L2 device. Not set: the device decides.",
    )
    height: int | None = Field(
        None,
        ge=120,
        le=4096,
        title="Height",
        description="Pixels requested from a V4L2 device.",
    )
    fps: float | None = Field(
        None,
        gt=0,
        le=240,
        title="Frame rate",
        examples=["30"],
        description="Frames per second requested from a V4L2 device.",
    )
    pixel_format: str | None = Field(
        None,
        examples=["MJPG"],
        title="Pixel format",
        description="FourCC requested from a V4L2 device, such as MJPG, YUYV or GREY.",
    )
    accept_network_injection: bool = Field(
        False,
        title="Accept a network camera",
        description=(
            "Must be true for a network camera, otherwise the configuration is refused. An "
            "attacker who can write to that stream can show any face to the recogniser."
        ),
    )

    @field_validator("source")
    @classmethod
    def _source(cls, source: int | str) -> int | str:
        if isinstance(source, str) and _NUMBER.fullmatch(source):
            source = int(source)
        if isinstance(source, int) and source < 0:
            raise ValueError("expected the number of a V4L2 device from 0 on")
        if isinstance(source, str) and not _is_live(source):
            raise ValueError(
                "expected the number or path (/dev/...) of a V4L2 device, an address such as "
                "rtsp://camera/1 or a GStreamer pipeline; for a recording set `kind: replay` and "
                "`path`"
            )
        return source

    @field_validator("pixel_format")
    @classmethod
    def _pixel_format(cls, code: str | None) -> str | None:
        if code is not None and not _FOURCC.fullmatch(code):
            raise ValueError("expected a FourCC, four characters such as MJPG, YUYV or 'Y16 '")
        return code

    @property
    def is_network(self) -> bool:
        """True if frames may come from another machine."""
        text = str(self.source)
        if "!" not in text:
            return "://" in text
        sources = {word for word in text.replace("!", " ").split() if word.endswith("src")}
        return "://" in text or not sources or not sources <= _LOCAL_SOURCES


class CsiCameraConfig(_CameraSection):
    """CSI camera of a Jetson, through GStreamer and NVIDIA's Argus."""

    kind: Literal["csi"]
    sensor_id: int = Field(
        0,
        ge=0,
        le=15,
        title="Sensor",
        description="Number of the CSI sensor.",
    )
    width: int = Field(
        1280,
        ge=160,
        le=4096,
        title="Width",
        description="Pixels. Width, height and frame rate must be those of one mode of the sensor.",
    )
    height: int = Field(
        720,
        ge=120,
        le=4096,
        title="Height",
        description="Pixels of this mode.",
    )
    fps: int = Field(
        30,
        ge=1,
        le=240,
        title="Frame rate",
        description="Frames per second of this mode.",
    )
    flip_method: int = Field(
        0,
        ge=0,
        le=7,
        title="Flip",
        description="Property flip-method of nvvidconv: rotates or mirrors frames in hardware, "
        "before `rotate` and `mirror`. 0: unchanged. 2: 180 degrees.",
    )

    @property
    def pipeline(self) -> str:
        """GStreamer pipeline from the sensor to BGR frames; it keeps only the newest frame."""
        return (
            f"nvarguscamerasrc sensor-id={self.sensor_id} ! video/x-raw(memory:NVMM),"
            f"width={self.width},height={self.height},framerate={self.fps}/1,format=NV12 ! "
            f"nvvidconv flip-method={self.flip_method} ! video/x-raw,format=BGRx ! videoconvert ! "
            "video/x-raw,format=BGR ! appsink drop=true max-buffers=1 sync=false"
        )


def _is_live(source: str) -> bool:
    return (
        "!" in source
        or source.startswith("/dev/")
        or ("://" in source and not source.lower().startswith("file:"))
    )


CameraConfig = Annotated[
    ReplayCameraConfig | OpencvCameraConfig | CsiCameraConfig, Field(discriminator="kind")
]


class OrtEngineConfig(Section):
    """ONNX Runtime on the CPU."""

    kind: Literal["ort"] = "ort"
    threads: int = Field(
        1,
        ge=1,
        le=64,
        title="Threads",
        description="CPU threads of each network.",
    )
    precision: Literal["fp32", "int8"] = Field(
        "fp32",
        title="Precision",
        description="Precision of the embedder. int8 uses its own thresholds of the bundle.",
    )


class TrtEngineConfig(Section):
    """TensorRT on an NVIDIA GPU, with plans that mfsa-build-engine made on this device."""

    kind: Literal["trt"]
    precision: Literal["fp32", "fp16", "int8"] = Field(
        "fp16",
        title="Precision",
        description="Precision of the embedder. int8 uses its own thresholds of the bundle.",
    )


class AutoEngineConfig(Section):
    """TensorRT, or ONNX Runtime if TensorRT is not available and this section allows it."""

    kind: Literal["auto"]
    precision: Literal["fp32", "fp16", "int8"] = Field(
        "fp16",
        title="Precision",
        description="Precision of the embedder in TensorRT. ONNX Runtime runs fp32.",
    )
    allow_ort: bool = Field(
        examples=["true"],
        title="Allow ONNX Runtime",
        description="Use the slower engine if TensorRT is not available; log and doctor report it.",
    )
    threads: int = Field(
        1,
        ge=1,
        le=64,
        title="Threads",
        description="CPU threads of ONNX Runtime.",
    )


EngineConfig = Annotated[
    OrtEngineConfig | TrtEngineConfig | AutoEngineConfig, Field(discriminator="kind")
]


class DetectorConfig(Section):
    """Face detection and selection."""

    input_size: Literal["auto", "640x480", "320x256"] = Field(
        "auto",
        json_schema_extra=restart("recogniser"),
        title="Input size",
        description=(
            "Input of the detector network in pixels. auto: the smallest size in which a face of "
            "`min_face_px` is 40 pixels wide, as masked faces need."
        ),
    )
    search_interval_s: float = Field(
        0.2,
        ge=0,
        le=1,
        title="Search interval",
        description=(
            "Seconds between face detections on the full frame. Between these only people without "
            "a decision are detected again, near their last position. 0: every frame."
        ),
    )
    min_score: float = Field(
        0.7,
        gt=0,
        lt=1,
        json_schema_extra=restart("recogniser"),
        title="Minimum score",
        description="Score of the detector, from 0 to 1, below which a face starts no track and is "
        "not enrolled.",
    )
    min_score_tracked: float = Field(
        0.5,
        gt=0,
        lt=1,
        json_schema_extra=restart("recogniser"),
        title="Minimum score of a tracked face",
        description="Score down to which a face continues a track, if it is where the track is "
        "expected and its embedding is that of the track's person. A value of `min_score` or more "
        "turns this off.",
    )
    min_face_px: int = Field(
        60,
        ge=20,
        title="Minimum face width",
        description="Pixels of the frame. Narrower faces are refused with the hint to come closer.",
    )
    zone: tuple[float, float, float, float] = Field(
        (0.0, 0.0, 1.0, 1.0),
        title="Zone",
        description=(
            "Left, top, right and bottom edge as fractions of the frame. A face with its centre "
            "outside is refused."
        ),
    )
    nearest_only: bool = Field(
        False,
        title="Nearest face only",
        description="Only the widest face in the zone is recognised, for lanes with a queue.",
    )
    max_faces_per_frame: int = Field(
        2,
        ge=1,
        le=16,
        title="Faces per frame",
        description="Maximum number of faces that are recognised in one frame; others wait for the "
        "next frames. Limits the load.",
    )

    @field_validator("zone")
    @classmethod
    def _zone(cls, zone: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
        x0, y0, x1, y1 = zone
        if not (0 <= x0 < x1 <= 1 and 0 <= y0 < y1 <= 1):
            raise ValueError("expected left < right and top < bottom, each from 0 to 1")
        return zone
