"""Static text of the model card: description, training data and training procedure."""

from typing import Final

STORY: Final = """---
license: mit
library_name: transformers
pipeline_tag: video-text-to-text
---

# HERMES pocket

A video LLM that is small enough to train and run live on two CPU cores. It uses the LLaVA-OneVision classes of
transformers: a SigLIP tower of 4 layers, a projector and a Qwen2 decoder of 10 layers (RoPE θ 10⁶), with 2.3 million
parameters in float16. A frame has 128 x 128 pixels and becomes 16 tokens. The model's purpose is to show the memory of a
streaming video LLM without a GPU.

```python
from transformers import AutoTokenizer, LlavaOnevisionForConditionalGeneration
model = LlavaOnevisionForConditionalGeneration.from_pretrained("assets/pocket")
tokenizer = AutoTokenizer.from_pretrained("assets/pocket")
```

## What it knows
The model knows one world: a single coloured card in view, or none. There are eight colours (red, orange, yellow, green,
blue, purple, white, black), five shapes (circle, square, triangle, star, cross) and nine places (top left … bottom
right). It answers what is shown now, what was shown just before or first, whether a card was shown, what came after a
card, the colour, shape or place of a card, and how many cards were shown. To any other question it answers “I only know
coloured cards.”, which is trained and not matched by rules. Its vocabulary has about 220 words; all other words are one
unknown token.

It was not trained on webcam images, text, or two cards at once, and on only 24 photographs, as backgrounds. Questions about
time (“when was …”) and lists of everything shown were trained but are unreliable, so they are not among the suggested
questions. The tables below report how reliable counts are. On cluttered photographs the model sometimes sees a card where
there is none.

## How it was trained
`python -m hermes train-pocket` trains the model from random weights on rendered frames. Cards vary in size, rotation, tilt
and light, and can be covered by hands and other objects. Frames have camera shake, lens blur, sensor noise and white
balance, and some are squeezed from 4:3 or 16:9. Backgrounds are procedural (textures, rooms, landscapes, blurred clutter,
people, and images with the statistics of photographs: overlapping objects of all sizes, coloured noise, shelves,
scribbles); two in five are made from the 24 freely licensed photographs in `assets/photographs/train`, which are cropped,
rotated, recoloured and overlaid in irregular pieces. Every stage was seeded.

1. **Tower and projector**: frames of random cards. Each token that a card covers learns a fixed code of colour + shape +
   place + token index (mean squared error and classification loss). Early layers also learn where the card is.
2. **Decoder**, in parallel, on these codes with noise instead of the tower's output: 5 of its 10 layers, streams of 8 to
   64 frames, packed so that each question sees only frames up to its own time. Auxiliary losses: frame tokens learn to
   name the previous card and to detect where a card begins, and long-term layers learn to put half of their attention on
   the cards that a question is about (on all cards for generic prompts such as “What was shown so far?”).
3. The lookups of the long-term layers are **assigned separate directions**. Before this step, colours used all rotary
   pairs that are slow enough for thousands of tokens, and shapes and places could not be looked up.
4. **Decoder on the tower's own features**, then **all 10 layers**: up to 128 frames with all tokens and 256 frames with
   dropped tokens, up to 8,192 positions. In most streams, layer 0 sees only the newest frames, layers 1 to 6 see windows
   and some surviving tokens, and layers 7 to 9 see everything except randomly evicted tokens. In the others, all layers
   see everything.
5. **Long and crowded streams, and counting**, with a learning rate that decays to zero: up to 160 frames with (nearly) all
   tokens, up to forty cards per stream. Words of counting questions learn to attend equally to every card that counts, on
   the frame where it begins: with n cards, to n / (n + 8) in total. Words in layers 0 to 2 are rewarded for attending to
   the newest frames.

The shipped weights were trained on two shared cores in three sessions. The first took about 105 minutes and ran stages 1
to 4 on calm backgrounds only, while the recipe was still being improved: the weight of the shape loss was increased after
3,000 steps of stage 1; in stage 2 the attention loss was added after 1,500 steps and streams of few colours after 2,000; in
stage 4 streams that all layers see in full were added after 750 steps, and its first part used features of the unfinished
tower. The second session continued with `train-pocket --from`: the tower for 52 minutes with photographic backgrounds and,
in parallel, the decoder on long streams for 32 minutes, then the decoder on the new tower's features for 58 minutes. The
third continued with `train-pocket --from assets/pocket --minutes 76 --seed 1`: the tower for 76 minutes with photographs
and, in parallel, the decoder with more counting, for 41 minutes on features of the old tower and for 35 on those of the
tower at that time. The command without `--from` uses the final recipe from the start, so it repeats the recipe but does not
reproduce these weights. The logs are the `training_*.jsonl` files (those of the second session are in the history of the
repository). They list accuracy and guess level, separated by a slash, over the last 50 training batches with random
eviction.

What was not reached: exact counts improved from 40 to 60 to 69 % with each hour of decoder training, and were still
improving. At 256 frames the full cache holds twice as many tokens as in training; longer training streams cost four times as
much per step. The 24 photographs reduced the loss of accuracy on unseen ones from 31 to 12 points; hundreds would be the
next step.
"""
