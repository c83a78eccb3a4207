"""One update of the parameters as code, the same arithmetic as in `closedform.training.optimisers`.

Every operation is rounded by itself, as NumPy does, so that both engines update alike.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum

from closedform.engine.context import SCALARS, Word
from closedform.engine.ir import FLOAT, I64, PTR, Builder, Module, Value, i64, number, vector


class Rule(IntEnum):
    """Which update is done; NONE leaves the gradients as the result."""

    NONE = 0
    SGD = 1
    MOMENTUM = 2
    NESTEROV = 3
    ADAM = 4
    ADAMW = 5


class Scalar(IntEnum):
    """What an update gets besides the arrays, float32 each, for every step."""

    RATE = 0  # negative
    DECAY = 1
    MOMENTUM = 2
    KEEP = 3
    MIX = 4
    ROOT = 5
    EPS = 6
    FIRST = 7


def emit_update(module: Module, word: Callable[..., Value]) -> None:
    """Write ``update(context, low, high, step)``: parameters low to high, from their gradients.

    Parameters
    ----------
    module
        Where it goes.
    word
        Gives a word of the context: builder, context, word.
    """
    build = Builder(module, "update", [(PTR, "context"), (I64, "low"), (I64, "high"), (I64, "step")])
    context, low, high, step = build.parameters
    rule = word(build, context, Word.OPTIMISER)

    def pointer(which: Word) -> Value:
        return build.convert("inttoptr", word(build, context, which), PTR)

    scalars = build.moved(pointer(Word.SCALARS), build.imul(step, i64(SCALARS)))
    arrays = [
        pointer(which) for which in (Word.PARAMETERS, Word.GRADIENTS, Word.FIRST_MOMENT, Word.SECOND_MOMENT)
    ]
    lanes = build.lanes
    count = build.isub(high, low)
    whole = build.iadd(low, build.imul(build.idiv(count, i64(lanes)), i64(lanes)))
    for each in Rule:
        if each is Rule.NONE:
            continue

        def run(each: Rule = each) -> None:
            values = [build.load(build.moved(scalars, int(which)), FLOAT) for which in Scalar]

            def over(kind: str, width: int) -> Callable[[Value], None]:
                wide = [build.splat(value, width) for value in values]

                def body(i: Value) -> None:
                    _Update(build, kind, wide, [build.moved(array, i) for array in arrays]).write(each)

                return body

            build.loop(low, whole, over(vector(FLOAT, lanes), lanes), lanes)
            if lanes > 1:
                build.loop(whole, high, over(FLOAT, 1))

        build.when(build.icompare("eq", rule, i64(int(each))), run)
    build.finish()


class _Update:
    def __init__(self, build: Builder, kind: str, scalars: list[Value], places: list[Value]):
        self.build, self.kind, self.scalars, self.places = build, kind, scalars, places

    def scalar(self, which: Scalar) -> Value:
        return self.scalars[which]

    def write(self, rule: Rule) -> None:
        build = self.build
        parameter, gradient = (build.load(place, self.kind) for place in self.places[:2])
        if rule is Rule.ADAMW:
            parameter = build.fmul(parameter, self.scalar(Scalar.DECAY))
        else:
            # weight decay of 0 leaves the gradient as it is, be the parameter infinite
            decayed = build.fadd(gradient, build.fmul(parameter, self.scalar(Scalar.DECAY)))
            is_off = build.compare("oeq", self.scalar(Scalar.DECAY), number(0.0, self.kind))
            gradient = build.select(is_off, gradient, decayed)
        if rule in (Rule.ADAM, Rule.ADAMW):
            moved = self.adam(gradient)
        else:
            moved = build.fmul(self.direction(rule, gradient), self.scalar(Scalar.RATE))
        build.store(build.fadd(parameter, moved), self.places[0])

    def direction(self, rule: Rule, gradient: Value) -> Value:
        build = self.build
        if rule is Rule.SGD:
            return gradient
        old = build.load(self.places[2], self.kind)
        kept = build.fadd(build.fmul(old, self.scalar(Scalar.MOMENTUM)), gradient)
        is_first = build.compare("une", self.scalar(Scalar.FIRST), number(0.0, self.kind))
        buffer = build.select(is_first, gradient, kept)
        build.store(buffer, self.places[2])
        if rule is Rule.NESTEROV:
            return build.fadd(gradient, build.fmul(buffer, self.scalar(Scalar.MOMENTUM)))
        return buffer

    def adam(self, gradient: Value) -> Value:
        build = self.build
        mean, square = (build.load(place, self.kind) for place in self.places[2:])
        difference = build.fsub(gradient, mean)
        near = build.fadd(mean, build.fmul(difference, self.scalar(Scalar.MOMENTUM)))
        far = build.fsub(gradient, build.fmul(difference, self.scalar(Scalar.FIRST)))
        half = build.compare("olt", self.scalar(Scalar.MOMENTUM), number(0.5, self.kind))
        mean = build.select(half, near, far)
        build.store(mean, self.places[2])
        added = build.fmul(build.fmul(gradient, self.scalar(Scalar.MIX)), gradient)
        square = build.fadd(build.fmul(square, self.scalar(Scalar.KEEP)), added)
        build.store(square, self.places[3])
        root = build.fdiv(build.intrinsic("sqrt", square), self.scalar(Scalar.ROOT))
        below = build.fadd(root, self.scalar(Scalar.EPS))
        return build.fdiv(build.fmul(mean, self.scalar(Scalar.RATE)), below)
