"""Static text of the model card: description, training data and training procedure."""

from typing import Final

STORY: Final = """---
license: mit
library_name: transformers
pipeline_tag: video-text-to-text
---

# HERMES pocket

A video LLM small enough to train and run live on two CPU cores: the classes of LLaVA-OneVision as transformers has
them (SigLIP tower of 4 layers, projector, Qwen2 decoder of 10 layers, RoPE θ 10⁶), 2.3 million parameters, float16.
A frame is 128 x 128 pixels and becomes 16 tokens. It exists so that people can watch the memory of a streaming video
LLM without a GPU.

```python
from transformers import AutoTokenizer, LlavaOnevisionForConditionalGeneration
model = LlavaOnevisionForConditionalGeneration.from_pretrained("assets/pocket")
tokenizer = AutoTokenizer.from_pretrained("assets/pocket")
```

## What it knows
One world: a single coloured card in view, or none. Eight colours (red, orange, yellow, green, blue, purple, white,
black), five shapes (circle, square, triangle, star, cross), nine places (top left … bottom right). It answers what
is shown now, what was shown just before or first, whether a card was there, what came after one, what colour or
shape one had, where it was, and how many there were. Asked about anything else it says “I only know coloured
cards.”: that is trained, not matched by rules. It knows a vocabulary of some 220 words; all others are one unknown
word to it.

It has never seen a real webcam, two cards at once, or text, and of photographs only two dozen, as backgrounds. Words of
time (“when was …”) and lists of everything shown were trained but are not reliable, so they are not among the suggested
questions; how far counts can be trusted is in the tables. On cluttered photographs it sometimes sees a card where there
is none.

## How it was trained
`python -m hermes train-pocket`, from random weights, on rendered frames: cards of varied size, turn, tilt and light, hands
and other things that cover them, camera shake, lens blur, sensor noise, white balance, and frames squeezed from 4:3 and
16:9, before procedural backgrounds (textures, rooms, landscapes, blurred clutter, people, and ones with the statistics of
photographs: things before things at all scales, coloured noise, shelves, scribbles) and, two in five, before backgrounds
made of the 24 freely licensed photographs in `assets/photographs/train`: cut, turned, recoloured, and laid over each other
in irregular pieces. Every stage was seeded.

1. **Tower and projector**: frames of random cards; each token that a card covers learns a fixed code of colour +
   shape + place + token index (mean squared error and class scores), early layers also where the card is.
2. **Decoder**, meanwhile, on those codes with noise in place of the tower: 5 of its 10 layers, streams of 8 to 64
   frames, packed so that each question sees only frames up to its own time. Beside the loss on answers: frame tokens
   learn to name the card before theirs and to know where a card begins, and long-term layers learn to put half of
   their attention on the cards that a question is about (on all cards for generic prompts such as “What was shown so
   far?”).
3. The look-ups of the long-term layers are **sorted**: colours had filled all rotary pairs slow enough to hold over
   thousands of tokens, and shapes and places could not be looked up at all. Each now has directions of its own.
4. **Decoder on the tower's own features**, then **all 10 layers**, up to 128 frames at full density and 256 frames
   with tokens dropped, up to 8,192 positions. In most streams layer 0 sees only the newest frames, layers 1 to 6
   windows with survivors, layers 7 to 9 everything but randomly evicted tokens; in the others all layers see
   everything.
5. **Long and crowded streams, and counting**, the rate falling to zero: up to 160 frames at (nearly) full density, up
   to forty cards a stream. Words of counting questions learn to give every card that counts the same attention, on the
   frame where it begins: with n cards, n / (n + 8) of it. Words in layers 0 to 2 are rewarded for looking at the
   newest frames.

The shipped weights were trained on two shared cores in three goes. The first, about 105 minutes, ran stages 1 to 4 while
the recipe was still being improved (shape scores weighed more after 3,000 steps of stage 1; the attention loss joined
stage 2 after 1,500 steps, streams of few colours after 2,000; in stage 4 streams seen whole joined after 750 steps,
and its first part used features of the unfinished tower), on calm backgrounds only. The second, `train-pocket --from` with
the first's weights: the tower for 52 minutes more, with the photographic backgrounds, beside it the decoder on long
streams for 32 minutes, then the decoder on the new tower's features for 58 minutes. The third,
`train-pocket --from assets/pocket --minutes 76 --seed 1` with the second's: the tower for 76 minutes, with photographs;
beside it the decoder, 41 minutes on the features of the tower as it was and 35 on those of the tower as it was by then,
with more counting than before. The command without `--from` has the final recipe from its first step, so it repeats the
recipe, not these exact weights. The logs are the `training_*.jsonl` files (those of the second go are in the history of
the repository); accuracies in them stand before a slash, guess levels behind it, over the last 50 training batches under
random eviction.

What it did not reach, and what it would take: exact counts rose from 40 to 60 to 69 % with each hour of the decoder's
training and had not levelled off. At 256 frames the full cache holds twice what training shows at full density; longer
training streams cost four times as much a step. Twenty-four photographs brought the loss on unseen ones from 31 to 12
points; hundreds would be the next step.
"""
