"""Adapter of vaderSentiment: the sentiment of a text as a whole number."""

from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

from services.scoring.domain.features import SENTIMENT_SCALE

# The lexicon's time grows faster than the text; what a customer feels shows in the beginning.
TEXT_CHARACTERS_MAX = 2_000


class Lexicon:
    """VADER's rules and word list (Hutto, Gilbert 2014): English, no training."""

    def __init__(self) -> None:
        self._analyzer = SentimentIntensityAnalyzer()

    def sentiment(self, text: str) -> int:
        """From -10,000 (worst) to 10,000 (best)."""
        scores = self._analyzer.polarity_scores(text[:TEXT_CHARACTERS_MAX])
        return round(float(scores["compound"]) * SENTIMENT_SCALE)
