"""What names say: which way a metric is better, and what kind of number a parameter is."""

import re


def several(text: str) -> frozenset[str]:
    """The words of a text."""
    return frozenset(text.split())


LESS = several(
    "loss error err errors bpb bpc perplexity ppl latency seconds secs sec time duration elapsed runtime ms msec "
    "us millis milliseconds microseconds nanoseconds minutes mse rmse mae mape nll cost regret wer cer fid "
    "entropy distance gap overhead memory bytes energy misses failures failed makespan brier penalty violations "
    "residual crossentropy logloss divergence kl waste wall"
)
MORE = several(
    "acc accuracy score f1 reward rewards return returns throughput auc auroc auprc ap map precision recall bleu "
    "rouge r2 iou miou dice mrr ndcg hits correct wins winrate fps qps rps speed speedup likelihood elbo sharpe "
    "profit psnr ssim snr gain coverage passed solved fitness utility elo top1 top5 quality tps"
)
HELD_OUT = several("val valid validation test eval dev heldout holdout")
LAST = several("final best overall total mean avg average")
TRAINING = several("train training batch")
PROGRESS = several(
    "epoch epochs step steps iter iteration iterations lr rate seed params parameters num n size batch memory "
    "bytes time elapsed seconds secs sec eta ms wall runtime duration tokens samples peak version minutes gb mb "
    "mfu std stderr stdev min max"
)


def split(name: str) -> list[str]:
    """The words of a name in lower case: `valLoss/top1` is val, loss, top1."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name)
    return [word for word in re.split(r"[^a-z0-9]+", spaced.lower()) if word]


def goal(name: str) -> str | None:
    """`minimize` or `maximize` as the name of a metric says, None where it says nothing or both."""
    parts = split(name)
    joined = "_".join(parts)
    if re.search(r"(_|^)per_(s|sec|second|ms|minute|min|hour)$", joined) or re.search(r"[a-z]/s(ec|econd)?$", name):
        return "maximize"
    if ("neg" in parts or "negative" in parts) and "likelihood" in parts:
        return "minimize"
    if "brier" in parts or joined.endswith(("error_rate", "cross_entropy")):
        return "minimize"
    last = next((word for word in reversed(parts) if word in LESS or word in MORE), None)
    if last is None:
        return None
    both = any(word in LESS for word in parts) and any(word in MORE for word in parts)
    if both and parts[-1] not in ("loss", "error"):
        return None
    return "minimize" if last in LESS else "maximize"


def worth(name: str) -> int:
    """How likely a number of this name is what somebody wants to improve; above 0 is likely."""
    parts = set(split(name))
    known = goal(name) is not None
    core = parts & (LESS | MORE) - PROGRESS
    value = 4 if known and (core or "per" in parts) else 1 if known else 0
    value += 2 * bool(parts & HELD_OUT) + bool(parts & LAST) - 2 * bool(parts & TRAINING)
    return value - 2 * bool(parts & PROGRESS and not core)
