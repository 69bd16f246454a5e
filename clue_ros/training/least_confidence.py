"""From which confidence on a box need not be asked about: `min_confidence` of clue.json, fitted on photographs."""

from __future__ import annotations

from typing import Dict, List, Sequence, Tuple

import numpy as np

from clue_ros.ambiguity.gate import calibrated
from clue_ros.measures.classification import SURE, sure_from


def fit_least_confidence(boxes: Sequence[Tuple[float, bool, int]], fit: Tuple[float, ...]) -> Dict:
    """From which confidence on SURE of the boxes are right (classification.sure_from), None where nothing tells.

    boxes: raw confidence, whether it was right, picture; fit: of the confidence (gate.calibrated).
    """
    sure, right = [calibrated(c, fit) for c, _, _ in boxes], [r for _, r, _ in boxes]
    limit = sure_from(sure, right)
    if limit is None:
        return {"fit": None, "count": len(boxes)}
    kept = [r for c, r in zip(sure, right) if c >= limit]
    return {
        "fit": limit,
        "share": SURE,
        "count": len(boxes),
        "all_right": round(float(np.mean(right)), 4),
        "kept": len(kept),
        "right": round(float(np.mean(kept)), 4),
    }


def told_of(report: Dict) -> List[str]:
    """What `clue train calibrate` prints of it."""
    if report["fit"] is None:
        return []
    return [
        f"min_confidence {report['fit']:.2f}: {report['right']:.1%} of the {report['kept']} boxes from it on are "
        f"right, {report['all_right']:.1%} of all {report['count']} (photographs, clear instructions)"
    ]
