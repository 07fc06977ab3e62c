"""Explanations of a trained model's answers: of what, how, written where."""
