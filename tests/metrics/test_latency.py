"""Delays and flips of streams."""

import numpy as np
import pytest

from recog_jax.metrics import latency


@pytest.mark.smoke
def test_delays_are_of_the_tokens_that_were_recognised():
  # The second token was missed, one that nobody said was put in.
  found = latency.token_delays(
    [5, 6, 7, 8], [0.1, 0.5, -1.0, 1.2], [5, 9, 7, 8], [0.4, 0.5, 1.1, 1.3]
  )
  np.testing.assert_allclose(found, [0.3, 0.1])
  assert latency.token_delays([1], [0.0], [], []) == []


def test_flips():
  assert latency.flips(['o', 'on', 'one', 'one t', 'one two']) == 0
  assert latency.flips(['one', 'on']) == 1
  assert latency.flips(['ten t', 'one two', 'one']) == 2
  assert latency.flips([]) == 0


def test_summary():
  one = latency.Utterance((0.1, 0.2, 0.3), 0.1, 0.7, 0, 1, 2.0)
  other = latency.Utterance((), None, None, 2, 0, 2.0)
  found = latency.summary([one, other], [0.01] * 99 + [0.5], 4)
  assert found['token_delay_p50_s'] == pytest.approx(0.2)
  assert found['token_delay_p90_s'] == pytest.approx(0.28)
  assert found['final_delay_p95_s'] == pytest.approx(0.7)
  assert found['ended_by_silence'] == 0.5
  assert found['cuts_inside'] == 2
  assert found['flips_per_word'] == 0.25
  assert found['real_time_factor'] == pytest.approx((0.99 + 0.5) / 4)
  assert found['step_p99_s'] > found['step_p50_s'] == pytest.approx(0.01)
  nothing = latency.summary([], [], 0)
  assert nothing['token_delay_p50_s'] is nothing['real_time_factor'] is None
