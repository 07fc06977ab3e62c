"""TIMIT's phones: 61 as labelled, 48 for models, 39 for scoring.

Lee and Hon, "Speaker-independent phone recognition using hidden Markov models",
IEEE Trans. ASSP 37(11), 1989. The glottal stop q has no counterpart in the 48
and is deleted, so a transcript of 61 phones may become shorter.
"""

from collections.abc import Iterable

# 61 -> 48 where the two differ; None deletes the phone.
_TO_48 = {
  'ax-h': 'ax',
  'axr': 'er',
  'bcl': 'vcl',
  'dcl': 'vcl',
  'em': 'm',
  'eng': 'ng',
  'gcl': 'vcl',
  'h#': 'sil',
  'hv': 'hh',
  'kcl': 'cl',
  'nx': 'n',
  'pau': 'sil',
  'pcl': 'cl',
  'q': None,
  'tcl': 'cl',
  'ux': 'uw',
}
# 48 -> 39 where the two differ: confusions within these are not counted.
_TO_39 = {
  'ao': 'aa',
  'ax': 'ah',
  'cl': 'sil',
  'el': 'l',
  'en': 'n',
  'epi': 'sil',
  'ix': 'ih',
  'vcl': 'sil',
  'zh': 'sh',
}
_PHONES = (
  'aa ae ah ao aw ax ay b ch d dh dx eh el en epi er ey f g hh ih ix iy jh k l '
  'm n ng ow oy p r s sh t th uh uw v w y z zh'
)
_SAME = _PHONES.split()

TIMIT61 = tuple(sorted({*_SAME, *_TO_48}))
TIMIT48 = tuple(sorted({*_SAME, *filter(None, _TO_48.values())}))
TIMIT39 = tuple(sorted(set(TIMIT48) - _TO_39.keys() | {*_TO_39.values()}))

INVENTORIES = {'timit61': TIMIT61, 'timit48': TIMIT48, 'timit39': TIMIT39}


def fold(phones: Iterable[str], size: int = 39) -> list[str]:
  """Phones of any of the three inventories in a smaller one.

  References and hypotheses are folded the same way before they are compared;
  repeated phones that folding gives (kcl sil -> sil sil) stay.

  Args:
    phones: of the 61, the 48 or the 39; they may be mixed.
    size: 48 or 39.

  Raises:
    ValueError: another size, or a phone that is not TIMIT's.
  """
  if size not in (48, 39):
    raise ValueError(f'TIMIT is folded to 48 or 39 phones, not to {size}')
  folded = []
  for phone in phones:
    if phone not in _KNOWN:
      raise ValueError(
        f"'{phone}' is not a phone of TIMIT: text is phones with spaces between"
      )
    phone = _TO_48.get(phone, phone)
    if phone is not None:
      folded.append(_TO_39.get(phone, phone) if size == 39 else phone)
  return folded


def fold_text(text: str, size: int = 39) -> str:
  """`fold` of a transcript, phones with spaces between."""
  return ' '.join(fold(text.split(), size))


_KNOWN = {*TIMIT61, *TIMIT48}
