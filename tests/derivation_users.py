"""Formulas that users write, whose gradients are derived in tests."""

from fractions import Fraction

from derivation_cases import Case

from closedform.formula.extents import Shape


def _x(*shape: int) -> dict[str, Shape]:
    return {"X": shape}


_TENTH, _HUNDREDTH = Fraction(1, 10), Fraction(1, 100)
USERS: dict[str, Case] = {
    "bilinear": Case(
        "Y[n,q,i,j] = sum[u,v] A[q,u,v] * X[n,q,i+u,j+v] * X[n,q,i,j]", {"u": 2, "v": 3}, _x(2, 2, 4, 5)
    ),
    "a parameter squared and not": Case(
        "Y[n,q] = sum[f] W[q,f]^2 * X[n,f] + sum[f] W[q,f] * X[n,f]", {"q": 3}, _x(2, 4)
    ),
    "a parameter twice": Case("Y[n,o] = sum[h,f] W[o,h] * W[h,f] * X[n,f]", {"o": 3, "h": 3}, _x(2, 3)),
    "squared": Case(
        "Y[n,q,i] = sum[p,u] (A[q,p,u]*X[n,p,s*i+u-t] + B[q,p,u]*X[n,p,s*i+u-t]^2)",
        {"s": 2, "t": 1, "q": 2, "u": 3},
        _x(2, 2, 6),
        vary="stu",
    ),
    "relu in a convolution": Case(
        "Y[n,q,i] = sum[p,u] W[q,p,u] * relu(X[n,p,s*i+u-t])",
        {"s": 2, "t": 1, "q": 2, "u": 3},
        _x(2, 2, 6),
        vary="stu",
    ),
    "relu of a convolution": Case(
        "Y[n,q,i] = relu(b[q] + sum[p,u] W[q,p,u] * X[n,p,s*i+u-t])",
        {"s": 2, "t": 1, "q": 2, "u": 3},
        _x(2, 2, 6),
        vary="stu",
    ),
    "response norm": Case(
        "Y[n,c,i] = X[n,c,i] / sqrt(k + a*sum[m] X[n,c+m-h,i]^2)",
        {"k": 2, "a": _TENTH, "m": 3, "h": 1},
        _x(2, 5, 3),
    ),
    "response norm squared": Case(
        "Y[n,c,i] = X[n,c,i] / (k + a*sum[m] X[n,c+m-h,i]^2)^2",
        {"k": 2, "a": _TENTH, "m": 3, "h": 1},
        _x(2, 4, 2),
    ),
    "batch norm": Case(
        "Y[n,c,i] = g[c]*(X[n,c,i] - 1/(|n|*|i|)*sum[m,j] X[m,c,j]) "
        "/ sqrt(e + 1/(|n|*|i|)*sum[m,j] (X[m,c,j] - 1/(|n|*|i|)*sum[o,k] X[o,c,k])^2) + h[c]",
        {"e": _HUNDREDTH},
        _x(3, 2, 3),
        lambda torch, a: torch.nn.functional.batch_norm(
            a["X"], None, None, a["g"], a["h"], training=True, eps=0.01
        ),
    ),
    "softmax pooling": Case(
        "Y[n,i] = (sum[u] X[n,s*i+u-t]*exp(X[n,s*i+u-t])) / sum[u] exp(X[n,s*i+u-t])",
        {"s": 2, "u": 3, "t": 1},
        _x(2, 7),
        vary="stu",
    ),
    "softmax pooling without overlap": Case(
        "Y[n,i] = (sum[u] X[n,s*i+u]*exp(X[n,s*i+u])) / sum[u] exp(X[n,s*i+u])",
        {"s": 2, "u": 2},
        _x(2, 7),
    ),
    "morphology": Case(
        "Y[n,i,j] = max[u,v] (X[n,s*i+u-t,s*j+v-t] + W[u,v])",
        {"s": 2, "t": 1, "u": 3, "v": 2},
        _x(2, 5, 5),
    ),
    "maximum of products": Case(
        "Y[n,c,i] = max[u] W[c,u] * X[n,c,s*i+u-t]", {"s": 2, "u": 3, "t": 1}, _x(2, 2, 7)
    ),
    "two maxima": Case("Y[n,i] = max[u] X[n,i+u] - max[u] X[n,i+u-t]", {"u": 3, "t": 1}, _x(2, 7)),
    "maximum of maxima": Case("Y[n] = max[i] max[j] X[n,i,j] * W[j]", {}, _x(2, 3, 2)),
    "maximum of sums": Case("Y[n] = max[i] sum[j] X[n,i,j] * W[j]", {}, _x(2, 3, 2)),
    "relu of a maximum": Case("Y[n,c] = relu(max[i] X[n,c,i]) * b[c]", {}, _x(2, 3, 3)),
    "dropout before a maximum": Case("Y[n,i] = M[n,i] * max[u] X[n,2*i+u]", {"u": 2}, _x(2, 6)),
    "diagonal": Case("Y[n,i] = X[n,i,i]", {}, _x(2, 3, 3)),
    "diagonal with weights": Case("Y[n] = sum[i] X[n,i,i] * W[i]", {}, _x(2, 3, 3)),
    "trace": Case("L = sum[i] X[i,i]", {}, _x(3, 3)),
    "depth to space": Case(
        "Y[n,c,|a|*i+a,|b|*j+b] = X[n,|a|*|b|*c+|b|*a+b,i,j]", {"a": 2, "b": 3}, _x(2, 12, 2, 3)
    ),
    "space to depth": Case(
        "Y[n,|a|*|b|*c+|b|*a+b,i,j] = X[n,c,|a|*i+a,|b|*j+b]", {"a": 2, "b": 3}, _x(2, 2, 4, 6)
    ),
    "X times its transpose": Case("Y[n,i,j] = sum[k] X[n,i,k] * X[n,j,k]", {}, _x(2, 3, 4)),
    "X three times": Case("Y[n,i,o] = sum[j,k] X[n,i,k] * X[n,j,k] * X[n,j,o]", {}, _x(1, 3, 2)),
    "attention": Case(
        "Y[n,i,o] = sum[j] exp(sum[k] X[n,i,k]*X[n,j,k]) * X[n,j,o] / sum[l] exp(sum[k] X[n,i,k]*X[n,l,k])",
        {},
        _x(1, 3, 2),
    ),
    "transposed convolution": Case(
        "Y[n,q,a,b] = sum[p,u,v] W[p,q,u,v] * X[n,p,(a+t-u)/s,(b+t-v)/s]",
        {"s": 2, "t": 1, "q": 2, "u": 3, "v": 3, "a": 5, "b": 7},
        _x(1, 2, 3, 4),
        lambda torch, a: torch.nn.functional.conv_transpose2d(a["X"], a["W"], stride=2, padding=1),
    ),
    "division under a window": Case(
        "Y[n,i] = sum[u] X[n,s*i+u-t] / D[n,s*i+u-t]",
        {"s": 2, "t": 1, "u": 3},
        {"X": (2, 6), "D": (2, 6)},
        positive="D",
    ),
    "division of a window": Case(
        "Y[n,i] = (sum[u] X[n,s*i+u-t]) / D[n,i]",
        {"s": 2, "t": 1, "u": 3},
        _x(2, 6),
        positive="D",
        vary="stu",
    ),
    "how many are inside": Case(
        "Y[n,i] = sum[u] X[n,i] * D[n,i+u-t] / D[n,i+u-t]",
        {"u": 3, "t": 1},
        {"X": (2, 4), "D": (2, 4)},
        positive="D",
    ),
    "ratio of neighbours": Case("Y[n,i] = X[n,i] / X[n,i+1]", {}, _x(2, 4), positive="X"),
    "windows that nothing guards": Case("L = sum[i,u] X[2*i+u]", {"i": 3, "u": 3}, _x(9)),
    "steps that nothing guards": Case("L = sum[i,u] X[2*i+3*u]^2", {"i": 3, "u": 3}, _x(11)),
    "squares that nothing guards": Case(
        "L = sum[i,u] W[u] * X[s*i+u-t]^2", {"i": 4, "u": 3, "s": 3, "t": 2}, _x(8)
    ),
    "a flattened convolution": Case(
        "Y[n,|i|*|j|*q+|j|*i+j] = sum[p,u,v] W[q,p,u,v] * X[n,p,s*i+u-t,s*j+v-t]",
        {"s": 2, "t": 1, "q": 2, "u": 3, "v": 2},
        _x(1, 2, 4, 3),
    ),
    "a flattened pool": Case("Y[n,|i|*c+i] = sum[u] X[n,c,s*i+u-t]", {"s": 2, "t": 1, "u": 3}, _x(2, 2, 5)),
    "true convolution": Case(
        "Y[n,i] = sum[u] W[u] * X[n,s*i-d*u+t]", {"u": 3, "s": 2, "d": 2, "t": 3, "i": 4}, _x(2, 6)
    ),
    "true convolution at its edge": Case("Y[n,i] = sum[u] W[u] * X[n,i-u]", {"u": 3}, _x(2, 6)),
    "both ways": Case("Y[n,i] = sum[u] X[n,i+u] * X[n,i-u]", {"u": 2, "i": 4}, _x(2, 6)),
    "neighbours": Case("Y[n,i] = X[n,i+1] - X[n,i]", {}, _x(2, 6)),
    "every other": Case("Y[n,i] = X[n,2*i+1] * W[i]", {}, _x(2, 7)),
    "single entries": Case("Y[n] = X[n,0] * X[n,2]", {}, _x(2, 4)),
    "entries of a parameter": Case("Y[n,i] = W[0]*X[n,i] + W[1]", {}, {"X": (2, 3), "W": (2,)}),
    "backwards": Case("Y[n,i] = X[n,|X.1|-1-i] * W[i]", {"i": 5}, _x(2, 5)),
    "enlarged": Case("Y[n,c,a] = X[n,c,a//k]", {"k": 2, "a": 7}, _x(2, 2, 4)),
    "convolution of the enlarged": Case(
        "Y[n,a] = sum[u] W[u] * X[n,(a+u-t)//k]", {"k": 2, "a": 7, "u": 3, "t": 1}, _x(2, 4)
    ),
    "enlarged and flattened": Case("Y[n,|a|*c+a] = X[n,c,a//k]", {"k": 2, "a": 5}, _x(2, 2, 3)),
    "tiled": Case("Y[n,a] = X[n,a % k]", {"k": 3, "a": 7}, _x(2, 3)),
    "the same term over and over": Case("Y[n,k] = sum[i] (X[n,k] + W[i,k])", {"i": 3}, _x(2, 3)),
    "powers of sums": Case("Y[n] = (sum[i] X[n,i])^2 * (sum[i] W[i]*X[n,i])", {}, _x(2, 4)),
    "powers in powers": Case("Y[n] = (sum[i] X[n,i] * (sum[j] X[n,j]*W[i,j])^2)^2", {}, _x(2, 3)),
    "square of a window": Case("Y[n,i] = (sum[u] W[u]*X[n,i+u-t])^2", {"u": 3, "t": 1}, _x(2, 5)),
    "logarithm of a sum": Case("Y[n] = log(sum[k] exp(X[n,k]))", {}, _x(2, 4)),
    "stable softmax": Case(
        "Y[n,k] = exp(X[n,k] - max[m] X[n,m]) / sum[j] exp(X[n,j] - max[m] X[n,m])",
        {},
        _x(2, 4),
        lambda torch, a: torch.softmax(a["X"], 1),
    ),
    "softmax with a temperature of 1": Case(
        "Y[n,k] = exp(t*X[n,k]) / sum[m] exp(t*X[n,m])", {"t": 1}, _x(2, 4)
    ),
    "gate": Case("Y[n,c,i] = X[n,c,i] * sigmoid(sum[a] X[n,c,a] * 1/|a|)", {}, _x(2, 2, 3)),
    "swish": Case("Y[n,f] = X[n,f] * sigmoid(X[n,f])", {}, _x(2, 4)),
    "unit length": Case("Y[n,i] = X[n,i] / sqrt(sum[j] X[n,j]^2)", {}, _x(2, 4)),
    "variance": Case("Y[n] = 1/|i| * sum[i] (X[n,i] - 1/|i|*sum[j] X[n,j])^2", {}, _x(2, 4)),
    "many functions": Case("Y[n,f] = abs(X[n,f])*sqrt(1+X[n,f]^2) + softplus(X[n,f])", {}, _x(2, 4)),
    "bracket of values": Case("Y[n,i] = [X[n,i] > 0] * X[n,i]", {}, _x(2, 4)),
    "causal": Case("Y[n,i] = sum[j] [j <= i] * X[n,j] * W[i,j]", {"i": 4}, _x(2, 4)),
    "a tensor called dY": Case("Y[n,i] = dY[n,i] * X[n,i]", {}, {"X": (2, 4), "dY": (2, 4)}),
    "a tensor called dX": Case("Y[n,i] = dX[n,i] * X[n,i]^2", {}, {"X": (2, 4), "dX": (2, 4)}),
    "names that definitions like": Case(
        "Y[n,i] = M[n] * max[u] R[u] * X[n,2*i+u] / S[n,i]", {"u": 3}, _x(2, 7), positive="S"
    ),
}
