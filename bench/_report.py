"""Tables and the roofline plot of ``python -m bench kernels``."""
from __future__ import annotations

from typing import Any

from ._measure import human

__all__ = ["details", "line", "plot", "summary"]

PEERS = ("numpy", "cupy", "cublaslt best", "torch", "torch fused", "torch.compile", "liger", "jax", "numpy.random")


def line(case: dict[str, Any]) -> str:
    """One case as it is measured."""
    times = "  ".join(f"{label} {human(t['seconds'])}" for label, t in case["by"].items())
    ours = case["by"].get(case.get("ours"))
    rate = "" if ours is None else f"   {ours['bytes_per_second'] / 1e9:.0f} GB/s, {ours['copy']:.0%} of copy"
    notes = "".join(f"\n    {label}: {note}" for label, note in case["notes"].items() if not note.startswith("does not apply"))
    return f"{case['title']:<52} {times}{rate}{notes}"


def _limits(report: dict[str, Any]) -> str:
    machine, limits = report["machine"], report["limits"]
    rates = ", ".join(f"{dtype} {rate / 1e12:.3g}" for dtype, rate in limits["product"].items())
    versions = ", ".join(f"{k} {v}" for k, v in machine.items() if k not in ("date", "commit", "cpu", "load", "cores"))
    commit = machine.get("commit", "unknown")
    return (f"{report['name']} ({report['device']}), {machine['date']}, commit {commit}, {versions}.\n\n"
            f"Measured limits: copy {limits['copy'] / 1e9:.0f} GB/s read and written; matrix products in TFLOP/s: {rates}.")


def summary(report: dict[str, Any]) -> str:
    """One row a case: ours, its rates, and its time over the others' (below 1 is faster)."""
    peers = [p for p in PEERS if any(p in c["by"] for c in report["cases"])]
    rows = ["| case | ours | GB/s | of copy | TFLOP/s | of product | " + " | ".join(f"/ {p}" for p in peers) + " |",
            "|---|" + "---|" * (5 + len(peers))]
    for case in report["cases"]:
        ours = case["by"].get(case.get("ours"))
        cells = [case["title"]]
        if ours is None:
            cells += ["", "", "", "", "", *[""] * len(peers)]
        else:
            cells += [human(ours["seconds"]), f"{ours['bytes_per_second'] / 1e9:.0f}", f"{ours['copy']:.0%}",
                      f"{ours['flops_per_second'] / 1e12:.2f}", f"{ours['product']:.0%}" if ours["product"] else "",
                      *[f"{case['ratios'][p]:.2f}" if p in case["ratios"] else "" for p in peers]]
        rows.append("| " + " | ".join(cells) + " |")
    out = [_limits(report), "", *rows]
    if "product_after_kernel" in report:
        out += ["", "A 512 x 512 x 128 matrix product: " + ", ".join(f"{human(t)} {when}" for when, t in
                                                                     report["product_after_kernel"].items()) + "."]
    if report["failed"]:
        out += ["", "Wrong, or below the gate: " + "; ".join(report["failed"]) + "."]
    if report["skipped"]:
        out += ["", f"Left out for time or memory ({len(report['skipped'])}): " + ", ".join(report["skipped"]) + "."]
    return "\n".join(out)


def details(report: dict[str, Any]) -> str:
    """One row for each variant and peer of each case."""
    rows = ["| case | by | time | low to high | not in cache | host | GB/s | of copy | TFLOP/s |",
            "|---|---|---|---|---|---|---|---|---|"]
    for case in report["cases"]:
        for label, t in case["by"].items():
            cold, host = (human(t[k]) if t[k] else "" for k in ("cold_seconds", "host_seconds"))
            cells = [case["title"], label, human(t["seconds"]), f"{human(t['low'])} to {human(t['high'])}", cold, host,
                     f"{t['bytes_per_second'] / 1e9:.0f}", f"{t['copy']:.0%}", f"{t['flops_per_second'] / 1e12:.2f}"]
            rows.append("| " + " | ".join(cells) + " |")
        rows += [f"| {case['title']} | {label} | {note} | | | | | | |" for label, note in case["notes"].items()]
    return "\n".join(rows)


def plot(report: dict[str, Any], path: str) -> None:
    """Left: the roofline, a point for each variant of ours at its large size. Right: the share of the copy rate."""
    import matplotlib
    matplotlib.use("Agg")
    from matplotlib import pyplot
    cases = [c for c in report["cases"] if c["size"] == "large" and c.get("ours") and c["bytes"] > 1000]
    if not cases:
        return
    limits = report["limits"]
    size = (16, max(6, 0.3 * len(cases)))
    figure, (left, right) = pyplot.subplots(1, 2, figsize=size, width_ratios=(3, 2), layout="constrained")
    intensity = [c["flops"] / c["bytes"] for c in cases if c["flops"]]
    knees = [rate / limits["copy"] for rate in limits["product"].values()]
    low, high = min(intensity, default=0.1) / 3, max([*intensity, *knees]) * 3
    small: dict[str, Any] = {"fontsize": 8, "color": "0.4"}
    for dtype, rate in limits["product"].items():
        knee = rate / limits["copy"]
        left.plot([low, knee, high], [low * limits["copy"] / 1e12, rate / 1e12, rate / 1e12], color="0.6", linewidth=1)
        left.annotate(f"product {dtype} {rate / 1e12:.3g}", (high, rate / 1e12), ha="right", va="bottom", **small)
    left.annotate(f"copy {limits['copy'] / 1e9:.0f} GB/s", (low, low * limits["copy"] / 1e12), xytext=(4, 12),
                  textcoords="offset points", rotation=38, **small)
    markers = {"float32": "o", "bfloat16": "s", "float16": "D", "tf32": "^", "int64": "v", "uint8": "v"}
    names = list(dict.fromkeys(c["kernel"] for c in cases))
    colours = pyplot.get_cmap("tab20")
    for number, case in enumerate(cases, 1):
        for label in (case["ours"], "numba_cuda"):
            if case["flops"] and label in case["by"]:
                x, y = case["flops"] / case["bytes"], case["by"][label]["flops_per_second"] / 1e12
                left.plot(x, y, markers.get(case["dtype"], "o"), color=colours(names.index(case["kernel"]) % 20),
                          markerfacecolor=None if label == case["ours"] else "none")
                left.annotate(f"{number}", (x, y), fontsize=7, xytext=(4, -3), textcoords="offset points")
    left.set(xscale="log", yscale="log", xlabel="operations a byte moved", ylabel="TFLOP/s",
             title=f"{report['name']}: large sizes (o float32, s bfloat16, ^ tf32; hollow: Numba-CUDA)")
    rows = {f"{number}  {c['title']}": c for number, c in enumerate(cases, 1)}
    right.barh([*rows], [100 * c["by"][c["ours"]]["copy"] for c in rows.values()], color="tab:blue", label="ours")
    right.invert_yaxis()
    theirs = [(name, 100 * c["by"]["torch"]["copy"]) for name, c in rows.items() if "torch" in c["by"]]
    if theirs:
        right.plot([t for _, t in theirs], [name for name, _ in theirs], "|", color="tab:orange", markersize=9, markeredgewidth=2,
                   label="PyTorch")
    right.axvline(100, color="0.6", linewidth=1)
    right.tick_params(axis="y", labelsize=7)
    right.set(xlabel="percent of the measured copy rate, by the kernel's own bytes")
    right.margins(y=0.01)
    right.legend(loc="lower right")
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
