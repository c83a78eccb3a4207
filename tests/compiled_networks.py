"""Networks that compiled code is tried on."""

from pathlib import Path

import closedform as cf
from closedform.architecture import Architecture
from closedform.files import read_toml

_NETS = Path(__file__).parents[1] / "benchmarks" / "nets"

# channels, sizes and strides that leave rests, with dropout before and behind flattening
_AWKWARD = Architecture(
    [
        cf.Conv2d(5, 3, padding=1),
        cf.ReLU(),
        cf.Dropout(0.25),
        cf.Conv2d(17, (3, 2), stride=2, padding=1),
        cf.Tanh(),
        cf.MaxPool2d(3, stride=1, padding=1),
        cf.DepthwiseConv2d(2),
        cf.Flatten(),
        cf.Dropout(0.5),
        cf.Dense(67),
        cf.LeakyReLU(0.1),
        cf.Dense(3),
    ],
    (3, 11, 9),
    cf.SoftmaxCrossEntropy(),
)
# what the others have not: averages, sums over channels, filters of their own at each place
_POOLED = Architecture(
    [
        cf.ChannelSummedConv2d(9, 3, padding=1),
        cf.AvgPool2d(2, stride=1, padding=1, count_include_pad=False),
        cf.LocallyConnected2d(7, 3, stride=2),
        cf.Sigmoid(),
        cf.GlobalAvgPool2d(),
        cf.Softmax(),
    ],
    (2, 9, 7),
    cf.MeanSquaredError(),
)
# every image is seen by all others
MIXED = Architecture(
    [
        cf.Conv2d(5, 3, padding=1, stride=2),
        cf.Formula(
            "Y[n,c,i,j] = g[c] * (X[n,c,i,j] - 1/(|n|*|i|*|j|) * sum[m,a,b] X[m,c,a,b])"
            " / sqrt(1/8 + 1/(|n|*|i|*|j|) * sum[m,a,b] X[m,c,a,b]^2) + h[c]",
            initial={"g": "ones"},
        ),
        cf.ReLU(),
        cf.Dropout(0.3),
        cf.Flatten(),
        cf.Dense(3),
    ],
    (3, 7, 9),
    cf.SoftmaxCrossEntropy(),
)
OWN = {"awkward": _AWKWARD, "pooled": _POOLED}
BENCHMARKED = sorted(path.stem for path in _NETS.glob("*.toml"))


def network(name: str) -> Architecture:
    """One of `OWN` or `BENCHMARKED`."""
    return OWN[name] if name in OWN else read_toml(_NETS / f"{name}.toml")
