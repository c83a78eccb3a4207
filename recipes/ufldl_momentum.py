"""UFLDL's exercise with the momentum of its own code: 0.5 in the first 20 steps, 0.95 from then on.

    python recipes/ufldl_momentum.py --data DIR [--filters 20] [--seeds 3]

A run file has one momentum for the whole training, and in ufldl-mnist.toml it is 0.95 from the first step:
the first steps overshoot then, and three epochs do not make good for it.  Here 20 steps with 0.5 come first,
then the three epochs of that file, in which the momentum gathers anew.  The starter code has 20 filters.
"""

from __future__ import annotations

import argparse
import statistics
from pathlib import Path

import closedform as cf

HERE = Path(__file__).parent
FIRST_STEPS, FIRST_MOMENTUM = 20, 0.5


def network(filters: int, seed: int) -> cf.Network:
    """The network of the exercise."""
    layers = [cf.Conv2d(filters, 9), cf.Sigmoid(), cf.AvgPool2d(2), cf.Flatten(), cf.Dense(10)]
    return cf.Network(layers, (1, 28, 28), loss=cf.SoftmaxCrossEntropy(), seed=seed)


def trained(data: cf.DataSet, filters: int, seed: int, epochs: int = 3) -> float:
    """The accuracy on the test set."""
    net = network(filters, seed)
    net.fit(data.x_train, data.y_train, 1, 256, cf.SGD(0.1, FIRST_MOMENTUM), verbose=0, steps=FIRST_STEPS)
    halved = cf.StepDecay(factor=0.5, epochs=1)
    net.fit(data.x_train, data.y_train, epochs, 256, cf.SGD(0.1, 0.95), verbose=0, schedule=halved)
    return net.evaluate(data.x_test, data.y_test)["accuracy"]


def main() -> None:
    """Train with each seed and print the accuracies."""
    layout = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=layout)
    parser.add_argument(
        "--data", type=Path, default=HERE / "data/mnist", metavar="DIR", help="MNIST's folder"
    )
    parser.add_argument("--filters", type=int, default=20)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    data = cf.load_data(options.data)
    accuracies = [trained(data, options.filters, seed) for seed in range(options.seeds)]
    shown = " ".join(f"{accuracy:.4f}" for accuracy in accuracies)
    print(f"{options.filters} filters: {shown}; median {statistics.median(accuracies):.4f}")


if __name__ == "__main__":
    main()
