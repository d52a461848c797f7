"""Interactive figures of the report, as plain Plotly figures: traces and a layout.

Colours that depend on the light are names, which the page replaces by its own: `@ink`, `@muted`, `@faint`, `@paper`.
Everything else that all figures share (fonts, margins, the legend's place) is the page's as well.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from workflow_scripts.classifiers.presets import LADDER
from workflow_scripts.core import figures
from workflow_scripts.core.intervals import wilson
from workflow_scripts.distillation.find_trends import BASELINES, RESPONSES
from workflow_scripts.laws.decay import DecayFit
from workflow_scripts.laws.drawing import PERCENTAGE, X_LABELS, apart, control_line, law_caption, law_line
from workflow_scripts.laws.pairs import Pair
from workflow_scripts.rebalancing.drawing import GAIN, REAL, SYNTHETIC
from workflow_scripts.rebalancing.gain_law import GainLaw
from workflow_scripts.replication.plot_quality import ROWS

SYMBOLS = {
    "o": "circle",
    "s": "square",
    "^": "triangle-up",
    "D": "diamond",
    "v": "triangle-down",
    "P": "cross",
    "X": "x",
}
LOWEST = 0.03  # percent, of the axis of copies beyond chance
MOST_WRITTEN = 12  # classes up to which the cells of a heat map carry numbers


@dataclass(frozen=True)
class Chart:
    """One interactive figure.

    alternative: what it shows, for those who do not see it; height: px; notes: (text, colour) to be read with it, such
    as what a law says or why there is none.
    """

    data: list[dict[str, Any]]
    layout: dict[str, Any]
    alternative: str
    height: int = 420
    notes: tuple[tuple[str, str], ...] = ()


def decay(fits: Mapping[Pair, DecayFit], dataset: str, threshold: str) -> Chart:
    """Share of replicas against size or dimension: points, laws where they are identified, control, and residuals."""
    chosen = {pair: fit for pair, fit in fits.items() if pair[1] == dataset}
    axis = next(iter(chosen.values())).axis.name
    lowest = 45.0 / max(float(fit.points.samples.max()) for fit in chosen.values())
    styles = figures.generator_styles(generator for generator, _ in chosen)
    data: list[dict[str, Any]] = []
    told: list[str] = []
    notes: list[tuple[str, str]] = []
    for i, ((generator, _), fit) in enumerate(chosen.items()):
        style, points = styles[generator], fit.points
        at = apart(fit, i - (len(chosen) - 1) / 2)
        low, high = (100 * end for end in wilson(points.replicas, points.samples))
        share = points.percentage
        hover = [
            f"{size:,.0f} images: {a:.1f} % ({b:.1f} to {c:.1f})"
            for size, a, b, c in zip(points.size, share, low, high, strict=True)
        ]
        if fit.identified:
            along, line, lower, upper = law_line(fit)
            data += _band(along, np.maximum(lower, lowest / 2), upper, style.colour, generator)
            data.append(_line(along, line, style.colour, generator))
        data.append(_points(at, np.maximum(share, lowest), low, high, style, generator, hover, share < lowest))
        if np.isfinite(fit.level):
            data.append(
                {"x": _list(at), "y": _list(fit.residuals()), "yaxis": "y2", "mode": "markers",
                 "legendgroup": generator, "showlegend": False, "marker": _marker(style, 7),
                 "hovertemplate": "%{y:.2f} SD<extra></extra>"}
            )  # fmt: skip
        notes.append((law_caption(generator, fit), style.colour))
        told.append(f"{notes[-1][0]}; measured: {'; '.join(hover)}")
    if (control := control_line(chosen)) is not None:
        value, low, mean, high = control
        data += _band(value, np.maximum(low, lowest / 2), high, figures.CONTROL, "held-out images (control)")
        data.append(_line(value, mean, "@muted", "held-out images (control)", dash="dot", shown=True))
    named = {"title": {"text": X_LABELS[axis]}}
    sizes = [x for fit in chosen.values() for x in fit.points.value]
    x_axis = named if axis == "dimension" else _size_axis(sizes, X_LABELS[axis])
    y_axis = _percentages(lowest, f"{PERCENTAGE}<br>{threshold}")
    said = f"{PERCENTAGE} on {dataset} against {X_LABELS[axis]}. {' '.join(told)}"
    if not any(np.isfinite(fit.level) for fit in chosen.values()):
        return Chart(data, {"xaxis": x_axis, "yaxis": y_axis}, said, 420, tuple(notes))
    residuals = {"title": {"text": "residual, SD"}, "domain": [0, 0.2], "zeroline": True, "zerolinecolor": "@muted"}
    layout = {"xaxis": {**x_axis, "anchor": "y2"}, "yaxis": {**y_axis, "domain": [0.28, 1]}, "yaxis2": residuals}
    return Chart(data, layout, said, 560, tuple(notes))


def one_shot(name: str, about: Mapping[str, Any], wanted: float) -> Chart:
    """Copies beyond chance of one generator: measured, predicted with the band, safe size; below, the trial."""
    style = figures.generator_styles([name])[name]
    measured = pd.DataFrame(about["measured"])
    data: list[dict[str, Any]] = []
    safe, told = about["smallest_safe_size"], []
    if not about["reason"]:
        rows = [[one[key] for key in ("size", "percentage", "low", "high")] for one in about["predicted"]]
        at, value, low, high = np.array(rows, dtype=float).T
        value, low, high = (np.maximum(part, LOWEST) for part in (value, low, high))
        data += _band(at, low, high, style.colour, "law")
        data.append({**_line(at, value, style.colour, "law"), "name": "law, 95 % interval", "showlegend": True})
        right = safe["high"] if safe["high"] is not None else float(at[-1])
        ends = [safe["low"], min(right, float(at[-1]))]
        data.append(
            {"x": ends, "y": [wanted, wanted], "mode": "lines", "line": {"color": "@ink", "width": 4},
             "hoverinfo": "skip", "name": f"{wanted:g} %: safe size", "legendgroup": "safe"}
        )  # fmt: skip
        data.append(
            {"x": [safe["size"]], "y": [wanted], "mode": "markers", "legendgroup": "safe", "showlegend": False,
             "marker": {"color": "@ink", "size": 14, "symbol": "line-ns", "line": {"width": 3, "color": "@ink"}},
             "hovertemplate": f"{safe['size']:,.0f} images<extra></extra>"}
        )  # fmt: skip
        high = "∞" if safe["high"] is None else f"{safe['high']:,.0f}"
        note = f"{wanted:g} % at {safe['size']:,.0f} images [{safe['low']:,.0f}, {high}]"
    else:
        note = f"no estimate: {about['reason']}"
    told.append(f"{note}.")
    told += [f"At {row['size']:,.0f} images {row['percentage']:.1f} %." for row in about["measured"]]
    for place in ("y", "y2"):
        data.append(_beyond_chance(measured, style, "measured", place))
    trials = pd.DataFrame(about["trials"])
    if len(trials) and (trials["reason"] == "").any():
        made = trials[trials["reason"] == ""].astype(dict.fromkeys(("predicted", "low", "high"), float))
        for trial, aside, colour, label in (
            ("one_shot", 1.06, "@ink", "predicted from the smallest size"),
            ("leave_one_out", 1.12, "@muted", "predicted from all other sizes"),
        ):
            part = made[made["trial"] == trial]
            if len(part):
                shown = part.rename(columns={"predicted": "percentage"}).assign(size=part["size"] * aside)
                data.append(_beyond_chance(shown, figures.Style(colour, "D"), label, "y2"))
    sizes = [*measured["size"], *([] if about["reason"] else [about["predicted"][-1]["size"]])]
    layout = {
        "xaxis": {**_size_axis(sizes, X_LABELS["size"]), "anchor": "y2"},
        "yaxis": {**_percentages(LOWEST, "beyond chance, %"), "domain": [0.56, 1]},
        "yaxis2": {**_percentages(LOWEST, "trial, %"), "domain": [0, 0.44]},
    }
    said = f"Copies of {name} beyond chance against the size of the training set. {' '.join(told)}"
    return Chart(data, layout, said, 560, ((f"{name}: {note}", style.colour),))


def dimension(points: Sequence[Mapping[str, Any]], dataset: str, neighbours: tuple[int, int]) -> Chart | None:
    """Intrinsic dimension against the number of images and, below, against k; None where none could be measured.

    points: those of estimate_curve. neighbours: the range of k that the first panel averages over.
    """
    known = [one for one in points if one["dimension"] is not None]
    if not known:
        return None
    size, value, low, high = (
        np.array([one[key] for one in known], dtype=float) for key in ("size", "dimension", "low", "high")
    )
    data: list[dict[str, Any]] = [
        _points(size, value, low, high, figures.Style("@ink", "o"), "maximum likelihood"),
        {"x": _list(size), "y": [one["two_nn"] for one in known], "mode": "markers", "name": "TwoNN",
         "marker": {"symbol": "x-thin", "size": 8, "line": {"width": 2, "color": "@muted"}}},
    ]  # fmt: skip
    for one, colour in zip(known, figures.sequence(len(known)), strict=True):
        scales = {int(k): found for k, found in one["by_scale"].items()}
        data.append(
            {"x": list(scales), "y": list(scales.values()), "xaxis": "x2", "yaxis": "y2", "mode": "lines+markers",
             "name": f"{one['size']:,} images", "line": {"color": colour, "width": 1.6}, "marker": {"size": 4}}
        )  # fmt: skip
    layout = {
        "xaxis": {**_size_axis(size, "images"), "anchor": "y"},
        "yaxis": {"title": {"text": "intrinsic dimension"}, "rangemode": "tozero", "domain": [0.58, 1]},
        "xaxis2": {"title": {"text": "neighbours k (scale)"}, "type": "log", "anchor": "y2",
                   "tickvals": [3, 5, 10, 20, 50, 100]},
        "yaxis2": {"title": {"text": "intrinsic dimension"}, "rangemode": "tozero", "domain": [0, 0.42]},
        "shapes": [{"type": "rect", "xref": "x2", "yref": "y2 domain", "x0": neighbours[0], "x1": neighbours[1],
                    "y0": 0, "y1": 1, "fillcolor": "@muted", "opacity": 0.15, "line": {"width": 0}}],
    }  # fmt: skip
    told = "; ".join(f"{one['size']:,} images: {one['dimension']:.1f}" for one in known)
    return Chart(data, layout, f"Intrinsic dimension of {dataset} against the number of images. {told}.", 600)


def quality(table: pd.DataFrame, dataset: str) -> Chart:
    """Fréchet distances, precision and recall against size: a panel each; lines join the means of the seeds."""
    part = table[table["dataset"] == dataset].drop_duplicates(["generator", "size", "seed"])
    styles = figures.generator_styles(part["generator"])
    data: list[dict[str, Any]] = []
    layout: dict[str, Any] = {}
    height = 1 / len(ROWS)
    for row, (label, (measure, control)) in enumerate(ROWS.items()):
        name = f"y{row + 1}" if row else "y"
        top = 1 - row * height
        layout[f"yaxis{row + 1 if row else ''}"] = {
            "title": {"text": label.replace("\n", "<br>")},
            "domain": [top - 0.78 * height, top],
            "rangemode": "tozero",
        }
        for generator, line in part.groupby("generator"):
            seeds = line.groupby("size")[measure].agg(["mean", "min", "max"]).dropna()
            size, mean, low, high = seeds.reset_index().to_numpy(float).T
            drawn = _points(size, mean, low, high, styles[str(generator)], str(generator))
            data.append(drawn | {"mode": "lines+markers", "yaxis": name, "showlegend": row == 0})
        if control:
            means = part.groupby("size")[control].mean()
            data.append(
                _line(means.index.to_numpy(float), means.to_numpy(), "@muted", "training images themselves", dash="dot")
                | {"yaxis": name, "showlegend": row == 0}
            )
    layout["xaxis"] = {**_size_axis(part["size"], X_LABELS["size"]), "anchor": f"y{len(ROWS)}"}
    found = part.groupby(["generator", "size"])["frechet"].mean().reset_index()
    told = "; ".join(
        f"{name} with {size:,} images {value:.3g}"
        for name, size, value in zip(found["generator"], found["size"], found["frechet"], strict=True)
    )
    said = f"Quality of the samples on {dataset}. Fréchet distance to held-out images: {told}."
    return Chart(data, layout, said, 860)


def similarity(found: Mapping[str, Any], order: np.ndarray) -> Chart:
    """Heat map of the mean SSIM of class pairs, classes in `order`."""
    names = [found["classes"][one] for one in order]
    matrix, error = (np.array(found[key], dtype=float)[np.ix_(order, order)] for key in ("matrix", "matrix_se"))
    told = [[_pair_text(a, b, matrix[i, j], error[i, j]) for j, b in enumerate(names)] for i, a in enumerate(names)]
    values = [[None if np.isnan(value) else round(float(value), 4) for value in row] for row in matrix]
    heat: dict[str, Any] = {
        "type": "heatmap", "x": names, "y": names, "z": values, "text": told,
        "hovertemplate": "%{text}<extra></extra>", "colorscale": "Viridis", "xgap": 1, "ygap": 1,
        "colorbar": {"title": {"text": "mean SSIM", "side": "right"}, "thickness": 12},
    }  # fmt: skip
    if len(names) <= MOST_WRITTEN:
        heat |= {"texttemplate": "%{z:.2f}"}
    layout = {
        "yaxis": {"autorange": "reversed", "showgrid": False, "type": "category"},
        "xaxis": {"tickangle": -90, "showgrid": False, "type": "category"},
    }
    apart_from = np.where(np.eye(len(names), dtype=bool), np.nan, matrix)
    i, j = np.unravel_index(np.nanargmax(apart_from), matrix.shape)
    k, m = np.unravel_index(np.nanargmin(apart_from), matrix.shape)
    alternative = (
        f"Heat map of {len(names)} classes of {found['dataset']}: mean SSIM of each pair. Most alike: {told[i][j]}; "
        f"least alike: {told[k][m]}."
    )
    return Chart([heat], layout, alternative, min(260 + 28 * len(names), 900))


def gains(found: pd.DataFrame, synthetic: Sequence[str], label: str) -> Chart:
    """Gain of each arm over the original set, a dot with its interval; those with synthetic images apart.

    found: rows of one group, measure and part of the improvements; label: of the measure.
    """
    data, told = [], []
    arms = [name for name in synthetic if name in set(found["arm"])]
    arms += [name for name in found["arm"] if name not in arms]
    rows = found.set_index("arm").loc[arms]
    for kind, colour, some in (
        ("with synthetic images", SYNTHETIC, [one for one in arms if one in synthetic]),
        ("simpler remedies", "@muted", [one for one in arms if one not in synthetic]),
    ):
        part = rows.loc[some]
        hover = [_gain_text(name, row) for name, row in part.iterrows()]
        told += hover
        known = np.isfinite(part["low"]) & np.isfinite(part["high"])
        data.append(
            {"x": _list(part["gain"]), "y": some, "mode": "markers", "name": kind, "text": hover, "orientation": "h",
             "hovertemplate": "%{text}<extra></extra>",
             "marker": {"color": colour, "size": 11, "symbol": ["circle" if one else "circle-open" for one in known]},
             "error_x": {"type": "data", "symmetric": False, "array": _list(part["high"] - part["gain"]),
                         "arrayminus": _list(part["gain"] - part["low"]), "color": colour,
                         "thickness": 1.6}}
        )  # fmt: skip
    layout = {
        "xaxis": {"title": {"text": f"gain in {label}, points"}, "zeroline": True, "zerolinecolor": "@ink"},
        "yaxis": {"categoryorder": "array", "categoryarray": arms[::-1], "automargin": True},
    }
    return Chart(data, layout, f"Gain in {label} over the original set. {'; '.join(told)}.", 150 + 38 * len(arms))


def gain_law(law: GainLaw) -> Chart:
    """Gains against class similarity with the intervals of both; the law only where it is identified."""
    points = law.points
    styles = figures.generator_styles(points.datasets)
    data: list[dict[str, Any]] = []
    for name, style in styles.items():
        here = points.only(np.array([one == name for one in points.datasets], dtype=bool))
        low, high = here.gain - 1.96 * here.gain_se, here.gain + 1.96 * here.gain_se
        drawn = _points(here.similarity, here.gain, low, high, style, name)
        across = {"array": _list(1.96 * here.similarity_se), "color": style.colour, "thickness": 1}
        data.append(drawn | {"error_x": across})
    said = f"not identified: {law.reason}"
    if law.identified:
        at = np.linspace(points.similarity.min(), points.similarity.max(), 61)
        data += _band(at, *law.band(at), "#888888", "law")
        data.append(_line(at, law.gain(at), "@ink", "law p exp(−q S)", shown=True))
        said = f"q = {law.q:.3g}, p = {law.p:.3g} points"
    layout = {
        "xaxis": {"title": {"text": "similarity of the classes, SSIM-supSubCls"}},
        "yaxis": {"title": {"text": GAIN}, "zeroline": True, "zerolinecolor": "@muted"},
    }
    told = "; ".join(
        f"similarity {a:.3f}, gain {b:+.1f} points" for a, b in zip(points.similarity, points.gain, strict=True)
    )
    alternative = f"Gain against class similarity. The law is {said}. {told}."
    return Chart(data, layout, alternative, notes=((f"law of gains: {said}", "@ink"),))


def class_counts(classes: Sequence[str], real: np.ndarray, synthetic: np.ndarray, wanted: np.ndarray) -> Chart:
    """Images of each class, real and synthetic, from head to tail; what was wanted and not found is outlined."""
    order = np.lexsort((np.arange(len(classes)), -real))
    names = [classes[one] for one in order]
    missing = np.maximum(wanted - synthetic, 0)
    data = [
        {"type": "bar", "orientation": "h", "y": names, "x": _list(part[order]), "name": name, "marker": marker}
        for name, part, marker in (
            ("real", real, {"color": REAL}),
            ("synthetic", synthetic, {"color": SYNTHETIC}),
            ("wanted, not found", missing, {"color": "rgba(0,0,0,0)", "line": {"color": "@ink", "width": 1}}),
        )
        if part.any()
    ]
    layout = {
        "barmode": "stack",
        "xaxis": {"title": {"text": "images for training"}},
        "yaxis": {"autorange": "reversed", "type": "category", "automargin": True},
    }
    told = "; ".join(f"{classes[i]} {real[i]:,} real and {synthetic[i]:,} synthetic" for i in order)
    return Chart(data, layout, f"Images of each class before and after rebalancing: {told}.", 130 + 26 * len(names))


def trends(students: pd.DataFrame, response: str, verdicts: Mapping[str, str]) -> Chart:
    """One response against the teachers' augmentation: a point for each student, lines join the means.

    students: the table of collect_distillation; verdicts: for each response, what came out.
    """
    views = sorted(set(students["view"]), key=LADDER.index)
    shapes = (figures.Style("#0072B2", "o"), figures.Style("#D55E00", "s"), figures.Style("#009E73", "^"),
              figures.Style("#CC79A7", "D"))  # fmt: skip
    label = RESPONSES[response].replace("\n", " ")
    column = {"iou": "teachers_iou"}.get(response, response)
    taught = students[students["teachers"] > 0]
    data, told = [], []
    for place, (view, style) in enumerate(zip(views, shapes, strict=False)):
        part = taught[taught["view"] == view]
        aside = 0.06 * (place - (len(views) - 1) / 2)
        means = part.groupby("strength")[column].mean()
        data.append(
            {"x": _list(part["strength"] + aside), "y": _list(part[column]), "mode": "markers", "legendgroup": view,
             "marker": _marker(style, 8) | {"opacity": 0.55}, "name": f"student's view: {view}",
             "text": [f"{one['ensemble']}, seed {one['seed']}: {one[column]:.3g}" for one in part.to_dict("records")],
             "hovertemplate": "%{text}<extra></extra>"}
        )  # fmt: skip
        data.append(_line(means.index.to_numpy(float) + aside, means.to_numpy(), style.colour, view))
        ends = np.array([taught["strength"].min() - 0.3, taught["strength"].max() + 0.3])
        for baseline, (style_of_line, what) in BASELINES.items():
            level = students[(students["ensemble"] == baseline) & (students["view"] == view)][column].mean()
            if response in ("gap", "accuracy") and np.isfinite(level):
                dash = {":": "dot", "--": "dash"}[style_of_line]
                data.append(_line(ends, np.full(2, level), style.colour, f"{view}: {what}", dash, shown=True))
        told.append(f"view {view}: " + ", ".join(f"{value:.3g} at strength {at:g}" for at, value in means.items()))
    layout = {
        "xaxis": {
            "title": {"text": "teachers' augmentation"},
            "tickvals": list(range(len(LADDER))),
            "ticktext": list(LADDER),
        },
        "yaxis": {"title": {"text": label}},
    }
    said = verdicts.get(response, "no test")
    alternative = f"{label} against the teachers' augmentation ({said}). Means: {'; '.join(told)}."
    return Chart(data, layout, alternative, notes=((said, "@ink"),))


def training(curves: Mapping[int, Sequence[pd.DataFrame]], generator: str, dataset: str) -> Chart:
    """Losses during training, a panel each, a line for each run coloured by the size of its training set."""
    losses = [name for name in next(iter(curves.values()))[0].columns if name != "images"]
    shades = figures.sequence(len(curves))
    data: list[dict[str, Any]] = []
    layout: dict[str, Any] = {}
    for row, loss in enumerate(losses):
        top = 1 - row / len(losses)
        layout[f"yaxis{row + 1 if row else ''}"] = {
            "title": {"text": loss.replace("_", " ")},
            "domain": [top - 0.8 / len(losses), top],
        }
        for (size, tables), colour in zip(curves.items(), shades, strict=True):
            for seed, table in enumerate(tables):
                line = _line(table["images"].to_numpy(float), table[loss].to_numpy(float), colour, f"{size:,} images")
                where = {"yaxis": f"y{row + 1}" if row else "y", "showlegend": row == 0 and seed == 0}
                data.append(line | where | {"line": {"color": colour, "width": 1.4}, "hoverinfo": "all"})
    last = f"y{len(losses)}" if len(losses) > 1 else "y"
    layout["xaxis"] = {"title": {"text": "training images seen"}, "anchor": last}
    ends = "; ".join(
        f"{size:,} images: " + ", ".join(f"{loss.replace('_', ' ')} {tables[0][loss].iloc[-1]:.3g}" for loss in losses)
        for size, tables in curves.items()
    )
    alternative = f"Losses of {generator} on {dataset} during training. At the end, first seed, of {ends}."
    return Chart(data, layout, alternative, 120 + 200 * len(losses))


def _pair_text(one: str, other: str, value: float, error: float) -> str:
    if np.isnan(value):
        return f"{one}, {other}: no pairs"
    return f"{one}, {other}: {value:.3f}" + ("" if np.isnan(error) else f" ± {error:.3f} (standard error)")


def _gain_text(name: Any, row: pd.Series) -> str:
    ends = f" ({row['low']:+.1f} to {row['high']:+.1f})" if np.isfinite([row["low"], row["high"]]).all() else ""
    return f"{name}: {row['gain']:+.1f} points{ends}"


def _beyond_chance(rows: pd.DataFrame, style: figures.Style, label: str, place: str) -> dict[str, Any]:
    value, low, high = (rows[key].to_numpy(float) for key in ("percentage", "low", "high"))
    hover = [f"{label}: {a:.1f} % ({b:.1f} to {c:.1f})" for a, b, c in zip(value, low, high, strict=True)]
    drawn = _points(
        rows["size"].to_numpy(float), np.maximum(value, LOWEST), np.maximum(low, LOWEST), np.maximum(high, LOWEST),
        style, label, hover, value < LOWEST,
    )  # fmt: skip
    return drawn | {"yaxis": place, "showlegend": place == "y2"}


def _points(
    x: np.ndarray,
    y: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    style: figures.Style,
    label: str,
    hover: Sequence[str] | None = None,
    hollow: np.ndarray | None = None,
) -> dict[str, Any]:
    """Points with the bars of their intervals; where `hollow`, open ones."""
    marker = _marker(style, 9)
    if hollow is not None:
        marker["symbol"] = [SYMBOLS[style.marker] + ("-open" if one else "") for one in hollow]
    trace = {
        "x": _list(x), "y": _list(y), "mode": "markers", "name": label, "legendgroup": label, "marker": marker,
        "line": {"color": style.colour, "width": 1.6}, "cliponaxis": False,
        "error_y": {"type": "data", "symmetric": False, "array": _list(np.maximum(high - y, 0)),
                    "arrayminus": _list(np.maximum(y - low, 0)), "color": style.colour, "thickness": 1.2, "width": 3},
    }  # fmt: skip
    if hover is not None:
        trace |= {"text": list(hover), "hovertemplate": "%{text}<extra>" + label + "</extra>"}
    return trace


def _line(
    x: np.ndarray, y: np.ndarray, colour: str, group: str, dash: str = "solid", shown: bool = False
) -> dict[str, Any]:
    return {
        "x": _list(x), "y": _list(y), "mode": "lines", "name": group, "legendgroup": group, "showlegend": shown,
        "line": {"color": colour, "width": 2, "dash": dash}, "hoverinfo": "skip",
    }  # fmt: skip


def _band(x: np.ndarray, low: np.ndarray, high: np.ndarray, colour: str, group: str) -> list[dict[str, Any]]:
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    edge = {"mode": "lines", "line": {"width": 0}, "hoverinfo": "skip", "legendgroup": group, "showlegend": False}
    return [
        {"x": _list(x), "y": _list(low), **edge},
        {"x": _list(x), "y": _list(high), **edge, "fill": "tonexty", "fillcolor": f"rgba({red},{green},{blue},0.18)"},
    ]


def _marker(style: figures.Style, size: int) -> dict[str, Any]:
    return {"color": style.colour, "symbol": SYMBOLS[style.marker], "size": size}


def _size_axis(sizes: Any, label: str) -> dict[str, Any]:
    """A logarithmic axis with a tick at each measured size, where they do not crowd."""
    ticks = sorted({float(size) for size in sizes})
    kept = ticks[:1]
    for tick in ticks[1:]:
        if np.log(tick / kept[-1]) > np.log(ticks[-1] / ticks[0]) / 8:
            kept.append(tick)
    return {"title": {"text": label}, "type": "log", "tickvals": kept, "ticktext": [f"{tick:,.0f}" for tick in kept]}


def _percentages(lowest: float, label: str) -> dict[str, Any]:
    ticks = [one for one in (0.03, 0.1, 0.3, 1, 3, 10, 30, 100) if one >= lowest]
    return {
        "title": {"text": label}, "type": "log", "range": [float(np.log10(lowest)), float(np.log10(135))],
        "tickvals": ticks, "ticktext": [f"{tick:g}" for tick in ticks],
    }  # fmt: skip


def _list(values: Any) -> list[float | None]:
    """Numbers as JSON has them, to six digits: what is missing or infinite is null."""
    return [float(f"{value:.6g}") if np.isfinite(value) else None for value in np.asarray(values, dtype=float)]
