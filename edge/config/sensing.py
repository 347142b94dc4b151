"""Camera, engine and which faces count."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator

from edge.config.section import Section


class ReplayCamera(Section):
    """Recorded frames in place of a camera."""

    kind: Literal["replay"]
    path: Path = Field(description="a folder of pictures, a GIF or a video")
    fps: float = Field(15.0, gt=0, le=240)
    loop: bool = False
    lockstep: bool = Field(
        False, description="wait until each frame was used, instead of dropping late ones"
    )


class OpencvCamera(Section):
    """A camera or stream that OpenCV can open."""

    kind: Literal["opencv"]
    source: int | str = Field(description="number of a V4L2 device, an RTSP address or a file")
    width: int | None = Field(None, ge=160, le=4096)
    height: int | None = Field(None, ge=120, le=4096)
    accept_network_injection: bool = Field(
        False,
        description="must be true for a network address: who can write to that stream can show any face",
    )


Camera = Annotated[ReplayCamera | OpencvCamera, Field(discriminator="kind")]


class OrtEngine(Section):
    """ONNX Runtime on the CPU."""

    kind: Literal["ort"] = "ort"
    threads: int = Field(1, ge=1, le=64)
    precision: Literal["fp32", "int8"] = Field("fp32", description="of the embedder")


class TrtEngine(Section):
    """TensorRT on an NVIDIA GPU: engines that mfsa-build-engine built on this device."""

    kind: Literal["trt"]
    precision: Literal["fp32", "fp16", "int8"] = Field("fp16", description="of the embedder")


class AutoEngine(Section):
    """TensorRT, and ONNX Runtime where TensorRT cannot be used and this section allows it."""

    kind: Literal["auto"]
    precision: Literal["fp32", "fp16", "int8"] = Field(
        "fp16", description="of the embedder in TensorRT; ONNX Runtime runs fp32"
    )
    allow_ort: bool = Field(
        description="whether a slower engine may take TensorRT's place; log and doctor say so"
    )
    threads: int = Field(1, ge=1, le=64, description="of ONNX Runtime")


EngineSection = Annotated[OrtEngine | TrtEngine | AutoEngine, Field(discriminator="kind")]


class Detector(Section):
    size: Literal["auto", "640x480", "320x256"] = Field(
        "auto",
        description="the network's input; auto: the smallest in which a face of `min_face_px` is found",
    )
    every_s: float = Field(
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
    faces_a_frame: int = Field(
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
