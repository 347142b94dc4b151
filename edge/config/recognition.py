"""Camera, engine and which faces count."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import Field, field_validator

from edge.config.section import ConfigPath, Section

FOLDER_FPS = 15.0  # rate of a folder of pictures, which has none of its own
_NUMBER = re.compile(r"0|[1-9][0-9]*")  # 017 is 15 to some readers of YAML, and 17 to others
_FOURCC = re.compile(r"[A-Za-z0-9]{3}[A-Za-z0-9 ]")
# Sources of pipelines that read from this machine; any other can be fed over a network.
_LOCAL_SOURCES = frozenset(
    {"v4l2src", "nvarguscamerasrc", "nvv4l2camerasrc", "libcamerasrc", "videotestsrc"}
)


class _Picture(Section):
    """Rotation and mirroring of a camera's frames, before any other step."""

    rotate: Literal[0, 90, 180, 270] = Field(
        0, description="degrees clockwise by which frames are turned, for a camera mounted sideways"
    )
    mirror: bool = Field(
        False,
        description="swap left and right after that, for a camera that delivers a mirror image",
    )


class ReplayCameraConfig(_Picture):
    """Recorded frames in place of a camera."""

    kind: Literal["replay"]
    path: ConfigPath = Field(description="a folder of pictures, a GIF or a video")
    fps: float | None = Field(
        None,
        gt=0,
        le=240,
        description=f"default: the recording's own rate, {FOLDER_FPS:g} for a folder",
    )
    loop: bool = False
    lockstep: bool = Field(
        False, description="wait until each frame was used, instead of dropping late ones"
    )


class OpencvCameraConfig(_Picture):
    """A camera or stream that OpenCV can open."""

    kind: Literal["opencv"]
    source: int | str = Field(
        description="number or path of a V4L2 device, address of a network camera, or a GStreamer "
        "pipeline that ends with appsink"
    )
    width: int | None = Field(None, ge=160, le=4096)
    height: int | None = Field(None, ge=120, le=4096)
    fps: float | None = Field(
        None, gt=0, le=240, description="what a V4L2 device is asked for; default: its own choice"
    )
    pixel_format: str | None = Field(
        None,
        description="FourCC that a V4L2 device is asked for, such as MJPG or YUYV; default: its "
        "own choice",
    )
    accept_network_injection: bool = Field(
        False,
        description="must be true for a network camera: anyone who can write to that stream can "
        "show any face",
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


class CsiCameraConfig(_Picture):
    """CSI camera of a Jetson, through GStreamer and NVIDIA's Argus."""

    kind: Literal["csi"]
    sensor_id: int = Field(0, ge=0, le=15)
    width: int = Field(1280, ge=160, le=4096, description="of a mode of the sensor")
    height: int = Field(720, ge=120, le=4096)
    fps: int = Field(30, ge=1, le=240)
    flip_method: int = Field(
        0, ge=0, le=7, description="of nvvidconv: turns frames in hardware; 2 is half a turn"
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
    threads: int = Field(1, ge=1, le=64)
    precision: Literal["fp32", "int8"] = Field("fp32", description="of the embedder")


class TrtEngineConfig(Section):
    """TensorRT on an NVIDIA GPU: engines that mfsa-build-engine built on this device."""

    kind: Literal["trt"]
    precision: Literal["fp32", "fp16", "int8"] = Field("fp16", description="of the embedder")


class AutoEngineConfig(Section):
    """TensorRT, and ONNX Runtime where TensorRT cannot be used and this section allows it."""

    kind: Literal["auto"]
    precision: Literal["fp32", "fp16", "int8"] = Field(
        "fp16", description="of the embedder in TensorRT; ONNX Runtime runs fp32"
    )
    allow_ort: bool = Field(
        description="whether a slower engine may take TensorRT's place; log and doctor say so"
    )
    threads: int = Field(1, ge=1, le=64, description="of ONNX Runtime")


EngineConfig = Annotated[
    OrtEngineConfig | TrtEngineConfig | AutoEngineConfig, Field(discriminator="kind")
]


class DetectorConfig(Section):
    input_size: Literal["auto", "640x480", "320x256"] = Field(
        "auto",
        description="the network's input; auto: the smallest in which a face of `min_face_px` is found",
    )
    search_interval_s: float = Field(
        0.2,
        ge=0,
        le=1,
        description="seconds from one search of the picture to the next; in between only people who are not decided yet are "
        "looked at; 0: every frame is searched",
    )
    min_score: float = Field(0.7, gt=0, lt=1)
    min_face_px: int = Field(60, ge=20, description="narrower faces are told to come closer")
    zone: tuple[float, float, float, float] = Field(
        (0.0, 0.0, 1.0, 1.0),
        description="left, top, right, bottom as parts of the picture; faces whose centre is outside do not count, and what is far "
        "from it is not searched",
    )
    nearest_only: bool = Field(
        False, description="only the largest face counts: for lanes where people queue"
    )
    max_faces_per_frame: int = Field(
        2,
        ge=1,
        le=16,
        description="how many are embedded at most, so that the load stays flat in a crowd",
    )

    @field_validator("zone")
    @classmethod
    def _zone(cls, zone: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
        x0, y0, x1, y1 = zone
        if not (0 <= x0 < x1 <= 1 and 0 <= y0 < y1 <= 1):
            raise ValueError("expected left < right and top < bottom, each from 0 to 1")
        return zone
