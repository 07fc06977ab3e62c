"""What a day has found: one JSON object a line, written as soon as it is known.

Every line says its `unit`, and what it is: `kind` is `device`, `row` (a
result), `done` or `failed` (a unit's end, with its seconds), or `plan`.
"""

import json
import time
from pathlib import Path
from typing import Any

from recog_jax.errors import UserError
from recog_jax.storage import as_json

Line = dict[str, Any]


class Lines:
  """The lines of a folder, those of earlier runs too.

  Attributes:
    path: of the file.
  """

  def __init__(self, folder: Path):
    """Opens what is there; a last line that was cut off is left out.

    Raises:
      UserError: a line in the middle that is no JSON.
    """
    self.path = folder / 'lines.jsonl'
    self._lines: list[Line] = []
    if not self.path.exists():
      return
    texts = self.path.read_text().split('\n')
    for i, text in enumerate(texts):
      if not text:
        continue
      try:
        self._lines.append(json.loads(text))
      except ValueError as error:
        if i != len(texts) - 1:
          raise UserError(
            f'{self.path}, line {i + 1}, is no JSON: mend it or take another '
            '--output'
          ) from error
        whole = '\n'.join(texts[:-1])
        self.path.write_text(whole + '\n' if whole else '')

  def __iter__(self):
    return iter(self._lines)

  def add(self, kind: str, unit: str, **values: Any) -> Line:
    """Writes a line down; what is in `values` stands in it."""
    line = {'kind': kind, 'unit': unit, 'time': round(time.time(), 1), **values}
    self.path.parent.mkdir(parents=True, exist_ok=True)
    with self.path.open('a') as file:
      file.write(as_json(line) + '\n')
    self._lines.append(line)
    return line

  def of(self, kind: str) -> list[Line]:
    """All lines of a kind, in the order they were written."""
    return [line for line in self if line['kind'] == kind]

  def ended(self, kind: str) -> set[str]:
    """Units that are `done`, or that `failed`."""
    return {line['unit'] for line in self.of(kind)}

  def rows(self, part: str) -> list[Line]:
    """The newest rows of a part, by unit and name."""
    found = {
      (line['unit'], line.get('name')): line
      for line in self.of('row')
      if line['unit'].startswith(f'{part}/')
    }
    return list(found.values())
