"""Explanation of decisions, for their evidence."""

from __future__ import annotations

from edge.errors import EngineError
from edge.face.explanation import Explainer, ScoreExplanation
from edge.gallery.live_gallery import LiveGallery
from edge.recogniser.decision_log import DecisionLog, LogThrottle
from edge.values import FaceResult, Verdict

_EXPLAINED = (Verdict.GRANT, Verdict.REFUSED)


class EvidenceExplainer:
    """Explains the scores of matches if evidence pictures are kept and the bundle can do it."""

    def __init__(
        self,
        explainer: Explainer | None,
        gallery: LiveGallery,
        records: DecisionLog,
        throttle: LogThrottle,
    ) -> None:
        self._explainer, self._gallery = explainer, gallery
        self._records, self._throttle = records, throttle

    def explain(self, result: FaceResult) -> ScoreExplanation | None:
        """Return the explanation of a grant or refusal against the template that won.

        None without a match, during a model migration for people of the previous model, and if
        the network fails: that is only logged.
        """
        match, chip, probe = result.decision.match, result.chip, result.probe
        if self._explainer is None or not self._records.has_pictures or result.by_previous_model:
            return None
        if match is None or chip is None or probe is None:
            return None
        if result.decision.verdict not in _EXPLAINED:
            return None
        template = self._gallery.index.best_template(probe.embedding, match.subject)
        if template is None:
            return None
        try:
            return self._explainer.explain(chip, template)
        except EngineError as error:
            self._throttle.error("explanation", f"a decision has no explanation: {error}")
            return None

    def close(self) -> None:
        if self._explainer is not None:
            self._explainer.close()
