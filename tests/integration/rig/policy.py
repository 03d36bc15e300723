"""An independent reading of the policy (product.md 5) in a few lines of Python, to compute what must arrive."""
import decimal
import json


def load(text):
    """Breaches with numbers as Decimal, so that 0.5 is 0.5."""
    return json.loads(text, parse_float=decimal.Decimal)


def model_then(breach):
    model = breach.get("model") or {}
    return model.get("then") or (model if "name" in model else model.get("now")) or {}


def tags(breach):
    return {t.strip().casefold() for t in model_then(breach).get("tags") or [] if isinstance(t, str)}


def stage_2(breach):
    """More than 50 %, or tagged "Enhanced Monitoring"; never "lower priority". A missing score forwards."""
    have = tags(breach)
    if "lower priority" in have:
        return False
    if "enhanced monitoring" in have:
        return True
    score = breach.get("score")
    if score is None:
        return True
    return decimal.Decimal(score) > decimal.Decimal("0.5")


STAGE_2 = """
[forward]
above_score = 0.5
always_tags = ["Enhanced Monitoring"]
never_tags = ["lower priority"]
"""
