"""The object tower: EfficientNet-Lite0 (MBConv without squeeze-and-excite, ReLU6), ImageNet's classifier, a readout.

Each location of the 7 x 7 feature map collects features from the locations of the same object by attention and classifies
them with ImageNet's classifier. The output is the object, its place, and whether the location shows one at all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.modeling_outputs import BaseModelOutputWithPooling

from hermes.backbones.object_tower.configuration import CLASSES, PLACES, ObjectTowerConfig

FEATURES: Final = 1280
CPU_BATCH: Final = 4
"""Frames that go through the convolutions at once on a CPU."""
STEEP: Final = 16.0  # steepness of the threshold `doubt`
# Expansion, kernel, stride, output channels and repeats of each stage of EfficientNet-Lite0.
STAGES: Final = (
    (1, 3, 1, 16, 1), (6, 3, 2, 24, 2), (6, 5, 2, 40, 2), (6, 3, 2, 80, 3), (6, 5, 1, 112, 3), (6, 5, 2, 192, 4),
    (6, 3, 1, 320, 1),
)  # fmt: skip


class SameConv(nn.Conv2d):
    """A convolution with TensorFlow's "same" padding (an odd pixel is added at the end); batch norm is folded in."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__(inputs, outputs, kernel, stride, padding=0, groups=groups)

    def forward(self, x: Tensor) -> Tensor:
        """Float [B, inputs, H, W] -> [B, outputs, ceil(H / stride), ceil(W / stride)]."""
        kernel, stride = self.kernel_size[0], self.stride[0]
        if kernel == 1:  # with the channels stored last, a product of matrices without copies
            return F.linear(x.permute(0, 2, 3, 1), self.weight[..., 0, 0], self.bias).permute(0, 3, 1, 2)
        height, width = (max((-(-size // stride) - 1) * stride + kernel - size, 0) for size in x.shape[-2:])
        if height % 2 or width % 2:
            x = F.pad(x, (width // 2, width - width // 2, height // 2, height - height // 2))
            height = width = 0
        return F.conv2d(x, self.weight, self.bias, self.stride, (height // 2, width // 2), 1, self.groups)


class MBConv(nn.Module):
    """An inverted residual block without squeeze-and-excite."""

    def __init__(self, inputs: int, outputs: int, expansion: int, kernel: int, stride: int) -> None:
        super().__init__()
        middle = inputs * expansion
        self.expand = SameConv(inputs, middle, 1) if expansion > 1 else None
        self.depthwise = SameConv(middle, middle, kernel, stride, groups=middle)
        self.project = SameConv(middle, outputs, 1)
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        """Float [B, inputs, H, W] -> [B, outputs, H', W']."""
        y = x if self.expand is None else F.relu6(self.expand(x), inplace=True)
        y = self.project(F.relu6(self.depthwise(y), inplace=True))
        return x + y if self.residual else y


class EfficientNetLite(nn.Module):
    """EfficientNet-Lite0 up to its last feature map."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = SameConv(3, 32, 3, 2)
        blocks: list[nn.Module] = []
        inputs = 32
        for expansion, kernel, stride, outputs, repeats in STAGES:
            for index in range(repeats):
                blocks.append(MBConv(inputs, outputs, expansion, kernel, stride if index == 0 else 1))
                inputs = outputs
        self.blocks = nn.ModuleList(blocks)
        self.head = SameConv(inputs, FEATURES, 1)

    def forward(self, pixels: Tensor) -> Tensor:
        """Float [B, 3, H, W] -> [B, H / 32 * W / 32, FEATURES]."""
        # Channels are stored last, and few frames fit a CPU's caches.
        parts = pixels.split(CPU_BATCH) if pixels.device.type == "cpu" else (pixels,)
        return torch.cat([self._features(part.contiguous(memory_format=torch.channels_last)) for part in parts])

    def _features(self, pixels: Tensor) -> Tensor:
        x = F.relu6(self.stem(pixels), inplace=True)
        for block in self.blocks:
            x = block(x)
        return F.relu6(self.head(x), inplace=True).flatten(2).transpose(1, 2)


@dataclass(frozen=True)
class Sighting:
    """The tower's predictions at each location: B frames, N locations, K objects.

    Attributes:
        objects: float [B, N, K], log-probability of each object if the location shows one.
        places: float [B, N, PLACES], log-probability of each place of the object's centre.
        cover: float [B, N], logit of the probability that the location shows an object.
    """

    objects: Tensor
    places: Tensor
    cover: Tensor

    def in_float32(self) -> Sighting:
        """Return the same predictions as float32."""
        return Sighting(self.objects.float(), self.places.float(), self.cover.float())

    def shown(self, doubt: float) -> Tensor:
        """Return the probability that each location shows an object [B, N], near 0 if no object's exceeds `doubt`."""
        sure = self.objects.amax(-1).exp()
        return torch.sigmoid(self.cover) * torch.sigmoid((sure - doubt) * STEEP)


def group_classes(config: Any) -> Tensor:
    """Return the object of each ImageNet class, one-hot [CLASSES, objects + 1]; the last column means none."""
    objects = len(config.object_names)
    index = torch.tensor(config.class_to_object, device="cpu")
    return F.one_hot(torch.where(index < 0, objects, index), objects + 1).float()


class Readout(nn.Module):
    """Predicts objects and places from feature maps.

    ImageNet's classifier is frozen. Trained are the attention between locations, whether a location shows an object, and
    small corrections to the classifier's scores.
    """

    def __init__(self, config: ObjectTowerConfig) -> None:
        super().__init__()
        size, locations = config.readout_size, (config.image_size // config.patch_size) ** 2
        objects = len(config.object_names)
        self.classifier = nn.Linear(FEATURES, CLASSES)
        self.groups: Tensor
        self.register_buffer("groups", group_classes(config), persistent=False)
        self.enter = nn.Linear(FEATURES, size)
        self.position = nn.Parameter(torch.randn(locations, size) * 0.5)
        self.mix = nn.TransformerEncoderLayer(
            size, config.readout_heads, 2 * size, dropout=0.0, batch_first=True, norm_first=True
        )
        self.gather = nn.Linear(size, 2 * size)
        self.salience = nn.Linear(size, 1)
        self.scale = nn.Parameter(torch.tensor([1.0, 1.0]))
        self.correct = nn.Linear(FEATURES, objects)
        self.cover = nn.Sequential(nn.Linear(2 * size + 7, 64), nn.ReLU(), nn.Linear(64, 1))
        self.place = nn.Linear(2 * size, PLACES)

    def _evidence(self, scores: Tensor) -> Tensor:
        """Return the log-probability of each object, and of none of them, from ImageNet's scores without bias."""
        probability = ((scores + self.classifier.bias) * self.scale[0]).softmax(-1)
        return (probability @ self.groups + 1e-6).log()

    def classify(self, features: Tensor) -> Tensor:
        """Return ImageNet's scores of single locations, without bias: float [B, N, FEATURES] -> [B, N, CLASSES]."""
        return F.linear(features, self.classifier.weight)

    def forward(self, features: Tensor, scores: Tensor | None = None) -> Sighting:
        """Return the predictions at each location.

        Args:
            features: float [B, N, FEATURES].
            scores: Return value of `classify`, if it was computed before.
        """
        scores = self.classify(features) if scores is None else scores
        mixed = self.mix(F.relu(self.enter(features)) + self.position)
        query, key = self.gather(mixed).chunk(2, -1)
        near = query @ key.transpose(-1, -2) * query.shape[-1] ** -0.5
        attention = (near + self.salience(mixed).transpose(-1, -2)).softmax(-1)
        evidence = self._evidence(attention @ scores)
        whole = self._evidence(scores.mean(1, keepdim=True)).expand_as(
            evidence
        )  # mean over the frame, as in ImageNet training
        objects = (self.scale[1] * evidence[..., :-1] + attention @ self.correct(features)).log_softmax(-1)
        sure = objects.amax(-1, keepdim=True).detach()
        found = torch.cat([mixed, attention @ mixed], -1)
        cover = self.cover(torch.cat([found, _summary(evidence), _summary(whole), sure], -1))
        return Sighting(objects, self.place(found).log_softmax(-1), cover[..., 0])


def _summary(evidence: Tensor) -> Tensor:
    """Return the log-probabilities of any object, of the most likely one, and of none [..., 3], from [..., K + 1]."""
    known = evidence[..., :-1]
    return torch.cat([known.logsumexp(-1, keepdim=True), known.amax(-1, keepdim=True), evidence[..., -1:]], -1)


def objects_in_frames(state: Tensor, objects: int) -> Tensor:
    """Return the probability that each object is shown in each frame, float [B, objects].

    Args:
        state: Hidden state of the tower, float [B, N, hidden_size].
        objects: Number of objects.
    """
    cover = 1 - state[..., objects + PLACES]
    share = state[..., :objects].sum(1) / cover.sum(1, keepdim=True).clamp(min=1e-6)
    return share * cover.topk(2, -1).values.mean(-1, keepdim=True)


class ObjectTower(PreTrainedModel):
    """The vision tower of the model of everyday objects.

    Its hidden state [B, N, hidden_size] contains for each location: the probabilities of objects and of places, both
    multiplied by the probability that it shows an object; the probability that it does not; and the location, one-hot.
    """

    config_class = ObjectTowerConfig
    main_input_name = "pixel_values"
    base_model_prefix = "object_tower"
    _no_split_modules = ["Readout"]  # noqa: RUF012 - transformers reads a list

    def __init__(self, config: ObjectTowerConfig) -> None:
        super().__init__(config)
        self.features = EfficientNetLite()
        self.readout = Readout(config)
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        """Initialise the table of classes, the only parameter that is not stored in the weights."""
        if isinstance(module, Readout):
            with torch.no_grad():
                module.groups.copy_(group_classes(self.config))

    def sight(self, pixel_values: Tensor) -> Sighting:
        """Return the predictions at each location of the frames.

        Args:
            pixel_values: float [B, 3, image_size, image_size].
        """
        return self.readout(self.features(pixel_values))

    def state(self, sighting: Sighting) -> Tensor:
        """Return the hidden state [B, N, hidden_size] that encodes the predictions."""
        shown = sighting.shown(self.config.doubt)[..., None]
        where = torch.eye(shown.shape[1], dtype=shown.dtype, device=shown.device).expand(len(shown), -1, -1)
        return torch.cat([shown * sighting.objects.exp(), shown * sighting.places.exp(), 1 - shown, where], -1)

    def forward(self, pixel_values: Tensor, **_: Any) -> BaseModelOutputWithPooling:
        """See `sight` and `state`."""
        state = self.state(self.sight(pixel_values))
        return BaseModelOutputWithPooling(last_hidden_state=state, hidden_states=(state,))
