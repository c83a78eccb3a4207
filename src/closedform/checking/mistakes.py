"""The mistakes that checking can name, each with one sentence: what was done, and what is right.

The order is the order of preference: where two mistakes give the same values, they are one mistake, and
the earlier name is used.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True)
class Mistake:
    """A mistake that has a name.

    Attributes
    ----------
    id
        The name, ``"kernel-not-rotated"``.
    description
        One sentence: what was done, and what is right.
    """

    id: str
    description: str


_SENTENCES = {
    "kernel-not-rotated": "The kernel was used as it stands; the gradient in the input needs it rotated by "
    "180°.",
    "convolution-flipped": "The kernel was turned around before it was laid on the input; convolution "
    "here is cross-correlation, which does not turn it.",
    "kernel-rotated": "The result was rotated by 180°; the gradient in the kernel is not rotated.",
    "zeros-not-inserted": "The stride's zeros were not inserted; between neighbouring entries of dY stand "
    "s - 1 zeros.",
    "stride-ignored": "The windows were moved by one entry; they move by the stride.",
    "padding-not-cropped": "The padding was not cropped; the border that it added is no part of the gradient "
    "in the input.",
    "padding-cropped-twice": "The padding was cropped twice; it is cropped once on every side.",
    "padding-once-in-size": "The padding was counted once in a size; it stands on both sides and counts "
    "twice.",
    "padding-forgotten": "The input was used without its padding; the windows begin t entries before it.",
    "border-missing": "dY was used without its border; the full convolution needs k - 1 zeros on every side.",
    "dilation-ignored": "The entries of a window were taken side by side; they are d apart.",
    "channels-swapped": "Input and output channels of the weights were swapped; the output channel comes "
    "first.",
    "transposed-operand": "An operand was transposed, or one that must be transposed was not.",
    "channels-summed": "Channels were added up that must stay apart.",
    "channels-not-summed": "Channels were not added up; every channel contributes, and the sum runs over "
    "all.",
    "bias-not-summed-over-positions": "The gradient in the bias was not added up over positions; one bias "
    "serves every position.",
    "bias-not-summed-over-batch": "The gradient in the bias was not added up over the batch; one bias serves "
    "every example.",
    "bias-summed-over-positions": "The gradient in the bias was added up over positions; here every position "
    "has a bias of its own.",
    "weights-not-summed-over-positions": "The gradient in the weights was not added up over positions; the "
    "same weights serve every position.",
    "weights-not-summed-over-batch": "The gradient in the weights was not added up over the batch; the same "
    "weights serve every example.",
    "weights-summed-over-positions": "The gradient in the weights was added up over positions; here every "
    "position has weights of its own.",
    "averaged-over-positions": "The mean over positions was taken; the gradient is their sum.",
    "pool-factor-missing": "The factor of the mean is missing; each of k² entries counts 1/k².",
    "pool-factor-wrong": "The factor of the mean is wrong; a window of k×k entries has 1/k², not 1/k.",
    "mean-missing": "The factor 1/N is missing; the loss is the mean over the batch.",
    "mean-doubled": "The factor 1/N stands there once too often; it belongs to the loss and is in dY "
    "already.",
    "power-factor-missing": "The exponent was not brought down as a factor; the derivative of x² is 2·x.",
    "max-spread": "The gradient was given to every entry of the window; only the largest entry gets it.",
    "max-wrong-entry": "The gradient was given to another entry of the window than the largest.",
    "relu-mask-missing": "The mask of ReLU is missing; no gradient passes where the input is not positive.",
    "relu-mask-wrong-array": "The mask of ReLU was taken from the wrong array; it is 1 where the layer's "
    "input is positive.",
    "relu-mask-inverted": "The mask of ReLU was taken the wrong way round; it is 1 where the input is "
    "positive.",
    "leak-missing": "The slope on the negative side was left out; a leaky ReLU passes k times the gradient "
    "there.",
    "labels-not-subtracted": "The labels were not subtracted; the gradient is probabilities minus labels.",
    "sigmoid-derivative-missing": "The derivative of the sigmoid is missing; it is a·(1 - a).",
    "tanh-derivative-missing": "The derivative of tanh is missing; it is 1 - a².",
    "softmax-derivative-missing": "The derivative of softmax is missing; the gradient does not pass "
    "unchanged.",
    "softmax-jacobian-diagonal": "Only the diagonal of softmax's Jacobian was used; every output depends on "
    "every input.",
    "softmax-sum-missing": "The sum in softmax's gradient is missing; it is Y·(dY - sum of dY·Y).",
    "activation-derivative-extra": "The activation's derivative was multiplied in once more; with the fused "
    "loss it has cancelled.",
    "activation-instead-of-derivative": "The activation's value was used where its derivative belongs.",
    "derivative-at-wrong-array": "The activation's derivative was taken at the wrong array.",
    "matrix-product": "A matrix product was used; the operands are multiplied entry by entry.",
    "elementwise-product": "The operands were multiplied entry by entry; a matrix product is needed.",
    "bias-missing": "The bias was not added.",
    "flatten-order": "The entries were put in a row in another order; the last axis moves fastest.",
    "sign": "A sign is turned around.",
    "off-by-one": "A subscript is off by one.",
    "updated-weights": "The weights after the update were used; all gradients are taken at the weights "
    "before it.",
}

MISTAKES: Mapping[str, Mistake] = MappingProxyType(
    {name: Mistake(name, sentence) for name, sentence in _SENTENCES.items()}
)
_RANK = {name: place for place, name in enumerate(_SENTENCES)}


def rank(mistake: str) -> int:
    """The place of a mistake in the catalogue: the earlier is preferred."""
    return _RANK[mistake]


def preferred(mistakes: Iterable[str]) -> list[str]:
    """The mistakes without repetition, the preferred first."""
    return sorted(set(mistakes), key=rank)
