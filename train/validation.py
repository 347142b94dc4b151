"""Validation during training on people kept apart; it chooses the best checkpoint."""

from __future__ import annotations

import logging

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from calibration import metrics, scores
from calibration.chips import decode_chip
from calibration.scores import LabelledEmbeddings
from edge import masks
from edge.audit.attention import overlay
from edge.chip import to_input
from edge.errors import ConfigError
from train.data import ChipItem, ChipSet
from train.routed import Network

# FNMR of masked probes against unmasked templates, at the threshold fixed on unmasked impostors.
HEADLINE = "fnmr_masked"
_CHIPS = 1500
_PICTURES = 8
_FMR = 1e-3
_MIN_FALSE_MATCHES = 5  # for a threshold


log = logging.getLogger("mfsa-train")


def _readable(item: ChipItem) -> NDArray[np.uint8] | None:
    try:
        return decode_chip(item.encoded, item.name)
    except ConfigError as error:
        log.warning("not used for validation: %s", error)
        return None


class Validation:
    """Validation chips, bare and with masks of the frozen protocol."""

    def __init__(self, held_out: ChipSet, device: torch.device) -> None:
        """Read the chips; raises ConfigError if none can be used."""
        # Names as in other protocols; each picture once if parts of a data set overlap.
        once = {item.name.split("/", 1)[1]: item for item in held_out.items if not item.real_mask}
        # Complete people up to the limit: mated pairs need several pictures of one person.
        chosen = sorted(once.items(), key=lambda pair: pair[1].label)[:_CHIPS]
        read = [
            (name, item, chip) for name, item in chosen if (chip := _readable(item)) is not None
        ]
        if not read:
            raise ConfigError(
                "no picture kept apart can be used for validation; set data.split to [] to train "
                "without validation"
            )
        rows = [item.target_row for _, item, _ in read]
        self._views = {
            "clean": [chip for _, _, chip in read],
            "masked": [masks.draw_protocol(chip, name)[0] for name, _, chip in read],
        }
        self._people = np.array([item.label for _, item, _ in read])
        self._taught = np.array([row >= 0 for row in rows])
        self._targets = held_out.targets[[row for row in rows if row >= 0]]
        self._device = device

    @torch.no_grad()
    def run(self, network: Network) -> tuple[dict[str, float], NDArray[np.uint8]]:
        """Return figures by name, and overlays of maps (H,W,3) RGB."""
        network.eval()
        figures: dict[str, float] = {}
        seen: dict[str, LabelledEmbeddings] = {}
        pictures = []
        for name, chips in self._views.items():
            parts = [self._embed(network, chips[i : i + 128]) for i in range(0, len(chips), 128)]
            embedding, maps, worn = (np.concatenate(column) for column in zip(*parts, strict=True))
            seen[name] = LabelledEmbeddings(embedding, self._people)
            if len(self._targets):
                figures[f"cosine_{name}"] = float(
                    (embedding[self._taught] * self._targets).sum(axis=1).mean()
                )
            figures[f"mask_right_{name}"] = float(((worn > 0.5) == (name == "masked")).mean())
            figures |= {
                f"a_{m}_{name}": float(v)
                for m, v in zip("umb", maps.mean(axis=(0, 2, 3)), strict=True)
            }
            every = max(1, len(chips) // _PICTURES)
            pictures.append([overlay(chips[i], maps[i]) for i in range(0, len(chips), every)])
        network.train()
        figures |= self._compare(seen["clean"], seen["masked"])
        columns = [np.vstack(column[:_PICTURES]) for column in pictures]
        return figures, np.hstack(columns)[..., ::-1]

    def _embed(
        self, network: Network, chips: list[NDArray[np.uint8]]
    ) -> tuple[NDArray[np.float32], ...]:
        out = network(torch.from_numpy(to_input(np.stack(chips))).to(self._device))
        return tuple(
            t.cpu().numpy()
            for t in (F.normalize(out.embedding), out.attention, out.mask_logit.sigmoid())
        )

    @staticmethod
    def _compare(clean: LabelledEmbeddings, masked: LabelledEmbeddings) -> dict[str, float]:
        mated, non_mated = scores.all_scores(clean, clean)
        masked_mated, masked_non_mated = scores.all_scores(masked, clean)
        fmr = max(_FMR, _MIN_FALSE_MATCHES / max(1, len(non_mated)))
        if not len(mated) or fmr >= 1:  # too few people or pictures to compare
            return {}
        threshold = metrics.threshold_at_fmr(non_mated, fmr)
        return {
            "fmr": fmr,
            "tar_clean": metrics.match_rate(mated, threshold),
            "tar_masked": metrics.match_rate(
                masked_mated, metrics.threshold_at_fmr(masked_non_mated, fmr)
            ),
            HEADLINE: 1 - metrics.match_rate(masked_mated, threshold),
            "fmr_masked": metrics.match_rate(masked_non_mated, threshold),
        }
