"""Train a small GPT for a fixed budget. This file is the one that may be changed.

The harness calls two functions, each in a process of its own, and scores the logits that the second returns:

    train(tokens, vocab_size, sequence_len, clock, seed) -> torch.nn.Module     the trained model
    load(state, vocab_size, sequence_len) -> callable                           rows of tokens -> logits

Constants carry the names of Karpathy's autoresearch (2026), after whose design this is written, in small.
They are sizes for one CPU core; on a CUDA GPU they are multiplied by GPU_SCALE, which gives the sizes of the
original.
"""

import math

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F

# Model
DEPTH = 4  # number of layers
ASPECT_RATIO = 16  # width = DEPTH * ASPECT_RATIO, rounded up to a multiple of HEAD_DIM
HEAD_DIM = 16  # channels per attention head, even
WINDOW_PATTERN = "SSSL"  # per layer, repeated: L sees the whole context, S half of it; the last layer is always L

# Optimization
TOTAL_BATCH_SIZE = 2**13  # tokens per optimizer step; a multiple of DEVICE_BATCH_SIZE * sequence length
DEVICE_BATCH_SIZE = 32  # rows per forward and backward pass
EMBEDDING_LR = 0.6  # token and value embeddings (AdamW)
UNEMBEDDING_LR = 0.004  # output projection (AdamW)
MATRIX_LR = 0.04  # weight matrices (Muon)
SCALAR_LR = 0.5  # per-layer scalars (AdamW)
WEIGHT_DECAY = 0.2  # of the weight matrices, falling to zero over the run
ADAM_BETAS = (0.8, 0.95)
WARMUP_RATIO = 0.0  # share of the budget over which the learning rates rise
WARMDOWN_RATIO = 0.5  # share of the budget, at its end, over which they fall
FINAL_LR_FRAC = 0.0  # what they fall to, as a share of their peak

CUDA = torch.cuda.is_available()
DEVICE = torch.device("cuda" if CUDA else "cpu")
GPU_SCALE = {"depth": 2, "aspect": 4, "head": 8, "batch": 64, "rows": 4} if CUDA else {}
GATE_CHANNELS = 32
SOFTCAP = 15.0


def scaled(value: int, what: str) -> int:
    """A constant as it is on a CPU, multiplied on a GPU."""
    return value * GPU_SCALE.get(what, 1)


# --- Model --------------------------------------------------------------------------------------------------


def norm(x: torch.Tensor) -> torch.Tensor:
    """RMSNorm without weights (Zhang and Sennrich 2019, arXiv 1910.07467)."""
    return F.rms_norm(x, (x.size(-1),))


def rotary(sequence_len: int, head_dim: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The cosines and sines of rotary position embeddings (Su et al. 2021, arXiv 2104.09864)."""
    frequencies = 10000.0 ** (-torch.arange(0, head_dim, 2).float() / head_dim)
    angles = torch.outer(torch.arange(sequence_len).float(), frequencies)
    return angles.cos(), angles.sin()


def rotate(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """Turn each pair of channels of x (rows, heads, positions, channels) by the angle of its position."""
    a, b = x.chunk(2, dim=-1)
    return torch.cat((a * cos + b * sin, b * cos - a * sin), dim=-1)


class Attention(nn.Module):
    """Causal attention with rotary positions, QK-norm and, where the layer has one, a gated value embedding.

    QK-norm: Henry et al. 2020, arXiv 2010.04245. Value embeddings: Zhou et al. 2024, arXiv 2410.17897, as used in
    Keller Jordan's modded-nanogpt (2024).
    """

    def __init__(self, width: int, head_dim: int, window: int, sequence_len: int, value_gate: bool) -> None:
        super().__init__()
        self.head_dim = head_dim
        self.heads = width // head_dim
        self.q, self.k, self.v, self.out = (nn.Linear(width, width, bias=False) for _ in range(4))
        self.gate = nn.Linear(min(GATE_CHANNELS, width), self.heads, bias=False) if value_gate else None
        distance = torch.arange(sequence_len)[:, None] - torch.arange(sequence_len)[None, :]
        visible = (distance >= 0) & (distance < window)
        self.register_buffer("mask", visible if window < sequence_len else None, persistent=False)

    def forward(
        self, x: torch.Tensor, value: torch.Tensor | None, cos: torch.Tensor, sin: torch.Tensor
    ) -> torch.Tensor:
        """x and the value embedding: (rows, positions, width)."""
        rows, positions, width = x.shape
        shape = (rows, positions, self.heads, self.head_dim)
        q, k, v = self.q(x).view(shape), self.k(x).view(shape), self.v(x).view(shape)
        if self.gate is not None and value is not None:
            gate = 2 * torch.sigmoid(self.gate(x[..., : self.gate.in_features]))
            v = v + gate.unsqueeze(-1) * value.view(shape)
        q, k, v = (part.transpose(1, 2) for part in (q, k, v))
        q, k = norm(rotate(q, cos, sin)), norm(rotate(k, cos, sin))
        mask = None if self.mask is None else self.mask[:positions, :positions]
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=mask is None)
        return self.out(y.transpose(1, 2).reshape(rows, positions, width))


class MLP(nn.Module):
    """Two matrices with squared ReLU between them (So et al. 2021, arXiv 2109.08668)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.up = nn.Linear(width, 4 * width, bias=False)
        self.out = nn.Linear(4 * width, width, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x: (rows, positions, width)."""
        return self.out(F.relu(self.up(x)).square())


class GPT(nn.Module):
    """Tokens (rows, positions) to logits (rows, positions, vocabulary), each from the tokens up to its position."""

    def __init__(self, vocab_size: int, sequence_len: int) -> None:
        super().__init__()
        depth, head_dim = scaled(DEPTH, "depth"), scaled(HEAD_DIM, "head")
        if head_dim % 2:
            raise ValueError(f"HEAD_DIM must be even, not {HEAD_DIM}")
        width = math.ceil(depth * scaled(ASPECT_RATIO, "aspect") / head_dim) * head_dim
        spans = {"L": sequence_len, "S": sequence_len // 2}
        windows = [spans[WINDOW_PATTERN[i % len(WINDOW_PATTERN)]] for i in range(depth - 1)] + [sequence_len]
        with_value = [i % 2 == (depth - 1) % 2 for i in range(depth)]
        self.embed = nn.Embedding(vocab_size, width)
        self.attention = nn.ModuleList(
            Attention(width, head_dim, windows[i], sequence_len, with_value[i]) for i in range(depth)
        )
        self.mlp = nn.ModuleList(MLP(width) for _ in range(depth))
        self.values = nn.ModuleDict({str(i): nn.Embedding(vocab_size, width) for i in range(depth) if with_value[i]})
        self.residual = nn.Parameter(torch.ones(depth))
        self.skip = nn.Parameter(torch.full((depth,), 0.1))
        self.unembed = nn.Linear(width, vocab_size, bias=False)
        cos, sin = rotary(sequence_len, head_dim)
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)

    @torch.no_grad()
    def initialize(self) -> None:
        """Projections back into the residual stream start at zero, so that each layer starts as the identity."""
        bound = math.sqrt(3 / self.embed.embedding_dim)
        nn.init.normal_(self.embed.weight)
        nn.init.normal_(self.unembed.weight, std=0.001)
        for table in self.values.values():
            table.weight.uniform_(-bound, bound)
        for attention, mlp in zip(self.attention, self.mlp, strict=True):
            for matrix in (attention.q, attention.k, attention.v, mlp.up):
                matrix.weight.uniform_(-bound, bound)
            for matrix in (attention.out, mlp.out, attention.gate):
                if matrix is not None:
                    matrix.weight.zero_()

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Logits as float32, softly capped (Gemma Team 2024, arXiv 2408.00118)."""
        start = x = norm(self.embed(tokens))
        for i, (attention, mlp) in enumerate(zip(self.attention, self.mlp, strict=True)):
            x = self.residual[i] * x + self.skip[i] * start
            value = self.values[str(i)](tokens) if str(i) in self.values else None
            x = x + attention(norm(x), value, self.cos, self.sin)
            x = x + mlp(norm(x))
        logits = self.unembed(norm(x)).float()
        return SOFTCAP * torch.tanh(logits / SOFTCAP)


# --- Optimizers: plain classes, because constructing one of torch.optim costs seconds of imports ------------


class AdamW:
    """Adam with bias correction (Kingma and Ba 2014, arXiv 1412.6980); no weight decay is needed here."""

    def __init__(self, params: list[nn.Parameter], lr: float, betas: tuple[float, float]) -> None:
        self.params, self.lr, self.betas = params, lr, betas
        self.first = [torch.zeros_like(p) for p in params]
        self.second = [torch.zeros_like(p) for p in params]
        self.count = 0

    @torch.no_grad()
    def step(self, rate: float) -> None:
        """One update with the learning rate multiplied by `rate`."""
        self.count += 1
        beta1, beta2 = self.betas
        correction1, correction2 = 1 - beta1**self.count, 1 - beta2**self.count
        for p, first, second in zip(self.params, self.first, self.second, strict=True):
            first.lerp_(p.grad, 1 - beta1)
            second.mul_(beta2).addcmul_(p.grad, p.grad, value=1 - beta2)
            root = second.div(correction2).sqrt_().add_(1e-10)
            p.addcdiv_(first, root, value=-self.lr * rate / correction1)


class Muon:
    """Momentum, orthogonalized, for all matrices of a shape in one go (Keller Jordan 2024, "Muon")."""

    def __init__(self, params: list[nn.Parameter], lr: float, weight_decay: float) -> None:
        self.lr, self.weight_decay, self.count = lr, weight_decay, 0
        self.groups = [[p for p in params if p.shape == shape] for shape in sorted({p.shape for p in params})]
        self.momentum = [torch.zeros(len(group), *group[0].shape, device=DEVICE) for group in self.groups]

    @torch.no_grad()
    def step(self, rate: float, decay: float) -> None:
        """One update with the learning rate multiplied by `rate` and the weight decay by `decay`."""
        inertia = 0.85 + 0.10 * min(self.count / 300, 1)
        self.count += 1
        for group, momentum in zip(self.groups, self.momentum, strict=True):
            gradient = torch.stack([p.grad for p in group])
            momentum.lerp_(gradient, 1 - inertia)
            update = orthogonalize(gradient.lerp_(momentum, inertia))
            step_size = self.lr * rate * max(1, update.size(-2) / update.size(-1)) ** 0.5
            for p, change in zip(group, update.unbind(0), strict=True):
                p.mul_(1 - self.lr * rate * self.weight_decay * decay).add_(change, alpha=-step_size)


def orthogonalize(g: torch.Tensor, iterations: int = 5) -> torch.Tensor:
    """The nearest orthogonal matrices, roughly, by a quintic Newton-Schulz iteration; g: (matrices, rows, columns)."""
    x = g.bfloat16() if CUDA else g
    x = x.mT if g.size(-2) > g.size(-1) else x
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(iterations):
        a = x @ x.mT
        x = 3.4445 * x + (-4.7750 * a + 2.0315 * (a @ a)) @ x
    return (x.mT if g.size(-2) > g.size(-1) else x).to(g.dtype)


# --- Training -----------------------------------------------------------------------------------------------


def rate_at(progress: float) -> float:
    """The learning rates' common factor: up over WARMUP_RATIO, flat, down over WARMDOWN_RATIO of the budget."""
    if progress < WARMUP_RATIO:
        return progress / WARMUP_RATIO
    if progress < 1 - WARMDOWN_RATIO:
        return 1.0
    left = (1 - progress) / WARMDOWN_RATIO
    return left + (1 - left) * FINAL_LR_FRAC


def train(tokens, vocab_size: int, sequence_len: int, clock, seed: int) -> nn.Module:
    """Train on `tokens` (uint16, one long text) until `clock`, which also counts the steps, is no longer open."""
    rows, batch = scaled(DEVICE_BATCH_SIZE, "rows"), scaled(TOTAL_BATCH_SIZE, "batch")
    if batch % (rows * sequence_len):
        raise ValueError(
            f"TOTAL_BATCH_SIZE ({batch} tokens) must be a multiple of DEVICE_BATCH_SIZE * sequence length "
            f"({rows} * {sequence_len} = {rows * sequence_len})"
        )
    torch.manual_seed(seed)
    draw = np.random.default_rng(seed)
    passes = batch // (rows * sequence_len)

    def next_rows() -> tuple[torch.Tensor, torch.Tensor]:
        starts = draw.integers(0, len(tokens) - sequence_len, rows)
        drawn = tokens[starts[:, None] + np.arange(sequence_len + 1)].astype(np.int64)
        window = torch.from_numpy(drawn).to(DEVICE)
        return window[:, :-1], window[:, 1:]

    model = GPT(vocab_size, sequence_len).to(DEVICE)
    model.initialize()
    run = torch.compile(model, dynamic=False) if CUDA else model

    def loss_of(inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        with torch.autocast("cuda", torch.bfloat16, enabled=CUDA):
            logits = run(inputs)
        return F.cross_entropy(logits.flatten(0, 1), targets.flatten())

    scale = (model.embed.embedding_dim / 768) ** -0.5  # Adam's learning rates are given for a width of 768
    matrices = [p for p in [*model.attention.parameters(), *model.mlp.parameters()]]
    embeddings = [model.embed.weight, *model.values.parameters()]
    muon = Muon(matrices, MATRIX_LR, WEIGHT_DECAY)
    adams = [
        AdamW(embeddings, EMBEDDING_LR * scale, ADAM_BETAS),
        AdamW([model.unembed.weight], UNEMBEDDING_LR * scale, ADAM_BETAS),
        AdamW([model.residual], SCALAR_LR * 0.01, ADAM_BETAS),
        AdamW([model.skip], SCALAR_LR, (0.96, 0.95)),
    ]
    for _ in range(2):
        with clock.warmup():
            loss_of(*next_rows()).backward()
            model.zero_grad(set_to_none=True)

    while clock.open():
        with clock.step(batch):
            total = 0.0
            for _ in range(passes):
                loss = loss_of(*next_rows()) / passes
                loss.backward()
                total += loss.item()
            if not math.isfinite(total):
                raise FloatingPointError(f"the loss of step {clock.steps} is {total}")
            rate = rate_at(clock.progress)
            muon.step(rate, decay=1 - clock.progress)
            for adam in adams:
                adam.step(rate)
            model.zero_grad(set_to_none=True)
        if clock.steps & (clock.steps - 1) == 0:
            print(f"step {clock.steps:5d}  progress {clock.progress:.3f}  loss {total:.4f}", flush=True)
    return model


# --- Serving: the model as it will be scored ----------------------------------------------------------------


def load(state: dict[str, torch.Tensor], vocab_size: int, sequence_len: int):
    """Rebuild the trained model from its state; the result maps rows of tokens (int64) to logits (float)."""
    model = GPT(vocab_size, sequence_len)
    model.load_state_dict(state)
    model.to(DEVICE).eval()

    def predict(rows: torch.Tensor) -> torch.Tensor:
        with torch.no_grad(), torch.autocast("cuda", torch.bfloat16, enabled=CUDA):
            return model(rows.to(DEVICE)).float().cpu()

    return predict
