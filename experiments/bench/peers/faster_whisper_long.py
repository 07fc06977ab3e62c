"""faster-whisper on one recording, to compare ours with.

Run by `experiments.bench whisper` in the peer's own Python; see `turns` for
what it answers. Greedy, then drawn at higher temperatures, in float32, with
time stamps and what was said before: the settings of ours.
"""

import argparse
import json
from pathlib import Path

from faster_whisper import WhisperModel
from turns import serve  # Beside this file.


def main():
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument('--weights', required=True, help='in its format')
  parser.add_argument('--recording', required=True)
  parser.add_argument('--text', required=True, help='where the text goes')
  parser.add_argument('--threads', type=int, required=True)
  args = parser.parse_args()
  model = WhisperModel(
    args.weights,
    device='cpu',
    compute_type='float32',
    cpu_threads=args.threads,
  )

  def run():
    pieces, _ = model.transcribe(args.recording, beam_size=1, best_of=5)
    pieces = [(p.start, p.end, p.text.strip()) for p in pieces]
    Path(args.text).write_text(json.dumps(pieces), encoding='utf-8')

  serve(run)


if __name__ == '__main__':
  main()
