"""Network that splits the embedding by cells of the face, and closes regions at the gate."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from edge.chip import SIZE
from edge.face.regions import MASK_SHARE, landmark_regions
from train.linear_end import split_linear_end
from train.network import MASK, UNMASKED, mask_head_input, unit_maps
from train.routed import Network, RoutedNetwork


class _Route(nn.Module):
    """Layers from the gated 14x14 features to the parts of the embedding."""

    reference: Tensor  # (K,D), parts of the average face

    def __init__(self, tail: nn.Module, sample: Tensor) -> None:
        super().__init__()
        self.body, self.parts = split_linear_end(tail, sample)
        with torch.no_grad():
            self.register_buffer("reference", torch.zeros_like(self(sample)[0]))

    def forward(self, gated: Tensor) -> Tensor:
        cells: Tensor = self.parts(self.body(gated))
        return cells

    def split(self, gated: Tensor) -> tuple[Tensor, Tensor]:
        """Return the parts less those of the average face, and the part of that face (N,D)."""
        cells = self(gated) - self.reference
        average = self.parts.bias + self.reference.sum(dim=0)
        return cells, average.expand_as(cells[:, 0])

    def close_regions(self, gated: Tensor, regions: Tensor) -> Tensor:
        """Return the embeddings (N,R,D) for features that are zero in each region (N,R,14,14)."""
        closed = gated[:, None] * (1 - regions)[:, :, None]  # (N,R,C,14,14)
        cells = self(closed.reshape(-1, *gated.shape[1:]))
        embedding: Tensor = cells.sum(dim=1) + self.parts.bias
        return embedding.reshape(-1, regions.shape[1], embedding.shape[1])


class ExplanationNetwork(nn.Module):
    """Network from chips (N,3,112,112) to the outputs `edge.face.explanation.OUTPUTS`.

    Contributions are differences from the average face of each route, zero before `set_average`.
    """

    landmark_regions: Tensor

    def __init__(self, network: Network) -> None:
        """Raise ConfigError for a network without a linear end."""
        super().__init__()
        self.network = network.eval()
        with torch.no_grad():
            gated, _ = self._features(torch.zeros(1, 3, SIZE, SIZE))
        if isinstance(network, RoutedNetwork):
            self.masked = _Route(network.branch, gated)
        else:
            self.masked = _Route(network.tail, gated)
        self.bare: _Route | None = None  # the masked route answers for all faces
        if isinstance(network, RoutedNetwork) and network.config.bare_from == "encoder":
            self.bare = _Route(nn.Sequential(network.base.middle, network.base.top), gated)
        self.register_buffer("landmark_regions", torch.from_numpy(landmark_regions())[None])

    @torch.no_grad()
    def set_average(self, faces: Tensor) -> None:
        """Set the average face of each route from those of the faces (N,3,112,112) that take it."""
        found: dict[bool, list[Tensor]] = {True: [], False: []}
        for batch in torch.split(faces, 32):
            features, seen, _, is_masked = self._gate(batch)
            for takes, route, x in (
                (is_masked, self.masked, seen),
                (~is_masked, self.bare, features),
            ):
                if route is not None and takes.any():
                    found[route is self.masked].append(route(x[takes]))
        for route in (self.masked, self.bare):
            if route is not None and found[route is self.masked]:
                route.reference.copy_(torch.cat(found[route is self.masked]).mean(dim=0))

    def forward(self, chip: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        features, seen, maps, is_masked = self._gate(chip)
        mask = (maps[:, MASK : MASK + 1] > MASK_SHARE).to(features.dtype)
        regions = torch.cat([self.landmark_regions * (1 - mask), mask], dim=1)
        cells, bias = self.masked.split(seen)
        closed = self.masked.close_regions(seen, regions)
        if self.bare is None:
            return cells, bias, closed, regions, torch.ones_like(cells[:, 0, 0])
        bare_cells, bare_bias = self.bare.split(features)
        bare_closed = self.bare.close_regions(features, regions)
        choice = is_masked[:, None, None]
        return (
            torch.where(choice, cells, bare_cells),
            torch.where(is_masked[:, None], bias, bare_bias),
            torch.where(choice, closed, bare_closed),
            regions,
            is_masked.to(features.dtype),
        )

    def _features(self, chip: Tensor) -> tuple[Tensor, Tensor]:
        """Return the features that A_u gates, and those that the attention reads."""
        if not isinstance(self.network, RoutedNetwork):
            features: Tensor = self.network.stem(chip)
            return features, features
        gated: Tensor = self.network.base.low(chip)
        return gated, self.network.base.middle(gated)

    def _gate(self, chip: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return 14x14 features, the same times A_u, the maps, and True (N,) if those are used."""
        features, attended = self._features(chip)
        attention = self.network.attention
        maps = unit_maps(attended) if attention is None else attention(attended)
        seen = maps[:, UNMASKED : UNMASKED + 1] * features
        if self.bare is None:
            return features, seen, maps, torch.ones(len(chip), dtype=torch.bool)
        read = mask_head_input(attended, maps, self.network.variant)
        mask_logit, _ = self.network.heads.classify(read)
        return features, seen, maps, RoutedNetwork.is_mask_worn(mask_logit)
