"""A writer that is as slow as a microphone, and who hears it."""

import io
import json
import os
import threading
import time

from recog_jax.engine import listening


class Lines(io.StringIO):
  """What was written, and whether the pipe was open then."""

  def __init__(self, closed):
    super().__init__()
    self.closed_pipe, self.early = closed, []

  def write(self, text):
    self.early.append(not self.closed_pipe.is_set())
    return super().write(text)


def heard_slowly(model, pcm, rate, **keys):
  """The lines of a stream on a pipe that stays open until one is there.

  Args:
    model: that hears.
    pcm: int16 `n`.
    rate: in Hz.
    **keys: of `listening.run`.

  Returns:
    The lines of JSON, and of each whether the pipe was open still.
  """
  out, into = os.pipe()
  closed = threading.Event()
  lines = Lines(closed)

  def write():
    # In odd pieces: a sample is torn between two of them.
    data = pcm.astype('<i2').tobytes()
    with os.fdopen(into, 'wb', buffering=0) as file:
      for start in range(0, len(data), 1601):
        file.write(data[start : start + 1601])
        time.sleep(0.002)
      for _ in range(6000):
        if lines.early:
          break
        time.sleep(0.02)
      closed.set()

  thread = threading.Thread(target=write)
  thread.start()
  with os.fdopen(out, 'rb') as source:
    code = listening.run(
      model, '-', rate=rate, kind='jsonl', source=source, output=lines, **keys
    )
  thread.join()
  assert code == 0
  return [json.loads(x) for x in lines.getvalue().splitlines()], lines.early
