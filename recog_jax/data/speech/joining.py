"""Joins utterances of one speaker into strings, of several languages by choice.

Speech that switches between languages is rare among recordings; strings of
recordings of one voice in two languages are an augmentation for it.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from recog_jax.data.draws import Draws
from recog_jax.errors import UserError, unknown_name
from recog_jax.ranges import NotNegative, Share, Size
from recog_jax.text.languages import code_of
from recog_jax.text.script import WORD_FIELD

# The field with the language of an utterance.
_FIELD = 'lang'


@dataclasses.dataclass(frozen=True, kw_only=True)
class Join:
  """Several utterances of one speaker, one after another.

  Attributes:
    low: fewest utterances of an item.
    high: most of them.
    sizes: {split: number of items} for evaluation; the strings of a split do
      not depend on the run's seed.
    field: utterances are joined where this field is equal.
    switch: probability that the next utterance is of another language (field
      `lang`) than the one before, as long as the speaker has some of another
      one left; 0 joins one language only, None goes by no language.
    pause_s: shortest and longest silence before, between and behind the
      utterances of a string of training, in seconds: recordings that were cut
      close say nothing of the silence that long ones have. None for none.
    pause_share: share of the strings of training that have pauses; the
      utterances of the others follow at once.
  """

  low: Size
  high: Size
  sizes: Mapping[str, Size]
  field: str = 'speaker'
  switch: Share | None = None
  pause_s: tuple[NotNegative, NotNegative] | None = None
  pause_share: Share = 1.0

  def __post_init__(self):
    if self.low > self.high:
      raise UserError(
        f'config.data.join: low={self.low} is above high={self.high}'
      )
    if self.switch and self.high < 2:
      raise UserError(
        f'config.data.join.switch={self.switch} needs strings of two '
        'utterances and more: raise config.data.join.high'
      )
    if self.pause_s and self.pause_s[0] > self.pause_s[1]:
      raise UserError(
        f'config.data.join.pause_s={tuple(self.pause_s)}: the shortest is '
        'above the longest'
      )

    if self.pause_s is None and self.pause_share < 1:
      raise UserError(
        f'config.data.join.pause_share={self.pause_share} is of strings with '
        'pauses: set config.data.join.pause_s'
      )

  def fingerprint(self) -> list[Any]:
    """JSON that differs where strings do."""
    own = [self.low, self.high, self.field]
    if self.pause_s is not None:
      share = [self.pause_share] if self.pause_share < 1 else []
      return [*own, self.switch, *self.pause_s, *share]
    return own if self.switch is None else [*own, self.switch]

  def pauses(self, draws: Draws, parts: np.ndarray, rate: int) -> np.ndarray:
    """Samples of silence before each record, and behind the last one.

    Args:
      draws: of the strings.
      parts: int64 `n j`, record numbers; -1 where there is none.
      rate: in Hz.

    Returns:
      int64 `n j+1`.
    """
    if self.pause_s is None:
      return no_pauses(parts)
    seconds = draws.uniform('pause', (parts.shape[1] + 1,), *self.pause_s)
    # Behind a record, whether or not another one follows.
    there = np.pad(parts >= 0, ((0, 0), (1, 0)), constant_values=True)
    there &= (draws.uniform('paused') < self.pause_share)[:, None]
    return np.where(there, np.rint(seconds * rate), 0).astype(np.int64)


def no_pauses(parts: np.ndarray) -> np.ndarray:
  """int64 `n j+1` for record numbers `n j` that follow at once."""
  return np.zeros((len(parts), parts.shape[1] + 1), np.int64)


def joined_by(
  join: Join | None, fields: Mapping[str, Sequence[str]], count: int, where: str
) -> tuple[np.ndarray, np.ndarray | None]:
  """What says which utterances may be joined.

  Args:
    join: of the config; None: none are.
    fields: of the `count` records.
    count: n.
    where: the split, for messages.

  Returns:
    int64 `n`, records of one number may be joined; int64 `n` with a number for
    each language, None where the config goes by no language.

  Raises:
    UserError: the data have no such field, or no speaker has two languages.
  """
  if join is None:
    return np.zeros(count, np.int64), None
  if join.field not in fields:
    raise unknown_name('field of config.data.join', join.field, fields)
  group = _numbers(fields[join.field])
  if join.switch is None:
    return group, None
  if _FIELD not in fields:
    raise UserError(
      f'config.data.join.switch={join.switch} needs the language of each '
      f'utterance, and the data set has no field `{_FIELD}`: leave it out'
    )
  codes = [code_of(lang) for lang in fields[_FIELD]]
  language = _numbers(codes)
  if join.switch and len(pairs := {*zip(group.tolist(), codes, strict=True)}):
    if len({*codes}) < 2:
      raise UserError(
        f'config.data.join.switch={join.switch} needs two languages, and all '
        f'utterances of {where} are of {codes[0]}: leave it out, or give a '
        'source of several'
      )
    if len(pairs) == len({*group.tolist()}):
      raise UserError(
        f'config.data.join.switch={join.switch} needs speakers of two '
        f"languages, and no '{join.field}' of {where} has utterances of more "
        'than one: leave it out, or name another config.data.join.field'
      )
  return group, language


def _numbers(values: Sequence[str]) -> np.ndarray:
  return np.unique(np.asarray(values, object), return_inverse=True)[1]


def strings(
  join: Join,
  corpus: Any,
  records: np.ndarray,
  seen: np.ndarray,
  *,
  seed: int,
  epoch: int,
) -> np.ndarray:
  """The strings of an epoch, in an order of its own.

  Args:
    join: how.
    corpus: `items.Corpus`, whose `group` and `language` are taken.
    records: int64 `n`, each of which is in one string.
    seen: int64 `n`, how often each was shown before.
    seed: of the draws.
    epoch: of the draws.

  Returns:
    int64 `m high`, padded with -1.
  """
  draws = Draws(seed, seen, records)
  order = np.argsort(draws.bits('order'), kind='stable')
  sizes = join.low + draws.integers('join', join.high - join.low + 1)
  if join.switch is None:
    parts = joined(records[order], corpus.group, sizes[order], join.high)
  else:
    turns = draws.uniform('switch', (join.high,)) < join.switch
    parts = switched(
      records[order], corpus.group, corpus.language, sizes[order], turns[order]
    )
  draws = Draws(seed, np.full(len(parts), epoch), parts[:, 0])
  return parts[np.argsort(draws.bits('strings'), kind='stable')]


def joined(
  order: np.ndarray, group: np.ndarray, sizes: np.ndarray, high: int
) -> np.ndarray:
  """Cuts an order of records into strings of one group each.

  Args:
    order: int64 `n`, record numbers.
    group: int64 `n`, by record number.
    sizes: int64 `n`, wanted lengths of strings, by place in the order.
    high: the longest of them.

  Returns:
    int64 `m high`, padded with -1; every record occurs once. The last string
    of a group may be shorter than wanted.
  """
  result = []
  groups = group[order]
  for value in np.unique(groups):
    place = np.flatnonzero(groups == value)
    ends = np.cumsum(sizes[place])
    ends = np.append(ends[ends < len(place)], len(place))
    starts = np.append(0, ends[:-1])
    columns = starts[:, None] + np.arange(high)
    taken = order[place[np.minimum(columns, len(place) - 1)]]
    result.append(np.where(columns < ends[:, None], taken, -1))
  return np.concatenate(result)


def switched(
  order: np.ndarray,
  group: np.ndarray,
  language: np.ndarray,
  sizes: np.ndarray,
  turns: np.ndarray,
) -> np.ndarray:
  """Puts an order of records into strings of one group, language by language.

  A string begins with the first record that is left. Where the language is to
  change, the first one of all other languages follows, or of its own if there
  is none; else the first of its own, and where that has none left the string
  ends.

  Args:
    order: int64 `n`, record numbers.
    group: int64 `n`, by record number.
    language: int64 `n`, by record number.
    sizes: int64 `n`, wanted length of the string that begins at a place of the
      order.
    turns: bool `n high`, of that string: whether its record j is of another
      language than record j - 1.

  Returns:
    int64 `m high`, padded with -1; every record occurs once.
  """
  rows, groups = [], group[order]
  for value in np.unique(groups):
    # Places of each language, the last one first.
    left: dict[int, list[int]] = {}
    for place in np.flatnonzero(groups == value)[::-1].tolist():
      left.setdefault(int(language[order[place]]), []).append(place)
    while left:
      code, row = None, []
      while left and (not row or len(row) < sizes[row[0]]):
        own, others = left.keys() & {code}, left.keys() - {code}
        change = not row or turns[row[0], len(row)]
        if not (wanted := (others or own) if change else own):
          break
        code = min(wanted, key=lambda k: left[k][-1])
        row.append(left[code].pop())
        if not left[code]:
          del left[code]
      rows.append(row)
  result = np.full((len(rows), turns.shape[1]), -1, np.int64)
  for parts, row in zip(result, rows, strict=True):
    parts[: len(row)] = order[row]
  return result


def switch_share(parts: np.ndarray, language: np.ndarray) -> float:
  """Of neighbours in strings `m high`, the share that is of two languages."""
  both = (parts[:, 1:] >= 0) & (parts[:, :-1] >= 0)
  other = language[parts[:, 1:]] != language[parts[:, :-1]]
  return float((other & both).sum() / max(both.sum(), 1))


def told_of(
  rows: Sequence[np.ndarray],
  texts: Sequence[str],
  fields: Mapping[str, Sequence[str]],
) -> dict[str, list[str]]:
  """The fields of strings.

  Those of the first utterance, but for `id`, with a plus between; and of
  strings of several languages `lang`, such as `en+ur`. Data of several
  languages have the language of each word in `word_langs`.

  Args:
    rows: record numbers of each string.
    texts: of the records.
    fields: of the records, by name.
  """
  found = {k: [v[row[0]] for row in rows] for k, v in fields.items()}
  if 'id' in fields:
    found['id'] = ['+'.join(fields['id'][i] for i in row) for row in rows]
  if max(map(len, rows), default=1) < 2 or len({*fields.get(_FIELD, ())}) < 2:
    return found
  langs, words = fields[_FIELD], fields.get(WORD_FIELD)

  def tags(i: int) -> list[str]:
    count = len(texts[i].split())
    own = words[i].split() if words else []
    return own if len(own) == count else [code_of(langs[i])] * count

  found[_FIELD] = ['+'.join(sorted({langs[i] for i in row})) for row in rows]
  found[WORD_FIELD] = [
    ' '.join(t for i in row for t in tags(i)) for row in rows
  ]
  return found
